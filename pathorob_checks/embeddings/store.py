"""Embeddings on disk, one folder per key, safe against other processes and against crashes.

    <root>/embeddings/<key[:2]>/<key>/shard-00000.safetensors   "embeddings" (n, D) float32
                                     /patches.parquet           patch_key, shard, row: what stands where
                                     /manifest.json             what it is, with the digest of each file

Shards are kept as they come: an extraction that is interrupted goes on with those that are missing. The
manifest is written last; without it there is no entry. Every digest is compared on reading, and a damaged
shard is missing until it is extracted again. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import logging
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

from pathorob_checks import __version__
from pathorob_checks.embeddings.files import TEMPORARY, cache_errors, write
from pathorob_checks.embeddings.identity import FORMAT_VERSION, decoder, plain
from pathorob_checks.embeddings.locks import Lease, Locks
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

SCHEMA = "pathorob-checks/embeddings/2"
MANIFEST = "manifest.json"
PATCHES = "patches.parquet"
TIDY = "tidy"  # held while somebody decides what is in use

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredEmbeddings:
    """An entry of the store.

    Attributes
    ----------
    values : (N, D) float32, read-only, in the order of the keys that were asked for.
    identity : the model's identity.
    details : what the extraction noted (device, seconds, ...).
    """

    values: Float32
    identity: dict[str, object]
    details: dict[str, object]


def default_root() -> Path:
    """The user's cache folder for this package, as the operating system wants it."""
    return Path(platformdirs.user_cache_dir("pathorob-checks", appauthor=False))


