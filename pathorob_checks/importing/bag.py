"""Features of patches of one slide, as a file of another tool holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings import declared
from pathorob_checks.embeddings.matrix_files import check_dtype
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.wording import counted, named, shortened

Rows = npt.NDArray[np.int64]
_AXES = 2  # x and y
_BLOCK = 4096  # rows that are read at a time
_SPARSE = 8  # one row of so many is read alone


@dataclass(frozen=True, kw_only=True)
class Bag:
    """Features of a slide whose values are not read yet.

    Attributes
    ----------
    slide_id : as the tool names the slide.
    where : the file, for messages.
    patch_ids : of its N rows, each different.
    dimension : D, how many numbers an embedding has.
    dtype : of the numbers, as stored.
    read : rows in ascending order -> (n, D) numbers of these rows.
    extractor : what the file says about the FM that made the features; None where it says nothing.
    squeezed : whether the file holds (1, N, D).
    """

    slide_id: str
    where: str
    patch_ids: list[str]
    dimension: int
    dtype: str
    read: Callable[[Rows], npt.NDArray[Any]]
    extractor: str | None = None
    squeezed: bool = False


@dataclass(frozen=True)
class MatrixShape:
    """Of the features of a file: N patches, D numbers each, and whether it is stored as (1, N, D)."""

    patches: int
    dimension: int
    squeezed: bool

    def rows(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The stored array as (N, D)."""
        return stored[0] if self.squeezed else stored


def matrix_shape(shape: Sequence[int], dtype: str, where: str) -> MatrixShape:
    """How the features of a file are laid out.

    Raises
    ------
    EmbeddingError : they are no floating-point numbers, none, or not one vector per patch.
    """
    check_dtype(dtype, where)
    squeezed = len(shape) == 3 and shape[0] == 1
    own = tuple(shape[1:] if squeezed else shape)
    if len(own) == 1:
        raise EmbeddingError(
            f"{where} has one vector of the shape ({own[0]},), which describes a whole slide and no patches",
            remedy="give the folder with the features of patches, from which the vector of a slide is made",
        )
    if len(own) != 2:
        raise EmbeddingError(
            f"{where} has the shape {shortened(tuple(shape))} where (N, D) is needed, one vector per patch",
            remedy="write one vector per patch, not its tokens or its pixels",
        )
    patches, dimension = own
    if not patches or not dimension:
        raise EmbeddingError(
            f"{where} has the shape {shortened(tuple(shape))} and so no features",
            remedy="extract the features of this slide again, or leave the slide out of the manifest",
        )
    declared.check_rows(patches, where)
    declared.check_dimension(dimension, where)
    return MatrixShape(patches, dimension, squeezed)


def read_rows(
    stored: Any, rows: Rows, *, squeezed: bool = False, one_by_one: bool = False
) -> npt.NDArray[Any]:
    """Some rows of a stored array, block by block.

    Parameters
    ----------
    stored : (N, D) or, `squeezed`, (1, N, D); slices of it are read from disk.
    rows : in ascending order.
    one_by_one : whether a row alone is read faster than the block that it is in.
    """
    parts = []
    total = stored.shape[1 if squeezed else 0]
    for start in range(0, total, _BLOCK):
        kept = rows[(rows >= start) & (rows < start + _BLOCK)]
        if not len(kept):
            continue
        single = one_by_one and len(kept) * _SPARSE < min(_BLOCK, total - start)
        spans = [slice(row, row + 1) for row in kept.tolist()] if single else [slice(start, start + _BLOCK)]
        blocks = [np.asarray(stored[0, span] if squeezed else stored[span]) for span in spans]
        parts += blocks if single else [blocks[0][kept - start]]
    return np.concatenate(parts)


def ids_of_rows(patches: int) -> list[str]:
    """Patch ids where a file names none: the rows, from 0."""
    return [str(row) for row in range(patches)]


def ids_of_coordinates(coordinates: npt.NDArray[Any], patches: int, where: str) -> list[str]:
    """Patch ids `x_y` from the coordinates of N patches.

    Parameters
    ----------
    coordinates : (N, 2) or (1, N, 2) numbers, x before y.
    patches : N.

    Raises
    ------
    EmbeddingError : there are more or fewer of them, they are no pairs of finite numbers, or two patches are
        at the same place.
    """
    if coordinates.ndim == 3 and coordinates.shape[0] == 1:
        coordinates = coordinates[0]
    if coordinates.ndim != 2 or coordinates.shape[1] != _AXES or coordinates.dtype.kind not in "iuf":
        raise EmbeddingError(
            f"{where} has coordinates of the shape {shortened(coordinates.shape)} and the dtype "
            f"{coordinates.dtype.name} where numbers (N, 2) are needed, x and y of each patch",
            remedy="extract the features of this slide again",
        )
    if len(coordinates) != patches:
        raise EmbeddingError(
            f"{where} has features of {counted(patches, 'patch', 'patches')} and coordinates of "
            f"{len(coordinates):,}",
            remedy="extract the features of this slide again, from the coordinates of the same patches",
        )
    if not np.isfinite(coordinates).all():
        raise EmbeddingError(
            f"{where} has a coordinate that is NaN or infinite", remedy="extract the features again"
        )
    return unique_ids([f"{_number(x)}_{_number(y)}" for x, y in coordinates.tolist()], where)


def unique_ids(ids: list[str], where: str) -> list[str]:
    """The ids themselves; EmbeddingError where two patches have the same one."""
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise EmbeddingError(
            f"{where} has more than one row for {named(repeated)}",
            remedy="keep one row per patch: a patch that is there twice is its own nearest neighbor",
        )
    return ids


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)
