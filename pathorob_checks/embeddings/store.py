"""Embeddings on disk, one folder per key, safe against other processes and against crashes.

    <root>/embeddings/<key[:2]>/<key>/shard-00000.safetensors   "embeddings" (n, D) float32
                                     /patches.parquet           patch_key, shard, row of each patch
                                     /manifest.json             identity, details, digest of each file

Shards are written one by one: after an interruption only the missing ones are extracted. The manifest is
written last; without it there is no entry. Every digest is compared on reading, and a damaged shard counts
as missing until it is extracted again: one that a manifest names must be that very file, whatever it says of
itself. Nothing is believed that another user can have written (`ownership`). Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from pathorob_checks.canonical import plain
from pathorob_checks.console import logger_of
from pathorob_checks.embeddings.files import cache_errors
from pathorob_checks.embeddings.identity import FORMAT_VERSION, decoder
from pathorob_checks.embeddings.locks import Lease, Locks
from pathorob_checks.embeddings.ownership import FILE_MODE, check_private, make_folder
from pathorob_checks.embeddings.shards import (
    DAMAGE,
    PATTERN,
    Float32,
    ShardPlan,
    expect,
    file_name,
    pack,
    unpack,
)
from pathorob_checks.errors import CacheError
from pathorob_checks.files import TEMPORARY, expanded, write_atomically
from pathorob_checks.version import version

SCHEMA = "pathorob-checks/embeddings/2"
MANIFEST = "manifest.json"
PATCHES = "patches.parquet"
TIDY = "tidy"  # name of the lock that is held while a process decides which entries are in use

logger = logger_of(__name__)


@dataclass(frozen=True)
class StoredEmbeddings:
    """An entry of the store.

    Attributes
    ----------
    values : (N, D) float32, read-only, in the order of the requested keys.
    identity : the model's identity.
    details : of the extraction (device, seconds, ...).
    """

    values: Float32
    identity: dict[str, object]
    details: dict[str, object]


def default_root() -> Path:
    """`PATHOROB_CHECKS_CACHE`, or the user's cache folder where the operating system expects it."""
    chosen = os.environ.get("PATHOROB_CHECKS_CACHE")
    if chosen:
        return expanded(chosen)
    return Path(platformdirs.user_cache_dir("pathorob-checks", appauthor=False))


