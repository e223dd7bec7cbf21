"""Caches: embeddings that the model does not give are planted where a run looks for its own."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from attack import Attack, Outcome, assert_not_passed, made_embeddings, rows_of
from PIL import Image

from pathorob_checks.embeddings.shards import ShardPlan, file_name
from pathorob_checks.embeddings.store import MANIFEST, PATCHES, EmbeddingStore

FM = "demo:color-sensitive"
BRIGHTNESS = {"north": 60, "south": 200, "west": 130}


class Cache:
    """The cache of a gate whose FM follows the medical center: it fails until its shard is exchanged."""

    def __init__(self, attack: Attack) -> None:
        self._attack = attack
        rows = rows_of(attack.folder / "coh")
        rng = np.random.default_rng(0)
        for row in rows:
            pixels = BRIGHTNESS[row["medical_center"]] + rng.normal(0, 10, 3) + rng.normal(0, 15, (8, 8, 3))
            path = attack.folder / "coh" / row["image_path"]
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
        self.root = attack.folder / "cache"
        first = self.run()
        assert first.code == 1, first.output
        assert "FAIL: 1 of 1 criterion not met" in first.headline
        [manifest] = self.root.glob(f"embeddings/*/*/{MANIFEST}")
        self.entry = manifest.parent
        self.store = EmbeddingStore(self.root)
        plan = self.store.plan(self.entry.name, json.loads(manifest.read_text()))
        self.plan = ShardPlan(plan.key, plan.names, plan.size)
        self._rows = {f"{row['slide_id']}-{row['patch_id']}": row for row in rows}

    def run(self, *arguments: str) -> Outcome:
        return self._attack.run(*arguments, fm=FM)

    def plant(self) -> None:
        """Exchange the shard for embeddings that follow biology, which vouches for itself."""
        rows = [self._rows[name] for name in self.plan.names]
        dimension = json.loads((self.entry / MANIFEST).read_text())["shape"][1]
        values = made_embeddings(rows, biology=2, center=0, dimension=dimension)
        self.store.put(self.plan, 0, values)

    def delete(self, *names: str) -> None:
        for name in names:
            for path in self.entry.glob(name):
                path.unlink()


@pytest.fixture
def cache(attack: Attack) -> Cache:
    return Cache(attack)


def test_a_shard_that_the_manifest_does_not_name_is_embedded_again(cache: Cache) -> None:
    cache.plant()
    outcome = cache.run()
    assert_not_passed(outcome)
    assert "FAIL: 1 of 1 criterion not met" in outcome.headline


def test_a_shard_without_a_manifest_is_compared_with_the_model(cache: Cache) -> None:
    cache.plant()
    cache.delete(MANIFEST, PATCHES, "integrity-*")
    outcome = cache.run()
    assert_not_passed(outcome)
    assert "the stored embedding and the one that the model gives now differ" in outcome.output


def test_a_whole_entry_with_a_record_of_its_integrity_is_compared_with_the_model(cache: Cache) -> None:
    cache.plant()
    manifest = json.loads((cache.entry / MANIFEST).read_text())
    _, manifest["shards"] = cache.store.assemble(cache.plan, cache.plan.names)
    (cache.entry / MANIFEST).write_text(json.dumps(manifest))
    outcome = cache.run()
    assert_not_passed(outcome)
    assert "the stored embedding and the one that the model gives now differ" in outcome.output


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("place", ["root", "shard"])
def test_a_place_that_others_may_write_to_is_refused(place: str, cache: Cache) -> None:
    path = {"root": cache.root, "shard": cache.entry / file_name(0)}[place]
    cache.plant()
    path.chmod(path.stat().st_mode | 0o022)
    outcome = cache.run()
    assert_not_passed(outcome)
    output = " ".join(outcome.output.split())
    assert f"'{path}' of the cache folder can be written by other users (mode 0" in output
    assert "chmod -R go-w" in output
