"""The store gives back what was saved, or nothing; and embeddings without information are refused."""

from __future__ import annotations

import errno
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pathorob_checks.embeddings import store as store_module
from pathorob_checks.embeddings.checks import check_embeddings
from pathorob_checks.embeddings.store import DATA, MANIFEST, EmbeddingStore, default_root
from pathorob_checks.errors import CacheError, EmbeddingError

KEY = "ab" * 32
KEYS = [f"slide{i}-{i:03}" for i in range(6)]
Values = npt.NDArray[np.float32]


def some_values(seed: int = 0, rows: int = 6) -> Values:
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "cache")


@pytest.fixture
def saved(store: EmbeddingStore) -> EmbeddingStore:
    store.save(KEY, KEYS, some_values(), {"model": "m", "size": (224, 224)}, {"seconds": 1.5})
    return store


def test_what_was_saved_is_loaded(saved: EmbeddingStore) -> None:
    stored = saved.load(KEY, KEYS)
    assert stored is not None
    np.testing.assert_array_equal(stored.values, some_values())
    assert stored.values.dtype == np.float32
    assert not stored.values.flags.writeable
    assert stored.identity == {"model": "m", "size": [224, 224]}
    assert stored.details == {"seconds": 1.5}


def test_the_manifest_tells_what_the_file_is(saved: EmbeddingStore) -> None:
    manifest = json.loads((saved.folder(KEY) / MANIFEST).read_text())
    assert manifest["shape"] == [6, 4]
    assert manifest["dtype"] == "float32"
    assert len(manifest["sha256"]) == 64
    assert {"numpy", "pillow", "python", "pathorob-checks"} <= manifest["software"].keys()
    assert sorted(path.name for path in saved.folder(KEY).iterdir()) == [DATA, MANIFEST]


@given(order=st.permutations(range(6)))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_back_in_the_order_that_is_asked_for(saved: EmbeddingStore, order: list[int]) -> None:
    stored = saved.load(KEY, [KEYS[row] for row in order])
    assert stored is not None
    np.testing.assert_array_equal(stored.values, some_values()[order])


def test_the_file_does_not_depend_on_the_order_of_the_rows(saved: EmbeddingStore) -> None:
    before = (saved.folder(KEY) / DATA).read_bytes()
    saved.save(KEY, KEYS[::-1], some_values()[::-1], {}, {})
    assert (saved.folder(KEY) / DATA).read_bytes() == before


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


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (DATA, flip_a_byte),
        (DATA, Path.unlink),
        (DATA, make_a_folder),
        (DATA, lambda path: path.write_bytes(path.read_bytes()[:-8])),
        (DATA, lambda path: path.write_bytes(b"")),
        (MANIFEST, Path.unlink),
        (MANIFEST, make_a_folder),
        (MANIFEST, lambda path: path.write_text("")),
        (MANIFEST, lambda path: path.write_text("[" * 100_000)),
        (MANIFEST, lambda path: path.write_text("[]")),
        (MANIFEST, lambda path: path.write_bytes(b"\xff\xfe")),
        (MANIFEST, edit(sha256="0" * 64)),
        (MANIFEST, edit(key="cd" * 32)),
        (MANIFEST, edit(schema="something/else")),
        (MANIFEST, edit(shape=[6, 5])),
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
    saved.save(KEY, KEYS, some_values(), {}, {})
    assert saved.load(KEY, KEYS) is not None


def test_a_file_whose_content_is_nonsense_under_a_right_digest_is_a_miss(saved: EmbeddingStore) -> None:
    import hashlib

    (saved.folder(KEY) / DATA).write_bytes(b"nonsense")
    edit(sha256=hashlib.sha256(b"nonsense").hexdigest())(saved.folder(KEY) / MANIFEST)
    assert saved.load(KEY, KEYS) is None