class EmbeddingStore:
    """Embeddings by key under a root folder, which need not exist yet."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = default_root() if root is None else root
        self.locks = Locks(self.root)
        self._lease = Lease(self.root)

    def folder(self, key: str) -> Path:
        """The folder of the entry of `key`."""
        if not re.fullmatch(r"[0-9a-f]{64}", key):
            raise ValueError(f"not a key: {key!r}")  # it becomes a path
        return self.root / "embeddings" / key[:2] / key

    def check_private(self, key: str | None = None) -> None:
        """Refuse what other users can have written: the folders down to an entry, and its files.

        Raises
        ------
        CacheError : a folder or file belongs to another user or can be written by others.
        """
        paths = [self.root, self.root / "embeddings"]
        if key is not None:
            folder = self.folder(key)
            paths += [folder.parent, folder, *sorted(folder.glob("[!.]*"))]
        check_private(self.root, paths)

    def check_usable(self) -> None:
        """Refuse a folder that others can write to, or that can neither be written nor has any embeddings.

        Raises
        ------
        CacheError : see `check_private` and `check_writable`.
        """
        try:
            self.check_writable()
        except CacheError:
            self.check_private()
            if not any((self.root / "embeddings").glob(f"*/*/{MANIFEST}")):
                raise

    def check_writable(self) -> None:
        """Write and delete a small file, so that an unusable folder is noticed before an extraction.

        Raises
        ------
        CacheError : the root is a file, read-only, on a full disk, or open to others (see `check_private`).
        """
        self.check_private()
        with cache_errors(self.root, "written to"):
            make_folder(self.root, self.root)
            write_atomically(self.root / ".writable", b"?", FILE_MODE)
            (self.root / ".writable").unlink(missing_ok=True)

    def use(self, key: str) -> None:
        """Keep other processes from pruning `key` until this process ends."""
        self.folder(key)
        with contextlib.suppress(CacheError), self.locks.hold(TIDY):  # a read-only folder cannot be pruned
            self._lease.take(key)

    @contextlib.contextmanager
    def lock(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock of `key`, excluding all other processes and threads; the same thread may enter again.

        Raises
        ------
        CacheError : the lock file cannot be made.
        """
        self.folder(key)
        with self.locks.hold(key, waiting):
            yield

    def load(self, key: str, keys: Sequence[str]) -> StoredEmbeddings | None:
        """The entry of `key` with its rows in the order of `keys` (patch keys).

        A damaged entry is logged and gives None: the caller extracts its missing shards again.

        Raises
        ------
        CacheError : other users can have written the entry (see `check_private`).
        """
        folder = self.folder(key)
        self.check_private(key)
        try:
            manifest = self.manifest(key)
            if manifest is None:
                logger.debug("no embeddings for %s", key)
                return None
            plan = self.plan(key, manifest)
            row_of = {name: row for row, name in enumerate(keys)}
            expect(len(row_of) == len(keys) == len(plan.names), "it holds other patches")
            expect(row_of.keys() == set(plan.names), "it holds other patches")
            values = np.empty(tuple(manifest["shape"]), dtype=np.float32)
            for shard, listed in enumerate(manifest["shards"]):
                block, sha256 = unpack(plan, shard, folder / file_name(shard))
                expect(sha256 == listed["sha256"], f"{file_name(shard)} is not the file that was written")
                values[[row_of[name] for name in plan.patches(shard)]] = block
        except DAMAGE as error:
            logger.warning("embeddings %s are damaged and will be extracted again: %s", key, error)
            return None
        with contextlib.suppress(OSError):
            os.utime(folder / MANIFEST)  # the time of its last use
        values.flags.writeable = False
        return StoredEmbeddings(values, manifest["identity"], manifest["details"])

    def manifest(self, key: str) -> dict[str, Any] | None:
        """The manifest of `key`; None where there is no entry.

        Raises
        ------
        One of `shards.DAMAGE` : the file is not a manifest of `key`.
        """
        try:
            manifest: dict[str, Any] = json.loads((self.folder(key) / MANIFEST).read_bytes())
        except FileNotFoundError:
            return None
        expect(isinstance(manifest, dict), "the manifest is not a JSON object")
        ours = manifest.get("schema") == SCHEMA and manifest.get("key") == key
        expect(ours, "the manifest belongs to another entry")
        kinds = {"shape": list, "shards": list, "patches": dict, "identity": dict, "details": dict}
        whole = all(isinstance(manifest.get(name), kind) for name, kind in kinds.items())
        expect(whole, "the manifest is incomplete")
        return manifest

    def plan(self, key: str, manifest: Mapping[str, Any]) -> ShardPlan:
        """The patches of an entry, shard by shard.

        Raises
        ------
        One of `shards.DAMAGE` : the table of patches is damaged or does not fit the manifest.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = (self.folder(key) / PATCHES).read_bytes()
        listed = manifest["patches"]
        expect(hashlib.sha256(content).hexdigest() == listed["sha256"], f"{PATCHES} has another digest")
        # Without Arrow's threads and Python's file objects, which can abort a process as it ends.
        table = pq.ParquetFile(pa.BufferReader(content)).read(columns=["patch_key"], use_threads=False)
        names = tuple(table["patch_key"].to_pylist())
        plan = ShardPlan(key, names, int(listed["per_shard"]))
        fits = len(plan) == len(manifest["shards"]) and len(names) == manifest["shape"][0]
        expect(fits, f"{PATCHES} and the manifest have different numbers of patches")
        return plan

    def whole_shards(self, plan: ShardPlan, among: Iterable[int] | None = None) -> list[int]:
        """Shards of an extraction that are on disk and undamaged; None: among all of them.

        A shard of an entry must be the file that the entry's manifest names. Where there is no manifest,
        after an interruption, a shard is known by what it says of itself.

        Raises
        ------
        CacheError : other users can have written them (see `check_private`).
        """
        self.check_private(plan.key)
        listed = self._listed(plan)
        whole = []
        for shard in range(len(plan)) if among is None else among:
            path = self.folder(plan.key) / file_name(shard)
            try:
                _, sha256 = unpack(plan, shard, path)
                expect(sha256 == listed.get(shard, sha256), "it is not the file that was written")
            except FileNotFoundError:
                continue
            except DAMAGE as error:
                logger.warning("%s is damaged and will be extracted again: %s", path, error)
                continue
            whole.append(shard)
        return whole

    def _listed(self, plan: ShardPlan) -> dict[int, object]:
        """The digest of each shard by the manifest; empty where there is none that can be read."""
        with contextlib.suppress(*DAMAGE):
            if manifest := self.manifest(plan.key):
                return {shard: listed["sha256"] for shard, listed in enumerate(manifest["shards"])}
        return {}

    def count_shards(self, key: str) -> int:
        """The number of shard files, which are not read: the progress of another process."""
        return sum(1 for _ in self.folder(key).glob(PATTERN))

    def put(self, plan: ShardPlan, shard: int, values: Float32) -> None:
        """Keep one shard, (n, D) float32 in the plan's order.

        Raises
        ------
        CacheError : the folder cannot be written or the disk is full.
        """
        if values.dtype != np.float32 or values.ndim != 2 or len(values) != len(plan.patches(shard)):
            raise ValueError(f"{values.dtype} {values.shape} is not shard {shard} of {plan.key}")
        with cache_errors(self.root, "written to"):
            make_folder(self.root, self.folder(plan.key))
            path = self.folder(plan.key) / file_name(shard)
            write_atomically(path, pack(plan, shard, values), FILE_MODE)

    def assemble(self, plan: ShardPlan, keys: Sequence[str]) -> tuple[Float32, list[dict[str, Any]]]:
        """All shards of an extraction -> (N, D) float32 in the order of `keys`, and the manifest's shards.

        Raises
        ------
        CacheError : a shard is missing or damaged, or has another number of columns.
        """
        row_of = {name: row for row, name in enumerate(keys)}
        whole: Float32 | None = None
        files: list[dict[str, Any]] = []
        for shard in range(len(plan)):
            path = self.folder(plan.key) / file_name(shard)
            try:
                values, sha256 = unpack(plan, shard, path)
                if whole is None:
                    whole = np.empty((len(keys), values.shape[1]), dtype=np.float32)
                expect(values.shape[1] == whole.shape[1], "it has another number of columns")
            except DAMAGE as error:
                raise CacheError(
                    f"{path.name} of '{self.root}' was damaged after it was written: {error}",
                    remedy="run again, which keeps the undamaged shards; if it happens again, check the disk",
                ) from error
            whole[[row_of[name] for name in plan.patches(shard)]] = values
            files.append({"file": path.name, "rows": len(values), "sha256": sha256})
        if whole is None:
            raise ValueError(f"{plan.key} has no patches")
        return whole, files

    def finish(
        self,
        plan: ShardPlan,
        shards: Sequence[Mapping[str, Any]],
        dimension: int,
        identity: Mapping[str, object],
        details: Mapping[str, object],
    ) -> None:
        """Turn the shards of `plan` into an entry. Other processes see all of it or nothing.

        Raises
        ------
        CacheError : the folder cannot be written or the disk is full.
        """
        table = _table_of_patches(plan)
        manifest = {
            "schema": SCHEMA,
            "key": plan.key,
            "shape": [len(plan.names), dimension],
            "dtype": "float32",
            "shards": list(shards),
            "patches": {
                "file": PATCHES,
                "sha256": hashlib.sha256(table).hexdigest(),
                "per_shard": plan.size,
            },
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "identity": plain(identity),
            "details": plain(details),
            "software": software(),
        }
        text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False)
        folder = self.folder(plan.key)
        with self.lock(plan.key), cache_errors(self.root, "written to"):
            write_atomically(folder / PATCHES, table, FILE_MODE)
            write_atomically(folder / MANIFEST, text.encode(), FILE_MODE)
            for temporary in folder.glob(TEMPORARY):  # of processes that were killed
                temporary.unlink(missing_ok=True)

    def remove(self, key: str) -> None:
        """Delete an entry, or the shards of an extraction that failed."""
        folder = self.folder(key)
        with contextlib.suppress(OSError):
            (folder / MANIFEST).unlink(missing_ok=True)  # first, so that the rest is no longer an entry
        shutil.rmtree(folder, ignore_errors=True)


def software() -> dict[str, str]:
    """Versions, for people who read the manifest; they are not part of its key."""
    return {
        "pathorob-checks": version(),
        "format": str(FORMAT_VERSION),
        "python": platform.python_version(),
        "numpy": np.__version__,
        **decoder(),
    }


def _table_of_patches(plan: ShardPlan) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = [(shard, row) for shard in range(len(plan)) for row in range(len(plan.patches(shard)))]
    table = pa.table(
        {
            "patch_key": pa.array(plan.names, pa.string()),
            "shard": pa.array([shard for shard, _ in places], pa.int32()),
            "row": pa.array([row for _, row in places], pa.int32()),
        }
    )
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream)
    return bytes(stream.getvalue())
