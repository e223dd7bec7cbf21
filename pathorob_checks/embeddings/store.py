"""Embeddings on disk, one folder per key, safe against other processes and against crashes.

    <root>/embeddings/<key[:2]>/<key>/embeddings.safetensors   "embeddings" (N, D) float32, "keys" uint8 JSON
                                     /manifest.json            what it is, and the file's SHA-256
                                     /parts/                   finished pieces of an extraction under way
    <root>/locks/<key>.lock

Rows are kept sorted by patch key, so the file does not depend on the order of a cohort's table. The
manifest is written last and names the digest of the file: without it, or with another digest, there is
no entry. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import json
import logging
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import numpy.typing as npt
import platformdirs
import safetensors
import safetensors.numpy

from pathorob_checks import __version__
from pathorob_checks.embeddings.identity import FORMAT_VERSION, decoder, plain
from pathorob_checks.errors import CacheError

SCHEMA = "pathorob-checks/embeddings/1"
DATA = "embeddings.safetensors"
MANIFEST = "manifest.json"
PARTS = "parts"

logger = logging.getLogger(__name__)

# What reading a damaged file raises: it is gone, no JSON, no safetensors, or lacks a piece.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, RecursionError, safetensors.SafetensorError)


@dataclass(frozen=True)
class StoredEmbeddings:
    """An entry of the store.

    Attributes
    ----------
    values : (N, D) float32, read-only, in the order of the keys that were asked for.
    identity : the model's identity.
    details : what the extraction noted (device, seconds, ...).
    """

    values: npt.NDArray[np.float32]
    identity: dict[str, object]
    details: dict[str, object]


def default_root() -> Path:
    """The user's cache folder for this package, as the operating system wants it."""
    return Path(platformdirs.user_cache_dir("pathorob-checks", appauthor=False))


