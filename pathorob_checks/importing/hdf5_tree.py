"""An HDF5 file as a tree of arrays, in which nothing leads to another file.

HDF5 lets a name stand for a dataset in another file, a dataset keep its numbers in other files, and filters
be loaded from libraries. None of these is followed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings import declared
from pathorob_checks.embeddings.matrix_files import reading_errors
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.importing.bag import Rows, read_rows
from pathorob_checks.importing.libraries import require
from pathorob_checks.wording import quoted

if TYPE_CHECKING:
    import h5py

# deflate, shuffle, fletcher32, szip, nbit and scale-offset of HDF5 itself, and lzf, which h5py brings.
_FILTERS = {1, 2, 3, 4, 5, 6, 32_000}
_TEXTS = 16  # that are read at a time


class Hdf5Array:
    """A dataset whose numbers are not read yet.

    Attributes
    ----------
    shape : its lengths.
    dtype : the name of its dtype.
    """

    def __init__(self, dataset: h5py.Dataset, size: int, where: str) -> None:
        self._dataset = dataset
        self.shape: tuple[int, ...] = tuple(map(int, dataset.shape or ()))
        self.dtype = str(dataset.dtype.name)
        # Of strings of any length the file declares 16 bytes each, which lie in it.
        numbers = max(math.prod(self.shape), math.prod(dataset.chunks or ()))
        declared.check_expansion(numbers * dataset.dtype.itemsize, size, where)

    def rows(self, rows: Rows | None = None, *, squeezed: bool = False) -> npt.NDArray[Any]:
        """All rows, or some in ascending order; `squeezed`: they are along the second axis of (1, N, D)."""
        if rows is None:
            return np.asarray(self._dataset[()])
        chunk = self._dataset.chunks  # one row each, as TRIDENT writes them, or none as CLAM
        alone = chunk is None or chunk[1 if squeezed else 0] == 1
        return read_rows(self._dataset, rows, squeezed=squeezed, one_by_one=alone)

    def texts(self) -> list[str]:
        """Its values as text.

        One that is stored once may stand in all rows; so few are in memory before the longest is known.
        """
        texts: list[str] = []
        for start in range(0, self.shape[0], _TEXTS):
            values = np.asarray(self._dataset[start : start + _TEXTS]).tolist()
            texts += (one.decode() if isinstance(one, bytes) else str(one) for one in values)
            if max(map(len, texts[start:])) > declared.LONGEST_ID:
                raise ValueError(f"it has an id of more than {declared.LONGEST_ID:,} characters")
        return texts


class Hdf5Tree:
    """An open file; names of arrays and groups in it are paths such as `obs/_index`."""

    def __init__(self, file: h5py.File, size: int, where: str) -> None:
        self._file, self._size, self._where = file, size, where

    def names(self, group: str = "") -> list[str]:
        """What is in a group; nothing where there is no such group."""
        import h5py

        node = self._at(group)
        return list(node) if isinstance(node, h5py.Group) else []

    def array(self, name: str) -> Hdf5Array | None:
        """A dataset; None where there is none of this name."""
        import h5py

        node = self._at(name)
        if not isinstance(node, h5py.Dataset):
            return None
        where = f"'{self._where}'"
        if node.is_virtual or node.external:
            raise EmbeddingError(
                f"the dataset '{name}' of {where} keeps its numbers in other files, which are not read",
                remedy="copy the numbers into one file, e.g. with h5repack",
            )
        created = node.id.get_create_plist()
        filters = {int(created.get_filter(number)[0]) for number in range(created.get_nfilters())}
        if not filters <= _FILTERS:
            raise EmbeddingError(
                f"the dataset '{name}' of {where} is packed by the filters "
                f"{sorted(filters - _FILTERS)}, which need libraries that are not part of HDF5",
                remedy="write it again with gzip or lzf, or without compression",
            )
        return Hdf5Array(node, self._size, where)

    def attribute(self, name: str, key: str) -> str | None:
        """An attribute that is text; None where there is none."""
        node = self._at(name)
        value = None if node is None else node.attrs.get(key)
        value = value.decode() if isinstance(value, bytes) else value
        return value if isinstance(value, str) else None

    def _at(self, name: str) -> Any:
        """A group or dataset that lies in this file; None where there is none."""
        import h5py

        node: Any = self._file
        for part in filter(None, name.split("/")):
            if not isinstance(node, h5py.Group) or part not in node.keys():  # noqa: SIM118 - `in` follows links
                return None
            if not isinstance(node.get(part, getlink=True), h5py.HardLink):
                raise EmbeddingError(
                    f"'{part}' in '{self._where}' is a link, which is not followed",
                    remedy="copy what it leads to into the file, e.g. with h5repack or h5copy",
                )
            node = node[part]
        return node


@contextlib.contextmanager
def hdf5_tree(path: Path, where: str) -> Iterator[Hdf5Tree]:
    """An HDF5 file, open for reading.

    Raises
    ------
    EmbeddingError : h5py is not installed, or the file cannot be read.
    """
    require("h5py", f"'{where}'")
    import h5py

    with reading_errors(where), h5py.File(path, "r", locking=False) as file:
        yield Hdf5Tree(file, path.stat().st_size, where)


def listed(names: list[str]) -> str:
    """Names for a message, at most five."""
    return (quoted(names[:5]) or "nothing") + (", ..." if len(names) > 5 else "")