def test_an_interrupted_save_leaves_the_old_entry_and_no_litter(
    saved: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        saved.save(KEY, KEYS, some_values(seed=1), {}, {})
    stored = saved.load(KEY, KEYS)
    assert stored is not None
    np.testing.assert_array_equal(stored.values, some_values())
    assert sorted(path.name for path in saved.folder(KEY).iterdir()) == [DATA, MANIFEST]


def test_a_crash_between_file_and_manifest_is_a_miss(
    saved: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store_module._write

    def crash_at_the_manifest(path: Path, content: bytes) -> None:
        if path.name == MANIFEST:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(store_module, "_write", crash_at_the_manifest)
    with pytest.raises(KeyboardInterrupt):
        saved.save(KEY, KEYS, some_values(seed=1), {}, {})
    assert saved.load(KEY, KEYS) is None


def test_readers_see_a_whole_entry_or_none_while_writers_compete(store: EmbeddingStore) -> None:
    versions = [some_values(seed) for seed in range(3)]
    seen: list[bool] = []

    def write(values: Values) -> None:
        own = EmbeddingStore(store.root)
        for _ in range(8):
            own.save(KEY, KEYS, values, {}, {})

    def read() -> None:
        while any(writer.is_alive() for writer in writers):
            stored = store.load(KEY, KEYS)
            if stored is not None:
                seen.append(any(np.array_equal(stored.values, values) for values in versions))

    writers = [threading.Thread(target=write, args=(values,)) for values in versions]
    for writer in writers:
        writer.start()
    read()
    assert all(seen)
    assert store.load(KEY, KEYS) is not None


def test_the_lock_is_held_by_one_and_may_be_entered_again_by_its_thread(store: EmbeddingStore) -> None:
    entered = threading.Event()

    def wait_for_the_lock() -> None:
        with EmbeddingStore(store.root).lock(KEY):
            entered.set()

    other = threading.Thread(target=wait_for_the_lock)
    with store.lock(KEY), store.lock(KEY):
        other.start()
        assert not entered.wait(0.2)
    other.join(10)
    assert entered.is_set()


def test_a_key_that_is_no_digest_never_becomes_a_path(store: EmbeddingStore) -> None:
    with pytest.raises(ValueError, match="not a key"):
        store.load("../" * 10, KEYS)


@pytest.mark.parametrize("values", [np.ones((6, 2)), np.ones((5, 2), np.float32), np.ones(6, np.float32)])
def test_only_float32_rows_under_their_keys_are_saved(
    store: EmbeddingStore, values: npt.NDArray[np.float32]
) -> None:
    with pytest.raises(ValueError, match="cannot be stored"):
        store.save(KEY, KEYS, values, {}, {})


def test_a_writable_root_is_made_and_left_empty(store: EmbeddingStore) -> None:
    store.check_writable()
    assert list(store.root.iterdir()) == []


def test_a_root_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        store = EmbeddingStore(root)
        with pytest.raises(CacheError, match=r"cache folder '.*file.*cannot be written.*--fm-cache"):
            store.check_writable()
        with pytest.raises(CacheError, match="--fm-cache"):
            store.save(KEY, KEYS, some_values(), {}, {})


def test_a_full_disk_is_told(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CacheError, match=r"No space left on device; free some space or .*--fm-cache"):
        store.save(KEY, KEYS, some_values(), {}, {})
    with pytest.raises(CacheError, match="No space left"):
        store.check_writable()
    assert list(store.folder(KEY).iterdir()) == []


def test_pieces_of_an_extraction_are_kept_until_it_is_saved(store: EmbeddingStore) -> None:
    store.save_part(KEY, KEYS[:2], some_values()[:2])
    store.save_part(KEY, KEYS[2:5], some_values()[2:5])
    parts = store.load_parts(KEY)
    assert sorted(parts) == KEYS[:5]
    np.testing.assert_array_equal(parts[KEYS[4]], some_values()[4])
    flip_a_byte(next((store.folder(KEY) / "parts").iterdir()))
    assert len(store.load_parts(KEY)) in (2, 3)
    assert store.load(KEY, KEYS) is None
    store.save(KEY, KEYS, some_values(), {}, {})
    assert store.load_parts(KEY) == {}


def test_the_default_root_is_the_users_cache_folder() -> None:
    assert EmbeddingStore().root == default_root()
    assert default_root().name == "pathorob-checks"


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
        (np.full((6, 2), 3e38, np.float32), ["the same embedding"]),
        (
            np.float32(100) + some_values() * np.float32(1e-6),
            ["the same embedding"],
        ),
        (np.ones((5, 3), np.float32), ["shape (5, 3)", "(6, D)", "--fm-pooling"]),
        (np.ones(6, np.float32), ["shape (6,)"]),
        (np.ones((6, 2, 2), np.float32), ["shape (6, 2, 2)"]),
        (np.ones((6, 0), np.float32), ["zero columns"]),
        (np.ones((6, 2)), ["float64", "float32"]),
        (np.ones((6, 2), np.float16), ["float16"]),
    ],
)
def test_embeddings_without_information_are_refused(values: Values, words: list[str]) -> None:
    with pytest.raises(EmbeddingError) as caught:
        check_embeddings(values, KEYS)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message


def test_no_patches_at_all_are_refused() -> None:
    with pytest.raises(EmbeddingError, match="shape"):
        check_embeddings(np.ones((0, 3), np.float32), [])


@pytest.mark.parametrize(
    "values",
    [
        some_values(),
        some_values() * np.float32(1e-30),
        some_values() * np.float32(1e30),
        np.hstack([some_values(), np.zeros((6, 2), np.float32)]),
        np.hstack([some_values(), np.full((6, 1), 300, np.float32)]),
    ],
    ids=["plain", "tiny", "huge", "dead columns", "large constant column"],
)
def test_embeddings_with_information_pass(values: Values) -> None:
    check_embeddings(values, KEYS)


def test_a_single_patch_is_not_called_constant() -> None:
    check_embeddings(np.ones((1, 3), np.float32), ["s-p"])