class EmbeddingStore:
    """Embeddings by key under a root folder, which need not exist yet."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = default_root() if root is None else root
        self._locks: dict[str, filelock.BaseFileLock] = {}

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
        with self._cache_errors("written to"):
            self.root.mkdir(parents=True, exist_ok=True)
            _write(self.root / ".writable", b"?")
            (self.root / ".writable").unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold `key` alone among all processes and threads; the same thread may enter again.

        The operating system gives the lock back when a process dies.

        Raises
        ------
        CacheError : the lock file cannot be made.
        """
        self.folder(key)
        lock = self._locks.setdefault(key, filelock.FileLock(self.root / "locks" / f"{key}.lock"))
        with self._cache_errors("locked"):
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                logger.info("waiting for another process that extracts %s", key)
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def load(self, key: str, keys: Sequence[str]) -> StoredEmbeddings | None:
        """The entry of `key` with its rows in the order of `keys` (patch keys).

        Anything that is not whole is a miss, and is logged: the caller extracts again.
        """
        folder = self.folder(key)
        try:
            raw = (folder / MANIFEST).read_bytes()
        except FileNotFoundError:
            logger.debug("no embeddings for %s", key)
            return None
        except OSError as error:
            logger.warning("embeddings %s cannot be read and will be extracted again: %s", key, error)
            return None
        try:
            manifest = json.loads(raw)
            _expect(isinstance(manifest, dict), "the manifest is no JSON object")
            _expect(
                manifest.get("schema") == SCHEMA and manifest.get("key") == key,
                "the manifest is of something else",
            )
            content = (folder / DATA).read_bytes()
            _expect(
                hashlib.sha256(content).hexdigest() == manifest.get("sha256"), f"{DATA} has another digest"
            )
            values, stored = _unpack(content)
            _expect(list(values.shape) == manifest.get("shape"), f"{DATA} has another shape")
            identity, details = manifest.get("identity"), manifest.get("details")
            _expect(isinstance(identity, dict) and isinstance(details, dict), "the manifest is incomplete")
            values = values[_positions(stored, keys)]
        except _DAMAGE as error:
            logger.warning("embeddings %s are damaged and will be extracted again: %s", key, error)
            return None
        values.flags.writeable = False
        return StoredEmbeddings(values, identity, details)

    def save(
        self,
        key: str,
        keys: Sequence[str],
        values: npt.NDArray[np.float32],
        identity: Mapping[str, object],
        details: Mapping[str, object],
    ) -> None:
        """Keep `values` (N, D) float32, row i of patch `keys[i]`, under `key`, replacing what is there.

        Readers see the old entry, the new one, or none; never a mixture.

        Raises
        ------
        CacheError : the folder cannot be written or the disk is full.
        """
        content = _pack(keys, values)
        manifest = {
            "schema": SCHEMA,
            "key": key,
            "sha256": hashlib.sha256(content).hexdigest(),
            "shape": list(values.shape),
            "dtype": str(values.dtype),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "identity": plain(identity),
            "details": plain(details),
            "software": software(),
        }
        text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False)
        folder = self.folder(key)
        with self.lock(key), self._cache_errors("written to"):
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / DATA, content)
            _write(folder / MANIFEST, text.encode())
            shutil.rmtree(folder / PARTS, ignore_errors=True)

    def save_part(self, key: str, keys: Sequence[str], values: npt.NDArray[np.float32]) -> None:
        """Keep a finished piece of an extraction, so that an interrupted one goes on from there.

        Raises
        ------
        CacheError : the folder cannot be written or the disk is full.
        """
        content = _pack(keys, values)
        folder = self.folder(key) / PARTS
        with self._cache_errors("written to"):
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / f"{hashlib.sha256(content).hexdigest()}.safetensors", content)

    def load_parts(self, key: str) -> dict[str, npt.NDArray[np.float32]]:
        """Patch key -> (D,) float32 of the whole pieces that an interrupted extraction left."""
        rows: dict[str, npt.NDArray[np.float32]] = {}
        for path in sorted((self.folder(key) / PARTS).glob("*.safetensors")):
            try:
                content = path.read_bytes()
                _expect(hashlib.sha256(content).hexdigest() == path.stem, "it has another digest")
                values, stored = _unpack(content)
            except _DAMAGE as error:
                logger.warning("leaving out the damaged piece %s: %s", path.name, error)
                continue
            rows.update(zip(stored, values, strict=True))
        return rows

    def drop_parts(self, key: str) -> None:
        """Forget the pieces of an extraction that came to nothing."""
        shutil.rmtree(self.folder(key) / PARTS, ignore_errors=True)

    @contextlib.contextmanager
    def _cache_errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise CacheError(
                f"cache folder '{self.root}' cannot be {verb}: {reason}",
                remedy=f"{'free some space or ' if full else ''}give a writable folder with --fm-cache=DIR",
            ) from error


def software() -> dict[str, str]:
    """Versions that a reader of the entry may want to know; they are not part of its key."""
    return {
        "pathorob-checks": __version__,
        "format": str(FORMAT_VERSION),
        "python": platform.python_version(),
        "numpy": np.__version__,
        **decoder(),
    }


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def _pack(keys: Sequence[str], values: npt.NDArray[np.float32]) -> bytes:
    if (
        values.dtype != np.float32
        or values.ndim != 2
        or len(values) != len(keys)
        or len(set(keys)) != len(keys)
    ):
        raise ValueError(
            f"{values.dtype} {values.shape} under {len(set(keys))} distinct keys cannot be stored"
        )
    order = sorted(range(len(keys)), key=keys.__getitem__)
    names = json.dumps([keys[row] for row in order]).encode()
    return safetensors.numpy.save(
        {"embeddings": np.ascontiguousarray(values[order]), "keys": np.frombuffer(names, dtype=np.uint8)}
    )


def _unpack(content: bytes) -> tuple[npt.NDArray[np.float32], list[str]]:
    tensors = safetensors.numpy.load(content)
    values, keys = tensors["embeddings"], json.loads(tensors["keys"].tobytes())
    _expect(
        values.dtype == np.float32 and values.ndim == 2 and len(values) == len(keys),
        "rows and keys do not match",
    )
    return values, keys


def _positions(stored: Sequence[str], keys: Sequence[str]) -> list[int]:
    """Where each of `keys` is in `stored`, which must hold these keys and no others."""
    at = {name: row for row, name in enumerate(stored)}
    _expect(len(stored) == len(keys) and at.keys() == set(keys), "it holds other patches")
    return [at[name] for name in keys]


def _write(path: Path, content: bytes) -> None:
    """Replace `path` in one step: a crash leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
