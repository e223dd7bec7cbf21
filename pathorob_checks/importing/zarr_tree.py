"""A zarr store on disk as a tree of arrays, in which nothing leads out of its folder.

Arrays are opened one by one from their own metadata: a store's consolidated copy of it may say otherwise. The
codecs that unpack an array are looked up in a table first, because some of them unpickle.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings import declared
from pathorob_checks.embeddings.matrix_files import reading_errors
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.files import read_limited
from pathorob_checks.importing.bag import Rows, read_rows
from pathorob_checks.importing.libraries import require
from pathorob_checks.importing.source import Source
from pathorob_checks.wording import quoted

_CODECS = {
    "blosc", "bytes", "bz2", "crc32c", "gzip", "lz4", "sharding_indexed", "shuffle", "transpose", "vlen-utf8",
    "zlib", "zstd",
}  # fmt: skip
_VERSION_3 = "zarr.json"  # a file of metadata; version 2 has .zarray, .zgroup and .zattrs
_MOST_METADATA = 1 << 24


class ZarrArray:
    """An array whose numbers are not read yet; see `Hdf5Array`."""

    def __init__(self, folder: Path, size: int, where: str) -> None:
        import zarr

        self._array = zarr.open_array(store=str(folder), mode="r")
        self.shape: tuple[int, ...] = tuple(map(int, self._array.shape))
        self.dtype = str(np.dtype(self._array.dtype).name)
        numbers = max(math.prod(self.shape), math.prod(self._array.chunks))
        declared.check_expansion(numbers * np.dtype(self._array.dtype).itemsize, size, where)

    def rows(self, rows: Rows | None = None, *, squeezed: bool = False) -> npt.NDArray[Any]:
        """All rows, or some in ascending order; `squeezed`: they are along the second axis of (1, N, D)."""
        if rows is None:
            return np.asarray(self._array[...])
        return read_rows(self._array, rows, squeezed=squeezed)

    def texts(self) -> list[str]:
        """Its values as text."""
        texts = list(map(str, np.asarray(self._array[...]).tolist()))
        if max(map(len, texts), default=0) > declared.LONGEST_ID:
            raise ValueError(f"it has an id of more than {declared.LONGEST_ID:,} characters")
        return texts


class ZarrTree:
    """A group of a store; names of arrays and groups in it are paths such as `obs/_index`."""

    def __init__(self, source: Source, folder: Path, where: str) -> None:
        self._source, self._folder, self._where = source, folder, where

    def names(self, group: str = "") -> list[str]:
        """What is in a group; nothing where there is no such group."""
        folder = self._folder / group
        if not folder.is_dir():
            return []
        with reading_errors(self._where):
            return sorted(path.name for path in folder.iterdir() if path.is_dir() and self._kind(path))

    def array(self, name: str) -> ZarrArray | None:
        """An array; None where there is none of this name."""
        folder = self._folder / name
        with reading_errors(self._where):
            if self._kind(folder) != "array":
                return None
            size = sum(self._source.open(path).stat().st_size for path in _files(folder))
            unknown = codecs_of(self._metadata(folder)) - _CODECS
            if unknown:
                raise EmbeddingError(
                    f"the array '{name}' of '{self._where}' is packed by {quoted(sorted(unknown))}, which "
                    "is not unpacked",
                    remedy="write it again with zarr's usual compression",
                )
            return ZarrArray(folder, size, f"'{self._where}'")

    def attribute(self, name: str, key: str) -> str | None:
        """An attribute that is text; None where there is none."""
        folder = self._folder / name
        with reading_errors(self._where):
            value = self._attributes(folder).get(key)
        return value if isinstance(value, str) else None

    def _json(self, path: Path) -> Mapping[str, Any]:
        content = json.loads(read_limited(self._source.open(path), _MOST_METADATA))
        if not isinstance(content, dict):
            raise ValueError(f"'{path.name}' holds no object of JSON")
        return content

    def _metadata(self, folder: Path) -> Mapping[str, Any]:
        """Of an array."""
        path = folder / _VERSION_3
        return self._json(path if path.is_file() else folder / ".zarray")

    def _kind(self, folder: Path) -> str:
        """`array`, `group`, or nothing."""
        if (folder / _VERSION_3).is_file():
            return str(self._json(folder / _VERSION_3).get("node_type", ""))
        kinds = {".zarray": "array", ".zgroup": "group"}
        return next((kind for name, kind in kinds.items() if (folder / name).is_file()), "")

    def _attributes(self, folder: Path) -> Mapping[str, Any]:
        """Of an array or a group."""
        if (folder / _VERSION_3).is_file():
            attributes = self._json(folder / _VERSION_3).get("attributes", {})
        else:
            attributes = self._json(folder / ".zattrs") if (folder / ".zattrs").is_file() else {}
        return attributes if isinstance(attributes, dict) else {}


@contextlib.contextmanager
def zarr_tree(source: Source, folder: Path, where: str) -> Iterator[ZarrTree]:
    """A group of a zarr store.

    Raises
    ------
    EmbeddingError : zarr is not installed, or the store cannot be read.
    """
    require("zarr", f"'{where}'")
    with reading_errors(where):
        yield ZarrTree(source, folder, where)


def codecs_of(value: object) -> set[str]:
    """Names of all codecs in an array's metadata, those inside others too."""
    if isinstance(value, list):
        return set().union(*map(codecs_of, value))
    if not isinstance(value, dict):
        return set()
    if "zarr_format" in value:
        parts = [value.get(key) for key in ("codecs", "compressor", "filters", "storage_transformers")]
        return set().union(*map(codecs_of, parts))
    name = value.get("name", value.get("id"))
    inside = value.get("configuration")
    parts = [inside.get(key) for key in ("codecs", "index_codecs")] if isinstance(inside, dict) else []
    return {str(name)}.union(*map(codecs_of, parts))


def _files(folder: Path) -> Iterator[Path]:
    """All files of an array."""
    for place, _, names in os.walk(folder):
        for name in names:
            yield Path(place, name)
