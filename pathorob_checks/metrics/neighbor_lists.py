"""The neighbor lists of a view: every patch's nearest patches from other slides, whole or per subset."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from sklearn.preprocessing import normalize

from pathorob_checks.metrics.inputs import Float32, Int64, Progress
from pathorob_checks.numerics import threads
from pathorob_checks.numerics.neighbors import (
    Product,
    block_products,
    finish,
    nearest_neighbors,
    picked_products,
    products_of_all,
)

if TYPE_CHECKING:
    import torch

_MATRIX_BYTES = 512 << 20  # of the products of all different rows with each other
_KEY_COLUMNS = 16  # by which equal rows are looked for, before they are compared whole
_BLOCK = 4096  # rows


def neighbor_lists(
    array: Float32, parts: list[Int64], slides: Int64, k: int, device: torch.device, progress: Progress | None
) -> Int64:
    """The k nearest patches of other slides, sought inside each part.

    Parameters
    ----------
    array : (N, D) float32, raw: rows are L2-normalised here, as scikit-learn does it.
    parts : row numbers of each part; a part has at least k rows outside each of its slides.
    slides : (N,) int64 slide of every row.

    Returns
    -------
    (rows of all parts, k) int64 row numbers of `array`, nearest first; equal distances in the order of rows.
    """
    found: list[Int64] = []
    shared = _shared(array, parts, device) if len(parts) > 1 else None

    def steps(rows: Int64) -> Generator[None, None, Int64]:
        # scikit-learn's rounding decides which of two nearly equal neighbors the published values count
        # first. Part by part, so that no second copy of all embeddings is in memory.
        if shared is None:
            return nearest_neighbors(_unit(array[rows]), slides[rows], k, device)
        points, product = shared(rows)
        return nearest_neighbors(points, slides[rows], k, device, product)

    def one_after_the_other() -> Iterator[None]:
        for rows in parts:
            nearest = yield from steps(rows)
            found.append(nearest)

    def one_per_core() -> Iterator[None]:
        for nearest in threads.spread(lambda rows: finish(steps(rows)), parts):
            found.append(nearest)
            yield

    many = len(parts) > 1 and device.type == "cpu"
    total = len(parts) if many else sum(block_products(len(rows), k, device) for rows in parts)
    work: Iterable[object] = one_per_core() if many else one_after_the_other()
    if progress is not None:
        work = progress(work, total, "neighbors")
    for _ in work:
        pass
    return np.concatenate([rows[nearest] for rows, nearest in zip(parts, found, strict=True)])


class _Shared:
    """Products of all different rows, from which every part picks its own."""

    def __init__(self, array: Float32, first: Int64, code: Int64, device: torch.device) -> None:
        self._unit = _unit(array[first])
        self._code = code
        self._products = products_of_all(self._unit, device)

    def __call__(self, rows: Int64) -> tuple[Float32, Product]:
        """The unit rows of a part, and how their products are had."""
        code = self._code[rows]
        return self._unit[code], picked_products(self._products, code)


def _shared(array: Float32, parts: list[Int64], device: torch.device) -> _Shared | None:
    """For parts with so many rows in common that one matrix of products costs less than one for each."""
    first, code = equal_rows(array)
    cost = len(first) ** 2
    if cost * array.itemsize > _MATRIX_BYTES or cost > sum(len(rows) ** 2 for rows in parts):
        return None
    return _Shared(array, first, code, device)


def equal_rows(array: Float32) -> tuple[Int64, Int64]:
    """Different rows of an (N, D) array: the number of the first of each, and (N,) which of them a row is.

    Rows count as equal when all their bytes are. Different rows that agree in the 16 columns of the key
    leave every row to itself: that can cost time, never correctness.
    """
    columns = np.unique(np.linspace(0, array.shape[1] - 1, _KEY_COLUMNS).astype(np.int64))
    key = np.ascontiguousarray(array[:, columns]).view(f"V{len(columns) * array.itemsize}")[:, 0]
    _, first, code = np.unique(key, return_index=True, return_inverse=True)
    bits = array.view(np.uint32)
    for start in range(0, len(array), _BLOCK):
        rows = slice(start, start + _BLOCK)
        if not np.array_equal(bits[rows], bits[first[code[rows]]]):
            return np.arange(len(array)), np.arange(len(array))
    return first.astype(np.int64), code.astype(np.int64)


def _unit(rows: Float32) -> Float32:
    return np.asarray(normalize(rows), dtype=np.float32)