class EmbeddingStore:
    """Embeddings by key under a root folder, which need not exist yet."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = default_root() if root is None else root
        self.locks = Locks(self.root)
        self._lease = Lease(self.root)

    def folder(self, key: str) -> Path:
        """Where the entry of `key` lives."""
        if not re.fullmatch(r"[0-9a-f]{64}", key):
            raise ValueError(f"not a key: {key!r}")  # it becomes a path
        return self.root / "embeddings" / key[:2] / key

    def check_writable(self) -> None:
        """Write and delete a small file, before an extraction is paid for.

        Raises
        ------
        CacheError : the root is a file, read-only, or on a full disk.
        """
        with cache_errors(self.root, "written to"):
            self.root.mkdir(parents=True, exist_ok=True)
            write(self.root / ".writable", b"?")
            (self.root / ".writable").unlink(missing_ok=True)

    def use(self, key: str) -> None:
        """Keep `key` from being pruned as long as this process lives."""
        self.folder(key)
        with contextlib.suppress(CacheError), self.locks.hold(TIDY):  # nobody prunes a read-only folder
            self._lease.take(key)

    @contextlib.contextmanager
    def lock(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold `key` alone among all processes and threads; the same thread may enter again.

        Raises
        ------
        CacheError : the lock file cannot be made.
        """
        self.folder(key)
        with self.locks.hold(key, waiting):
            yield

    def load(self, key: str, keys: Sequence[str]) -> StoredEmbeddings | None:
        """The entry of `key` with its rows in the order of `keys` (patch keys).

        Anything that is not whole is a miss, and is logged: the caller extracts again what is missing.
        """
        folder = self.folder(key)
        try:
            manifest = self.manifest(key)
            if manifest is None:
                logger.debug("no embeddings for %s", key)
                return None
            plan = self.plan(key, manifest)
            at = {name: row for row, name in enumerate(keys)}
            expect(len(at) == len(keys) == len(plan.names), "it holds other patches")
            expect(at.keys() == set(plan.names), "it holds other patches")
            values = np.empty(tuple(manifest["shape"]), dtype=np.float32)
            for shard, told in enumerate(manifest["shards"]):
                found, sha256 = unpack(plan, shard, folder / file_name(shard))
                expect(sha256 == told["sha256"], f"{file_name(shard)} is not the one that was written")
                values[[at[name] for name in plan.patches(shard)]] = found
        except DAMAGE as error:
            logger.warning("embeddings %s are damaged and will be extracted again: %s", key, error)
            return None
        with contextlib.suppress(OSError):
            os.utime(folder / MANIFEST)  # when it was used last
        values.flags.writeable = False
        return StoredEmbeddings(values, manifest["identity"], manifest["details"])

    def manifest(self, key: str) -> dict[str, Any] | None:
        """The manifest of `key`; None where there is no entry.

        Raises
        ------
        One of `shards.DAMAGE` : it is there and no manifest.
        """
        try:
            manifest: dict[str, Any] = json.loads((self.folder(key) / MANIFEST).read_bytes())
        except FileNotFoundError:
            return None
        expect(isinstance(manifest, dict), "the manifest is no JSON object")
        ours = manifest.get("schema") == SCHEMA and manifest.get("key") == key
        expect(ours, "the manifest is of something else")
        kinds = {"shape": list, "shards": list, "patches": dict, "identity": dict, "details": dict}
        whole = all(isinstance(manifest.get(name), kind) for name, kind in kinds.items())
        expect(whole, "the manifest is incomplete")
        return manifest

    def plan(self, key: str, manifest: Mapping[str, Any]) -> ShardPlan:
        """Which patches an entry holds, shard by shard.

        Raises
        ------
        One of `shards.DAMAGE` : the table of patches is damaged or does not fit the manifest.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = (self.folder(key) / PATCHES).read_bytes()
        told = manifest["patches"]
        expect(hashlib.sha256(content).hexdigest() == told["sha256"], f"{PATCHES} has another digest")
        # Without Arrow's threads and Python's file objects, which may abort a process when it ends.
        table = pq.ParquetFile(pa.BufferReader(content)).read(columns=["patch_key"], use_threads=False)
        names = tuple(table["patch_key"].to_pylist())
        plan = ShardPlan(key, names, int(told["per_shard"]))
        fits = len(plan) == len(manifest["shards"]) and len(names) == manifest["shape"][0]
        expect(fits, f"{PATCHES} lists other patches than the manifest")
        return plan

    def whole_shards(self, plan: ShardPlan, among: Iterable[int] | None = None) -> list[int]:
        """Shards of an extraction that are on disk and undamaged, of all or `among` some."""
        whole = []
        for shard in range(len(plan)) if among is None else among:
            path = self.folder(plan.key) / file_name(shard)
            try:
                unpack(plan, shard, path)
            except FileNotFoundError:
                continue
            except DAMAGE as error:
                logger.warning("%s is damaged and will be extracted again: %s", path, error)
                continue
            whole.append(shard)
        return whole

    def count_shards(self, key: str) -> int:
        """How many shards there are so far, unread: for telling how far another process has come."""
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
            self.folder(plan.key).mkdir(parents=True, exist_ok=True)
            write(self.folder(plan.key) / file_name(shard), pack(plan, shard, values))

    def assemble(self, plan: ShardPlan, keys: Sequence[str]) -> tuple[Float32, list[dict[str, Any]]]:
        """All shards of an extraction -> (N, D) float32 in the order of `keys`, and what a manifest says.

        Raises
        ------
        CacheError : a shard is missing or damaged, or has another number of columns.
        """
        at = {name: row for row, name in enumerate(keys)}
        whole: Float32 | None = None
        told: list[dict[str, Any]] = []
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
                    remedy="run again: what is whole is kept; if it happens again, check the disk",
                ) from error
            whole[[at[name] for name in plan.patches(shard)]] = values
            told.append({"file": path.name, "rows": len(values), "sha256": sha256})
        if whole is None:
            raise ValueError(f"{plan.key} has no patches")
        return whole, told

    def finish(
        self,
        plan: ShardPlan,
        shards: Sequence[Mapping[str, Any]],
        dimension: int,
        identity: Mapping[str, object],
        details: Mapping[str, object],
    ) -> None:
        """Make the shards of `plan` an entry. Readers see all of it or none.

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
            write(folder / PATCHES, table)
            write(folder / MANIFEST, text.encode())
            for litter in folder.glob(TEMPORARY):  # of writers that were killed
                litter.unlink(missing_ok=True)

    def remove(self, key: str) -> None:
        """Forget an entry, or the shards of an extraction that came to nothing."""
        folder = self.folder(key)
        with contextlib.suppress(OSError):
            (folder / MANIFEST).unlink(missing_ok=True)  # first: what is left is no entry any more
        shutil.rmtree(folder, ignore_errors=True)


def software() -> dict[str, str]:
    """Versions that a reader of the entry may want to know; they are not part of its key."""
    return {
        "pathorob-checks": __version__,
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
