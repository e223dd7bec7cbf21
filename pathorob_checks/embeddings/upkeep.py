"""Maintenance of a store: listing its entries, looking for damage, pruning and exporting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.cohorts.cohort import patch_keys
from pathorob_checks.embeddings.locks import keys_in_use
from pathorob_checks.embeddings.shards import DAMAGE, file_name, unpack
from pathorob_checks.embeddings.store import MANIFEST, TIDY, EmbeddingStore
from pathorob_checks.errors import CacheError
from pathorob_checks.models.pooling import SIDE_BY_SIDE

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Entry:
    """What the store has under one key.

    Attributes
    ----------
    fm, cohort : their names when it was extracted; empty if the extraction is not finished.
    patches, dimension : of the embeddings; 0 if the extraction is not finished.
    size : bytes on disk.
    used : when it was last written or read.
    """

    key: str
    fm: str
    cohort: str
    patches: int
    dimension: int
    size: int
    used: datetime

    @property
    def finished(self) -> bool:
        """Whether there is a manifest; otherwise these are the shards of an interrupted extraction."""
        return self.patches > 0


def entries(store: EmbeddingStore) -> list[Entry]:
    """All entries, the most recently used one first."""
    folders = [path for path in (store.root / "embeddings").glob("*/*") if path.is_dir()]
    present = [entry for folder in folders if (entry := _entry(store, folder)) is not None]
    return sorted(present, key=lambda entry: (entry.used, entry.key), reverse=True)


def _entry(store: EmbeddingStore, folder: Path) -> Entry | None:
    try:
        files = [path.stat() for path in folder.iterdir()]
        manifest_path = folder / MANIFEST
        last = manifest_path.stat() if manifest_path.exists() else folder.stat()
    except OSError:  # another process is removing it
        return None
    size, used = sum(file.st_size for file in files), datetime.fromtimestamp(last.st_mtime, UTC)
    try:
        manifest = store.manifest(folder.name)
    except DAMAGE:
        manifest = None
    if manifest is None:
        return Entry(folder.name, "", "", 0, 0, size, used)
    details, shape = manifest["details"], manifest["shape"]
    fm, cohort = (str(details.get(name, "?")) for name in ("fm", "cohort"))
    return Entry(folder.name, fm, cohort, int(shape[0]), int(shape[1]), size, used)


def find(store: EmbeddingStore, prefix: str) -> Entry:
    """The entry whose key begins with `prefix`.

    Raises
    ------
    CacheError : there is none, or there are several.
    """
    candidates = [entry for entry in entries(store) if entry.key.startswith(prefix.lower())]
    if len(candidates) != 1:
        problem = f"{len(candidates) or 'no'} entries of '{store.root}' have keys that begin with {prefix!r}"
        raise CacheError(problem, remedy="see 'pathorob-checks cache ls' and give more of one key")
    return candidates[0]


def problems(store: EmbeddingStore, entry: Entry) -> Iterator[str]:
    """The problems of an entry, one clause each; every byte of it is read."""
    if not entry.finished:
        shards = store.count_shards(entry.key)
        kept = "1 shard is" if shards == 1 else f"{shards} shards are"
        yield f"the extraction was not finished; its {kept} used when it is run again"
        return
    try:
        manifest = store.manifest(entry.key)
        if manifest is None:
            return  # pruned by another process
        plan = store.plan(entry.key, manifest)
    except DAMAGE as error:
        yield f"{error}; the next run extracts it again"
        return
    for shard, listed in enumerate(manifest["shards"]):
        try:
            _, digest = unpack(plan, shard, store.folder(entry.key) / file_name(shard))
        except DAMAGE as error:
            yield f"{file_name(shard)}: {error}; the next run extracts it again"
            continue
        if digest != listed["sha256"]:
            yield f"{file_name(shard)} is not the file that was written; the next run extracts it again"


def prune(store: EmbeddingStore, limit: int) -> list[Entry]:
    """Remove the least recently used entries until at most `limit` bytes are left; returns those removed.

    Entries that a running process uses or extracts stay, even if that exceeds the limit.

    Raises
    ------
    CacheError : the folder cannot be locked or changed.
    """
    removed: list[Entry] = []
    with store.locks.hold(TIDY):
        present = entries(store)
        used = keys_in_use(store.root)
        total = sum(entry.size for entry in present)
        for entry in reversed(present):
            if total <= limit:
                break
            if entry.key in used:
                continue
            with store.locks.try_to_hold(entry.key) as free:
                if not free:
                    continue
                store.remove(entry.key)
            removed.append(entry)
            total -= entry.size
    return removed


def export(
    store: EmbeddingStore, entry: Entry, folder: Path, cohort: tuple[str, pd.DataFrame] | None = None
) -> list[Path]:
    """Write an entry in a layout that `--fm=embeddings:<folder>` reads.

    Parameters
    ----------
    cohort : its name and table, for files in PathoROB's layout, one per medical center; None: one file,
        `<folder>/<cohort>.safetensors`.

    Raises
    ------
    CacheError : the entry is unfinished or damaged or holds more than one pooling, or the file exists or
        cannot be written.
    """
    from pathorob_checks.embeddings import matrix_files, pathorob_layout

    manifest = store.manifest(entry.key) if entry.finished else None
    if manifest is None:
        raise CacheError(
            f"the extraction {entry.key[:12]} is not finished",
            remedy="run pytest with the same FM and cohort until it ends, then export",
        )
    if manifest["identity"].get("pooling") == SIDE_BY_SIDE:
        raise CacheError(
            f"the entry {entry.key[:12]} holds several poolings side by side, which no run reads",
            remedy="run pytest with the FM and one --fm-pooling, then export what that has kept",
        )
    plan = store.plan(entry.key, manifest)
    name, patches = cohort or (entry.cohort, None)
    keys = list(plan.names) if patches is None else patch_keys(patches)
    if set(keys) != set(plan.names):
        raise CacheError(
            f"the entry {entry.key[:12]} does not belong to the cohort {name}",
            remedy="name the cohort that it was extracted from",
        )
    stored = store.load(entry.key, keys)
    if stored is None:
        raise CacheError(
            f"the entry {entry.key[:12]} is damaged",
            remedy="run pytest with the same FM and cohort again, which repairs it, then export",
        )
    if patches is not None:
        return pathorob_layout.write_pathorob_layout(folder, name, patches, stored.values)
    path = folder / f"{Path(name).name}.safetensors"
    if path.exists():
        raise CacheError(f"'{path}' already exists", remedy="give another folder")
    matrix_files.write_tensors(path, keys, stored.values)
    return [path]
