"""The store returns the embeddings that were saved, or none; embeddings without information are refused."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pathorob_checks.embeddings.checks import check_embeddings
from pathorob_checks.embeddings.shards import ShardPlan, file_name, pack
from pathorob_checks.embeddings.store import MANIFEST, PATCHES, EmbeddingStore, default_root
from pathorob_checks.errors import CacheError, EmbeddingError

KEY = "ab" * 32
KEYS = [f"slide{i}-{i:03}" for i in range(6)]
PLAN = ShardPlan(KEY, tuple(KEYS), size=2)
SHARD = file_name(1)
FILES = sorted([*(file_name(shard) for shard in range(3)), PATCHES, MANIFEST])
Values = npt.NDArray[np.float32]


def some_values(seed: int = 0, rows: int = 6) -> Values:
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)


def put_all(store: EmbeddingStore, values: Values) -> None:
    for shard in range(len(PLAN)):
        store.put(PLAN, shard, values[2 * shard : 2 * shard + 2])


def save(store: EmbeddingStore, values: Values, **details: object) -> None:
    put_all(store, values)
    _, shards = store.assemble(PLAN, KEYS)
    store.finish(PLAN, shards, values.shape[1], {"model": "m", "size": (224, 224)}, details)


def names_in(store: EmbeddingStore) -> list[str]:
    return sorted(path.name for path in store.folder(KEY).iterdir())


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "cache")


@pytest.fixture
def saved(store: EmbeddingStore) -> EmbeddingStore:
    save(store, some_values(), seconds=1.5)
    return store


def test_saved_embeddings_are_loaded(saved: EmbeddingStore) -> None:
    stored = saved.load(KEY, KEYS)
    assert stored is not None
    np.testing.assert_array_equal(stored.values, some_values())
    assert stored.values.dtype == np.float32
    assert not stored.values.flags.writeable
    assert stored.identity == {"model": "m", "size": [224, 224]}
    assert stored.details == {"seconds": 1.5}


def test_the_manifest_describes_the_files(saved: EmbeddingStore) -> None:
    manifest = json.loads((saved.folder(KEY) / MANIFEST).read_text())
    assert manifest["shape"] == [6, 4]
    assert manifest["dtype"] == "float32"
    assert [shard["rows"] for shard in manifest["shards"]] == [2, 2, 2]
    assert {len(shard["sha256"]) for shard in manifest["shards"]} == {64}
    assert {"numpy", "pillow", "python", "pathorob-checks"} <= manifest["software"].keys()
    assert names_in(saved) == FILES


def test_the_table_of_patches_has_the_shard_and_row_of_each(saved: EmbeddingStore) -> None:
    table = pd.read_parquet(saved.folder(KEY) / PATCHES)
    assert table.patch_key.tolist() == KEYS
    assert list(zip(table.shard, table.row, strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]


@given(order=st.permutations(range(6)))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_loaded_in_the_requested_order(saved: EmbeddingStore, order: list[int]) -> None:
    stored = saved.load(KEY, [KEYS[row] for row in order])
    assert stored is not None
    np.testing.assert_array_equal(stored.values, some_values()[order])


def test_the_same_values_are_the_same_bytes(saved: EmbeddingStore, tmp_path: Path) -> None:
    other = EmbeddingStore(tmp_path / "other")
    save(other, some_values())
    for name in (PATCHES, *(file_name(shard) for shard in range(3))):
        assert (saved.folder(KEY) / name).read_bytes() == (other.folder(KEY) / name).read_bytes()


@given(patches=st.integers(1, 40), size=st.integers(1, 12))
def test_shards_hold_every_patch_once_and_in_order(patches: int, size: int) -> None:
    plan = ShardPlan(KEY, tuple(f"p{i}" for i in range(patches)), size)
    parts = [plan.patches(shard) for shard in range(len(plan))]
    assert sum(parts, ()) == plan.names
    assert all(len(part) == size for part in parts[:-1])
    assert 1 <= len(parts[-1]) <= size
    assert plan.count(range(len(plan))) == patches


def test_an_unknown_key_is_a_miss(store: EmbeddingStore, caplog: pytest.LogCaptureFixture) -> None:
    assert store.load(KEY, KEYS) is None
    assert caplog.records == []


def test_other_patches_are_a_miss(saved: EmbeddingStore) -> None:
    assert saved.load(KEY, KEYS[:-1]) is None
    assert saved.load(KEY, [*KEYS[:-1], "slide9-009"]) is None
    assert saved.load(KEY, [*KEYS[:-1], KEYS[0]]) is None


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def edit(**changes: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def take_another_shard(path: Path) -> None:
    path.write_bytes(path.with_name(file_name(0)).read_bytes())


def write_other_values(path: Path) -> None:
    """An undamaged shard that is not the one in the manifest."""
    path.write_bytes(pack(PLAN, 1, some_values(seed=9)[2:4]))


SHARD_DAMAGES = [
    flip_a_byte,
    Path.unlink,
    make_a_folder,
    take_another_shard,
    lambda path: path.write_bytes(path.read_bytes()[:-8]),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"nonsense"),
]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((SHARD, damage) for damage in (*SHARD_DAMAGES, write_other_values)),
        *((PATCHES, damage) for damage in (flip_a_byte, Path.unlink, make_a_folder)),
        (MANIFEST, Path.unlink),
        (MANIFEST, make_a_folder),
        (MANIFEST, lambda path: path.write_text("")),
        (MANIFEST, lambda path: path.write_text("[" * 100_000)),
        (MANIFEST, lambda path: path.write_text("[]")),
        (MANIFEST, lambda path: path.write_bytes(b"\xff\xfe")),
        (MANIFEST, edit(shards=[{"sha256": "0" * 64}] * 3)),
        (MANIFEST, edit(shards=[{}] * 3)),
        (MANIFEST, edit(shards=[])),
        (MANIFEST, edit(patches={})),
        (MANIFEST, edit(key="cd" * 32)),
        (MANIFEST, edit(schema="something/else")),
        (MANIFEST, edit(shape=[6, 5])),
        (MANIFEST, edit(shape=[5, 4])),
        (MANIFEST, edit(identity=None)),
    ],
)
def test_a_damaged_entry_is_a_miss_and_is_replaced_by_the_next_save(
    saved: EmbeddingStore, file: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = saved.folder(KEY) / file
    damage(path)
    assert saved.load(KEY, KEYS) is None
    if path.exists():
        assert caplog.records[-1].levelno == logging.WARNING
        assert "again" in caplog.text
    if path.is_dir():
        path.rmdir()
    save(saved, some_values())
    assert saved.load(KEY, KEYS) is not None


@pytest.mark.parametrize("damage", SHARD_DAMAGES)
def test_only_the_damaged_shard_is_missing(saved: EmbeddingStore, damage: Callable[[Path], None]) -> None:
    assert saved.whole_shards(PLAN) == [0, 1, 2]
    damage(saved.folder(KEY) / SHARD)
    assert saved.whole_shards(PLAN) == [0, 2]
    with pytest.raises(CacheError, match=r"shard-00001\.safetensors .*run again"):
        saved.assemble(PLAN, KEYS)


def test_a_shard_of_another_extraction_is_not_used(saved: EmbeddingStore) -> None:
    assert saved.whole_shards(dataclasses.replace(PLAN, names=(*KEYS[::-1],))) == []
    assert saved.whole_shards(dataclasses.replace(PLAN, size=3)) == []


def test_an_interrupted_write_leaves_the_old_shard_and_no_temporary_file(
    saved: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put_all(saved, some_values(seed=1))
    stored = saved.load(KEY, KEYS)
    assert stored is not None
    np.testing.assert_array_equal(stored.values, some_values())
    assert names_in(saved) == FILES


def test_shards_without_a_manifest_are_not_an_entry_but_are_kept(store: EmbeddingStore) -> None:
    put_all(store, some_values())
    assert store.load(KEY, KEYS) is None
    assert store.whole_shards(PLAN) == [0, 1, 2]
    assert store.count_shards(KEY) == 3


def test_temporary_files_of_killed_processes_are_deleted(store: EmbeddingStore) -> None:
    put_all(store, some_values())
    (store.folder(KEY) / ".shard-00001.safetensors.4711.beef.tmp").write_bytes(b"half")
    save(store, some_values())
    assert names_in(store) == FILES


def test_readers_see_a_whole_entry_or_none_while_writers_compete(store: EmbeddingStore) -> None:
    versions = [some_values(seed) for seed in range(3)]
    seen: list[bool] = []

    def write_it(values: Values) -> None:
        own = EmbeddingStore(store.root)
        for _ in range(8):
            with own.lock(KEY):
                save(own, values)

    def read() -> None:
        while any(writer.is_alive() for writer in writers):
            stored = store.load(KEY, KEYS)
            if stored is not None:
                seen.append(any(np.array_equal(stored.values, values) for values in versions))

    writers = [threading.Thread(target=write_it, args=(values,)) for values in versions]
    for writer in writers:
        writer.start()
    read()
    assert all(seen)
    assert store.load(KEY, KEYS) is not None


def test_the_lock_is_exclusive_and_its_thread_may_enter_it_again(store: EmbeddingStore) -> None:
    entered = threading.Event()
    waits: list[bool] = []

    def wait_for_the_lock() -> None:
        with EmbeddingStore(store.root).lock(KEY, lambda: waits.append(True)):
            entered.set()

    other = threading.Thread(target=wait_for_the_lock)
    with store.lock(KEY), store.lock(KEY):
        other.start()
        assert not entered.wait(1.5)
    other.join(10)
    assert entered.is_set()
    assert waits


def test_a_key_that_is_not_a_digest_never_becomes_a_path(store: EmbeddingStore) -> None:
    with pytest.raises(ValueError, match="not a key"):
        store.load("../" * 10, KEYS)


@pytest.mark.parametrize("values", [np.ones((2, 2)), np.ones((1, 2), np.float32), np.ones(2, np.float32)])
def test_only_float32_rows_of_the_shard_are_kept(
    store: EmbeddingStore, values: npt.NDArray[np.float32]
) -> None:
    with pytest.raises(ValueError, match="is not shard 0"):
        store.put(PLAN, 0, values)


def test_a_writable_root_is_made_and_left_empty(store: EmbeddingStore) -> None:
    store.check_writable()
    assert list(store.root.iterdir()) == []


def test_a_root_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        store = EmbeddingStore(root)
        with pytest.raises(CacheError, match=r"cache folder '.*file.*cannot be written.*--fm-cache"):
            store.check_writable()
        with pytest.raises(CacheError, match="--fm-cache"):
            save(store, some_values())
        store.use(KEY)  # no error: there is nothing to prune


def test_a_full_disk_is_an_error(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CacheError, match=r"No space left on device; free some space or .*--fm-cache"):
        save(store, some_values())
    with pytest.raises(CacheError, match="No space left"):
        store.check_writable()
    assert list(store.folder(KEY).iterdir()) == []


def test_a_removed_entry_does_not_exist(saved: EmbeddingStore) -> None:
    saved.remove(KEY)
    assert saved.load(KEY, KEYS) is None
    assert not saved.folder(KEY).exists()


def test_the_default_root_is_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATHOROB_CHECKS_CACHE", raising=False)
    assert EmbeddingStore().root == default_root()
    assert default_root().name == "pathorob-checks"
    monkeypatch.setenv("PATHOROB_CHECKS_CACHE", "~/kept")
    assert EmbeddingStore().root == Path.home() / "kept"


def with_value(row: int, value: float) -> Values:
    values = some_values()
    values[row, 1] = value
    return values


def with_zero_rows(*rows: int) -> Values:
    values = some_values()
    values[list(rows)] = 0
    return values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (with_value(2, np.nan), ["1 of 6 patches ('slide2-002')", "NaN", "--fm-precision=fp32"]),
        (with_value(2, -np.inf), ["infinite", "slide2-002"]),
        (np.full((6, 2), np.nan, np.float32), ["6 of 6", "slide2-002', ...", "NaN"]),
        (with_zero_rows(1, 4), ["2 of 6", "'slide1-001', 'slide4-004'", "all zeros", "preprocessing"]),
        (np.ones((6, 3), np.float32), ["all 6 patches have the same embedding", "weights"]),
        (np.full((6, 2), 3e38, np.float32), ["typical length of 4.2e+38"]),
        (some_values() * np.float32(1e19), ["typical length", "0.001 to 1e+06"]),
        (some_values() * np.float32(1e-25), ["typical length", "0.001 to 1e+06"]),
        (some_values() * np.float32(1e-6), ["typical length"]),
        (with_value(3, 1e7), ["1 of 6 patches ('slide3-003')", "10000 times longer or shorter"]),
        (some_values() * np.float32([[1], [1], [1], [1e-9], [1], [1]]), ["slide3-003", "shorter"]),
        (with_value(2, 65504), ["1 of 6 patches ('slide2-002')", "65504", "float16", "bf16"]),
        (with_value(2, -65504), ["float16"]),
        (
            np.float32(100) + some_values() * np.float32(1e-6),
            ["the same embedding"],
        ),
        (np.ones((5, 3), np.float32), ["shape (5, 3)", "(6, D)", "--fm-pooling"]),
        (np.ones(6, np.float32), ["shape (6,)"]),
        (np.ones((6, 2, 2), np.float32), ["shape (6, 2, 2)"]),
        (np.ones((6, 0), np.float32), ["no columns"]),
        (np.ones((6, 2)), ["float64", "float32"]),
        (np.ones((6, 2), np.float16), ["float16"]),
    ],
)
def test_embeddings_without_information_are_refused(values: Values, words: list[str]) -> None:
    with pytest.raises(EmbeddingError) as caught:
        check_embeddings(values, KEYS)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message


def test_an_empty_matrix_is_refused() -> None:
    with pytest.raises(EmbeddingError, match="shape"):
        check_embeddings(np.ones((0, 3), np.float32), [])


@pytest.mark.parametrize(
    "values",
    [
        some_values(),
        some_values() * np.float32(1e-2),
        some_values() * np.float32(1e5),
        np.hstack([some_values(), np.zeros((6, 2), np.float32)]),
        np.hstack([some_values(), np.full((6, 1), 300, np.float32)]),
    ],
    ids=["plain", "tiny", "huge", "dead columns", "large constant column"],
)
def test_embeddings_with_information_pass(values: Values) -> None:
    check_embeddings(values, KEYS)


def test_a_single_patch_is_not_constant() -> None:
    check_embeddings(np.ones((1, 3), np.float32), ["s-p"])
