"""What other users of a machine can have written to a cache folder is refused, a read-only one is read."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from color_extraction import NeverLoaded, Prepared, write_colors

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings import ownership
from pathorob_checks.embeddings.extraction import obtain
from pathorob_checks.embeddings.shards import file_name
from pathorob_checks.embeddings.store import MANIFEST, EmbeddingStore
from pathorob_checks.errors import CacheError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
STRANGER = 54321


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return load_folder(write_colors(tmp_path / "colors"))


@pytest.fixture
def store(tmp_path: Path, cohort: Cohort) -> EmbeddingStore:
    """A store with the cohort's embeddings."""
    store = EmbeddingStore(tmp_path / "cache")
    obtain(Prepared(tmp_path / "loads"), cohort, store)
    return store


@pytest.fixture
def loose_umask() -> Iterator[None]:
    before = os.umask(0o002)
    yield
    os.umask(before)


def entry(store: EmbeddingStore) -> Path:
    [manifest] = store.root.glob(f"embeddings/*/*/{MANIFEST}")
    return manifest.parent


PLACES: dict[str, Callable[[EmbeddingStore], Path]] = {
    "root": lambda store: store.root,
    "embeddings": lambda store: store.root / "embeddings",
    "prefix": lambda store: entry(store).parent,
    "entry": entry,
    "shard": lambda store: entry(store) / file_name(0),
    "manifest": lambda store: entry(store) / MANIFEST,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", [0o002, 0o020])
def test_what_others_can_write_is_refused(
    place: str, mode: int, store: EmbeddingStore, cohort: Cohort, tmp_path: Path
) -> None:
    path = PLACES[place](store)
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(CacheError, match=r"can be written by other users .*chmod -R go-w.*--fm-cache=DIR"):
        obtain(NeverLoaded(tmp_path / "loads"), cohort, store)


@pytest.mark.parametrize("place", PLACES)
def test_what_belongs_to_another_user_is_refused(
    place: str, store: EmbeddingStore, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = PLACES[place](store)
    lstat = Path.lstat

    def lstat_of_a_stranger(self: Path) -> os.stat_result:
        result = lstat(self)
        if self != path:
            return result
        return os.stat_result([STRANGER if at == stat.ST_UID else value for at, value in enumerate(result)])

    monkeypatch.setattr(Path, "lstat", lstat_of_a_stranger)
    with pytest.raises(CacheError, match=r"belongs to another user \(number 54321\).*--fm-cache=DIR"):
        obtain(NeverLoaded(tmp_path / "loads"), cohort, store)


@pytest.mark.parametrize("name", [MANIFEST, file_name(0), "patches.parquet"])
def test_a_pipe_in_the_place_of_a_file_is_refused(
    name: str, store: EmbeddingStore, cohort: Cohort, tmp_path: Path
) -> None:
    path = entry(store) / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CacheError, match=f"{name}' of the cache folder is neither a file nor a folder"):
        obtain(NeverLoaded(tmp_path / "loads"), cohort, store)


def test_shards_of_an_interrupted_extraction_are_refused_too(
    store: EmbeddingStore, cohort: Cohort, tmp_path: Path
) -> None:
    (entry(store) / MANIFEST).unlink()
    next(store.root.glob("embeddings/*/*")).chmod(0o777)
    with pytest.raises(CacheError, match="can be written by other users"):
        obtain(NeverLoaded(tmp_path / "loads"), cohort, store)


def test_a_sticky_folder_holds_a_cache_of_ones_own(
    store: EmbeddingStore, cohort: Cohort, tmp_path: Path
) -> None:
    store.root.chmod(0o1777)
    assert not obtain(NeverLoaded(tmp_path / "loads"), cohort, store).extracted


def test_the_administrators_files_are_believed(
    store: EmbeddingStore, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs files of the administrator")
    monkeypatch.setattr(ownership.os, "geteuid", lambda: STRANGER)
    assert not obtain(NeverLoaded(tmp_path / "loads"), cohort, store).extracted


@pytest.mark.usefixtures("loose_umask")
def test_the_store_opens_nothing_to_a_group_whatever_the_umask(cohort: Cohort, tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "new" / "cache")
    obtain(Prepared(tmp_path / "loads"), cohort, store)
    assert not obtain(NeverLoaded(tmp_path / "loads"), cohort, store).extracted
    parts = [store.root, *store.root.rglob("*")]
    open_to_others = [part for part in parts if part.parent.name != "leases" and part.stat().st_mode & 0o022]
    assert [part for part in open_to_others if part.suffix != ".lock"] == []


def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every file system read-only for writers."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("pathorob_checks.embeddings.store.write_atomically", refuse)
    monkeypatch.setattr("pathorob_checks.embeddings.ownership.make_folder", refuse)
    monkeypatch.setattr("pathorob_checks.embeddings.locks.make_folder", refuse)


def test_a_complete_cache_that_is_read_only_is_read(
    store: EmbeddingStore, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_only(monkeypatch)
    store.check_usable()
    assert not obtain(NeverLoaded(tmp_path / "loads"), cohort, store).extracted


def test_a_read_only_cache_fails_when_something_has_to_be_written(
    store: EmbeddingStore, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_only(monkeypatch)
    other = NeverLoaded(tmp_path / "loads", identity={"architecture": "color", "revision": "2"})
    with pytest.raises(CacheError, match="Read-only file system; give a writable folder"):
        obtain(other, cohort, store)
    empty = EmbeddingStore(tmp_path / "empty")
    empty.root.mkdir()
    with pytest.raises(CacheError, match="Read-only file system"):
        empty.check_usable()


def test_the_home_of_an_unknown_user_stays_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATHOROB_CHECKS_CACHE", "~nobody-of-this-name/cache")
    EmbeddingStore().check_writable()
    assert (tmp_path / "~nobody-of-this-name" / "cache").is_dir()
