"""The neighbor lists of a view: every patch's nearest patches from other slides, whole or per subset."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.extmath import row_norms

from pathorob_checks.metrics.inputs import Float32, Int64
from pathorob_checks.numerics import threads
from pathorob_checks.numerics.neighbors import Nearest, block_products, finish, nearest_neighbors, nearest_to
from pathorob_checks.progress import Progress

if TYPE_CHECKING:
    import torch

_DEPTH = 0.8  # of what a part's share of all patches asks for: the nearest stand together in few parts
_KEY_COLUMNS = 16  # by which equal rows are looked for, before they are compared whole
_BLOCK = 1024  # rows


def neighbor_lists(
    array: Float32, parts: list[Int64], slides: Int64, k: int, device: torch.device, progress: Progress | None
) -> Nearest:
    """The k nearest patches of other slides, sought inside each part.

    Parameters
    ----------
    array : (N, D) float32, raw: rows are L2-normalised here, as scikit-learn does it.
    parts : row numbers of each part; a part has at least k rows outside each of its slides.
    slides : (N,) int64 slide of every row.

    Returns
    -------
    Row numbers of `array` and products, (rows of all parts, k), nearest first; equal distances stand in the
    order of rows, and of patches that stand in several parts in that of their first rows.
    """
    ends = np.cumsum([len(rows) for rows in parts])
    lists = Nearest(np.empty((ends[-1], k), dtype=np.int64), np.empty((ends[-1], k), dtype=np.float32))

    def keep(nearest_to_them: Nearest, part: int) -> None:
        its = slice(ends[part] - len(parts[part]), ends[part])
        lists.rows[its], lists.products[its] = parts[part][nearest_to_them.rows], nearest_to_them.products

    def each(find: Callable[[Int64], Nearest]) -> Iterator[None]:
        def search(part: int) -> None:
            keep(find(parts[part]), part)

        run = threads.spread if device.type == "cpu" else map
        yield from run(search, range(len(parts)))

    def alone(rows: Int64) -> Nearest:
        return finish(nearest_neighbors(unit_rows(array[rows]), slides[rows], k, device, alone=False))

    def whole() -> Generator[None, None, None]:
        (rows,) = parts
        keep((yield from nearest_neighbors(unit_rows(array[rows]), slides[rows], k, device)), 0)

    def together(first: Int64, code: Int64) -> Generator[None, None, None]:
        points, groups = unit_rows(array[first]), slides[first]
        most = len(points) - int(np.bincount(groups).max())
        depth = min(most, max(k, int(_DEPTH * k * len(points) / min(map(len, parts)))))
        order = yield from nearest_neighbors(points, groups, depth, device)

        def inside(rows: Int64) -> Nearest:
            nearest, lacking = _inside(code[rows], order, k)
            if len(lacking):
                nearest_to_them = nearest_to(lacking, points[code[rows]], slides[rows], k, device)
                nearest.rows[lacking], nearest.products[lacking] = nearest_to_them
            return nearest

        yield from each(inside)

    shared = _shared(array, parts, slides) if len(parts) > 1 else None
    work: Iterable[object]
    if len(parts) == 1:
        work, total = whole(), block_products(len(parts[0]), device)
    elif shared is None:
        work, total = each(alone), len(parts)
    else:
        work, total = together(*shared), block_products(len(shared[0]), device) + len(parts)
    for _ in work if progress is None else progress(work, total, "neighbors"):
        pass
    return lists


def _shared(array: Float32, parts: list[Int64], slides: Int64) -> tuple[Int64, Int64] | None:
    """For parts with so many patches in common that one search costs less than one for each.

    The first row of each different patch (embedding and slide), in order, and (N,) which of them a row is.
    """
    first, code = different_patches(array, slides)
    if len(first) ** 2 > sum(len(rows) ** 2 for rows in parts):
        return None
    if any(len(np.unique(code[rows])) < len(rows) for rows in parts):  # equal patches inside a part
        return None
    return first, code


def different_patches(array: Float32, slides: Int64) -> tuple[Int64, Int64]:
    """As `equal_rows`, but equal rows of different slides are different patches."""
    _, equal = equal_rows(array)
    return _factorized(equal * (int(slides.max()) + 1) + slides)


def _inside(part: Int64, order: Nearest, k: int) -> tuple[Nearest, Int64]:
    """The k nearest of a part's patches (M,) in the part, as places in it, and which of them lack some.

    By the `order` of all patches, `depth` of each, which may not reach so far for every patch.
    """
    place = np.full(len(order.rows), -1)
    place[part] = np.arange(len(part))
    nearest = place[order.rows[part]].ravel()
    there = np.flatnonzero(nearest >= 0)
    ends = np.searchsorted(there, np.arange(1, len(part) + 1) * order.rows.shape[1])
    begins = np.concatenate([[0], ends[:-1]])
    first = np.minimum(begins[:, None] + np.arange(k), max(0, len(there) - 1))
    taken = np.append(there, 0)[first]
    return Nearest(nearest[taken], order.products[part].ravel()[taken]), np.flatnonzero(ends - begins < k)


def equal_rows(array: Float32) -> tuple[Int64, Int64]:
    """Different rows of an (N, D) array: the number of the first of each, and (N,) which of them a row is.

    Rows count as equal when all their bytes are. Where different rows agree in the 16 columns of the key, all
    rows are compared whole.
    """
    columns = np.unique(np.linspace(0, array.shape[1] - 1, _KEY_COLUMNS).astype(np.int64))
    bits = array.view(np.uint32)
    factors = np.random.default_rng(0).integers(1, 2**64, len(columns), dtype=np.uint64) | np.uint64(1)
    first, code = _factorized((bits[:, columns] * factors).sum(axis=1))

    def differ(start: int) -> bool:
        rows = slice(start, start + _BLOCK)
        return not np.array_equal(bits[rows], bits[first[code[rows]]])

    if any(threads.spread(differ, range(0, len(array), _BLOCK))):
        whole = bits.view(np.dtype((np.void, bits.itemsize * bits.shape[1])))[:, 0]
        return _factorized(np.unique(whole, return_inverse=True)[1])
    return first, code


def _factorized(keys: npt.NDArray[np.integer[Any]]) -> tuple[Int64, Int64]:
    """The first place of every different key, in order, and which of them each key is."""
    code, different = pd.factorize(keys)
    first = np.empty(len(different), dtype=np.int64)
    first[code[::-1]] = np.arange(len(keys))[::-1]  # the first is written last
    return first, code.astype(np.int64)


def unit_rows(rows: Float32) -> Float32:
    """Divide them in place by their lengths, with the rounding of scikit-learn's `normalize`.

    It decides which of two nearly equal neighbors the published values count first.
    """
    rows /= row_norms(rows)[:, None]
    return rows
