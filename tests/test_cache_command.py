"""`pathorob-checks cache` lists, verifies, prunes and exports the entries of the store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathorob_checks import cli
from pathorob_checks.embeddings import precomputed, upkeep
from pathorob_checks.embeddings.locks import keys_in_use
from pathorob_checks.embeddings.shards import ShardPlan, file_name
from pathorob_checks.embeddings.store import MANIFEST, EmbeddingStore
from pathorob_checks.errors import CacheError
from pathorob_checks.sizes import parse_size, written_size

KEYS = ["aa" * 32, "ab" * 32, "cd" * 32]  # the most recently used one first
PATCHES = [f"slide-{i}" for i in range(5)]


def values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32)


def add(store: EmbeddingStore, key: str, seed: int = 0, finish: bool = True) -> None:
    plan = ShardPlan(key, tuple(PATCHES), size=2)
    for shard in range(3):
        store.put(plan, shard, values(seed)[2 * shard : 2 * shard + 2])
    if finish:
        _, shards = store.assemble(plan, PATCHES)
        store.finish(plan, shards, 3, {"model": "m"}, {"fm": f"fm{seed}", "cohort": "lung"})
        used = time.time() - 1000 * seed
        os.utime(store.folder(key) / MANIFEST, (used, used))


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    store = EmbeddingStore(tmp_path / "cache")
    for seed, key in enumerate(KEYS):
        add(store, key, seed)
    return store


def run(store: EmbeddingStore, *arguments: str) -> int:
    return cli.main(["cache", *arguments, f"--fm-cache={store.root}"])


def keys_left(store: EmbeddingStore) -> list[str]:
    return [entry.key for entry in upkeep.entries(store)]


def test_entries_are_listed_the_most_recently_used_first(
    store: EmbeddingStore, capsys: pytest.CaptureFixture[str]
) -> None:
    add(store, "ef" * 32, finish=False)
    assert run(store, "ls") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "(not finished)" in lines[2]
    first = [line.split()[:3] for line in lines[3:6]]
    assert first == [[key[:12], f"fm{i}", "lung"] for i, key in enumerate(KEYS)]
    assert "5 x 3" in lines[3]
    assert "4 entries" in lines[-1]
    assert max(map(len, lines[:-1])) <= 80


def test_an_empty_cache_is_reported_as_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["ls"], ["verify"], ["prune", "--keep=0"]):
        assert cli.main(["cache", *arguments, f"--fm-cache={tmp_path / 'none'}"]) == 0
    assert "no embeddings" in capsys.readouterr().out


def test_damage_is_named(store: EmbeddingStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(store, "verify") == 0
    assert capsys.readouterr().out.count("ok ") == 3
    path = store.folder(KEYS[1]) / file_name(1)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (store.folder(KEYS[2]) / MANIFEST).write_text("{}")
    assert run(store, "verify") == 1
    output = capsys.readouterr().out
    problem = "shard-00001.safetensors: its values do not match its digest"
    assert f"BAD  {KEYS[1][:12]} fm1 lung: {problem}" in output
    assert f"{KEYS[2][:12]}: the extraction was not finished; its 3 shards are used" in output


def test_the_least_recently_used_entries_are_pruned(
    store: EmbeddingStore, capsys: pytest.CaptureFixture[str]
) -> None:
    size = upkeep.entries(store)[0].size
    assert run(store, "prune", f"--keep={2 * size + 10}") == 0
    assert keys_left(store) == KEYS[:2]
    assert f"removed {KEYS[2][:12]} fm2 lung" in capsys.readouterr().out
    run(store, "prune", "--keep=0")
    assert keys_left(store) == []


def test_loading_makes_an_entry_the_most_recently_used(store: EmbeddingStore) -> None:
    assert store.load(KEYS[2], PATCHES) is not None
    assert keys_left(store) == [KEYS[2], KEYS[0], KEYS[1]]


_OTHER = """
import sys, time
from pathlib import Path
from pathorob_checks.embeddings.store import EmbeddingStore
store = EmbeddingStore(Path(sys.argv[1]))
if sys.argv[3] == "use":
    store.use(sys.argv[2])
else:
    lock = store.locks.hold(sys.argv[2])
    lock.__enter__()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("way", ["use", "lock"])
def test_an_entry_that_another_process_uses_stays_until_that_is_killed(
    store: EmbeddingStore, way: str
) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(store.root), KEYS[2], way], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        removed = upkeep.prune(store, 0)
        assert {entry.key for entry in removed} == set(KEYS[:2])
        assert store.load(KEYS[2], PATCHES) is not None
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    assert [entry.key for entry in upkeep.prune(store, 0)] == [KEYS[2]]
    assert list((store.root / "leases").glob("*")) == []  # the lease of the killed process is deleted


def test_an_entry_that_this_process_uses_stays(store: EmbeddingStore) -> None:
    store.use(KEYS[0])
    store.use(KEYS[1])
    assert keys_in_use(store.root) == set(KEYS[:2])
    upkeep.prune(EmbeddingStore(store.root), 0)
    assert keys_left(store) == KEYS[:2]


def test_an_exported_entry_is_read_again(
    store: EmbeddingStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, "export", KEYS[1][:6], str(tmp_path / "given")) == 0
    assert "--fm=embeddings:" in capsys.readouterr().out
    table = pd.DataFrame({"slide_id": "slide", "patch_id": list("31402"), "medical_center": "A"})
    loaded = precomputed.read(tmp_path / "given", "lung", table)
    np.testing.assert_array_equal(loaded.values, values(1)[[3, 1, 4, 0, 2]])


def test_with_its_cohort_an_entry_is_exported_in_the_benchmarks_layout(
    store: EmbeddingStore, tmp_path: Path
) -> None:
    table = pd.DataFrame({"slide_id": "slide", "patch_id": list("01234"), "medical_center": list("ABABA")})
    entry = upkeep.find(store, KEYS[0])
    written = upkeep.export(store, entry, tmp_path, ("lung", table))
    assert [path.relative_to(tmp_path).as_posix() for path in written] == ["lung/A.npz", "lung/B.npz"]
    np.testing.assert_array_equal(precomputed.read(tmp_path, "lung", table).values, values(0))
    with pytest.raises(CacheError, match="does not belong to the cohort breast"):
        upkeep.export(store, entry, tmp_path, ("breast", table[:3]))


def test_an_entry_that_cannot_be_exported_is_an_error(
    store: EmbeddingStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(store, "ef" * 32, finish=False)
    for key, words in (
        ("a", "2 entries of"),
        ("99", "no entries of"),
        ("ef", "is not finished; run pytest with the same FM and cohort until it ends, then export"),
    ):
        assert run(store, "export", key, str(tmp_path / "out")) == 1
        assert words in capsys.readouterr().err
    assert run(store, "export", KEYS[0], str(tmp_path / "out")) == 0
    assert run(store, "export", KEYS[0], str(tmp_path / "out")) == 1
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1500", 1500), ("50GB", 50 * 10**9), ("1.5 tb", 15 * 10**11), ("2kb", 2000)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "5 XB", "1.5.2MB", "many"])
def test_other_texts_are_not_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="not a size such as 50GB"):
        parse_size(text)


def test_a_text_that_is_not_a_size_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["cache", "prune", "--keep=much"])
    assert "not a size such as 50GB" in capsys.readouterr().err


def test_sizes_are_written_with_their_unit() -> None:
    assert [written_size(size) for size in (0, 999, 1000, 2_500_000, 10**12)] == [
        "0 B",
        "999 B",
        "1.0 KB",
        "2.5 MB",
        "1.0 TB",
    ]
