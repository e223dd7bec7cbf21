"""Extractions that are killed at random moments, and the shards that are left.

    python tests/kill_rounds.py KILLS SEED

A process embeds a small cohort; it is ended by SIGKILL after a random time, and another one continues, until
the extraction is complete. Then another extraction begins, until there were KILLS kills. After every kill no
shard may be missing or damaged; at the end all embeddings must be those of an extraction without kills, to
the last bit. Prints counts as JSON and fails at the first loss.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings import extraction
from pathorob_checks.embeddings.shards import ShardPlan, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.models.loading import PreparedModel

PATCHES, PER_SHARD = 160, 8
IN_FLIGHT = 4  # shards: one embedded, one written, two that wait to be written


class SlowModel:
    """Describes colors, with a pause in each batch and a log of the embedded patches."""

    identity = {"architecture": "color", "revision": "1"}  # noqa: RUF012 (a stand-in)
    dimension = 6
    batch_size = 4
    device = torch.device("cpu")

    def __init__(self, log: Path, pause: float) -> None:
        self.log = log
        self.pause = pause

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 255

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        time.sleep(self.pause)
        mean = batch.mean(dim=(2, 3))
        with self.log.open("a") as file:
            file.write("." * len(batch))
        return torch.cat([mean, mean**2], dim=1)


def write_cohort(folder: Path) -> None:
    folder.mkdir()
    lines = ["image_path,slide_id,patch_id,biological_class,medical_center"]
    for i in range(PATCHES):
        pixels = np.random.default_rng(i).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        lines.append(f"{i}.png,s{i // 8},{i:03},{'ab'[i // 8 % 2]},{'AB'[i // 16 % 2]}")
    (folder / "manifest.csv").write_text("\n".join(lines))


def embed(cohort: Cohort, root: Path, log: Path, pause: float) -> extraction.Embeddings:
    model = SlowModel(log, pause)
    return extraction.obtain(
        PreparedModel("slow", model.identity, lambda: model), cohort, EmbeddingStore(root)
    )


def run_and_kill(cohort: Cohort, root: Path, log: Path, delay: float) -> bool:
    """Whether a process that embeds the cohort was killed; False if it was finished before that."""
    log.write_text("")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            embed(cohort, root, log, pause=0.01)
            code = 0
        finally:
            os._exit(code)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("an extraction failed without being killed")
    return os.WIFSIGNALED(status)


def main(kills: int, seed: int) -> None:
    extraction.plan_of = lambda cohort, key: plan_of(cohort, key, size=PER_SHARD)  # type: ignore[assignment]
    chance = random.Random(seed)
    counts = {"kills": 0, "extractions": 0, "lost_patches_most": 0, "shards_kept": 0}
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        log = work / "log"
        write_cohort(work / "cohort")
        cohort = load_folder(work / "cohort")
        while counts["kills"] < kills:
            root = work / f"cache{counts['extractions']}"
            store = EmbeddingStore(root)
            key = extraction.embedding_key(SlowModel.identity, cohort)
            plan: ShardPlan = plan_of(cohort, key, size=PER_SHARD)
            before: set[int] = set()
            while run_and_kill(cohort, root, log, chance.uniform(0, 0.35)):
                counts["kills"] += 1
                after = set(store.whole_shards(plan))
                if not before <= after or len(after) != store.count_shards(key):
                    raise SystemExit(f"kill {counts['kills']} lost or damaged a shard: {before} -> {after}")
                lost = len(log.read_text()) - plan.count(sorted(after - before))
                if lost > IN_FLIGHT * PER_SHARD:
                    raise SystemExit(f"kill {counts['kills']} cost {lost} patches")
                counts["lost_patches_most"] = max(counts["lost_patches_most"], lost)
                counts["shards_kept"] += len(after - before)
                before = after
            counts["extractions"] += 1
            stored = store.load(key, cohort.keys)
            if stored is None:
                raise SystemExit("an extraction ended without an entry")
            # In a process of its own, because torch's threads would not survive the next forks.
            if (child := os.fork()) == 0:
                whole = embed(cohort, work / f"whole{counts['extractions']}", work / "log2", pause=0)
                os._exit(0 if whole.values.tobytes() == stored.values.tobytes() else 3)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                raise SystemExit("the embeddings differ from those of an extraction without kills")
    print(json.dumps(counts))  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
