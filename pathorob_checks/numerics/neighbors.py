"""Nearest neighbors by blocked matrix products."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pathorob_checks.numerics.products import Multiplication

Product = Callable[[slice, slice, Tensor], None]  # of some rows with other rows, written to the tensor
_SPARE = 8  # candidates beyond k, for those that are equal up to rounding
_ROUNDING = 4e-6  # a product of two unit rows in float32 is closer than half of this to the exact one
_BLOCK = {"cpu": 4096, "cuda": 8192}  # rows
_MANY = 100  # candidates; picking so many from every block costs more than the other half of the products
_WHOLE_ROWS = 1 << 26  # products at once where rows are taken whole
_PAIR_BYTES = 16 << 20
_PLACES = 256  # for candidates of a row
_PICKED_ROWS = 16  # so that whole rows of products stay in the processor's cache
_MEMBERS = 16  # of a group of products of which only the largest is looked at first


def block_products(count: int, k: int, device: torch.device) -> int:
    """How many products of blocks `nearest_neighbors` computes for so many rows and neighbors."""
    _, pairs = _plan(count, k, device)
    return len(pairs)


def _plan(count: int, k: int, device: torch.device) -> tuple[list[slice], list[tuple[int, slice]]]:
    """Blocks of rows, and which rows each of them is multiplied with.

    With few candidates every two blocks once: their product serves both. With many, each block with all
    rows, so that its candidates are picked once.
    """
    size = min(_BLOCK[device.type], count)
    if k + _SPARE > _MANY:
        size = max(1, min(size, _WHOLE_ROWS // count))
    blocks = [slice(a, min(a + size, count)) for a in range(0, count, size)]
    if k + _SPARE > _MANY:
        return blocks, [(i, slice(0, count)) for i in range(len(blocks))]
    return blocks, [(i, columns) for i in range(len(blocks)) for columns in blocks[i:]]


def nearest_neighbors(
    points: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int64],
    k: int,
    device: torch.device,
    product: Product | None = None,
) -> Generator[None, None, npt.NDArray[np.int64]]:
    """The k nearest rows of every row, leaving out rows of its own group; pauses after every product.

    Every product of two blocks of rows serves both: half the products suffice.

    Parameters
    ----------
    points : (N, D) float32 of Euclidean length 1 up to rounding, so that the largest product marks
        the smallest Euclidean distance.
    groups : (N,) int64; rows of one group (a slide) are never each other's neighbors.
    k : at most N minus the size of the largest group.
    product : how to have the products of rows, where they are known; None multiplies them.

    Returns
    -------
    (N, k) int64, nearest first; equal distances stand in the order of the rows. Products in float32
    find the candidates; where two are equal up to rounding, distances in float64 order them, so that
    the order does not depend on how a product was computed.
    """
    x, group = torch.from_numpy(points).to(device), torch.from_numpy(groups).to(device)
    blocks, pairs = _plan(len(x), k, device)
    size = blocks[0].stop
    present = [set(groups[rows].tolist()) for rows in blocks]
    room = torch.empty(size * max(columns.stop - columns.start for _, columns in pairs), device=device)
    candidates = _Candidates(len(blocks), size, min(k + _SPARE, len(x)), device)
    product = product or _multiplied(x)
    for i, columns in pairs:
        rows = blocks[i]
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        similarity = room[: shape[0] * shape[1]].view(shape)
        product(rows, columns, similarity)
        if not present[i].isdisjoint(groups[columns].tolist()):
            similarity.masked_fill_(group[rows, None] == group[None, columns], -torch.inf)
        candidates.offer(i, columns.start, *_largest(similarity, candidates.count, turned=False))
        if columns in blocks[i + 1 :]:
            other = blocks.index(columns)
            candidates.offer(other, rows.start, *_largest(similarity, candidates.count, turned=True))
        yield
    nearest = []
    for i, rows in enumerate(blocks):
        products, others = candidates.best(i, rows.stop - rows.start)
        found = _by_distance(x, rows, products, others)[:, :k]
        # Beyond the candidates there may be rows as near as the k-th, up to rounding.
        if products.shape[1] < len(x):
            for row in torch.nonzero(products[:, k - 1] - products[:, -1] < _ROUNDING)[:, 0]:
                found[row] = _among_all(x, group, rows.start + int(row), float(products[row, k - 1]), k)
        nearest.append(found)
    return np.asarray(torch.cat(nearest).cpu().numpy())


def _multiplied(x: Tensor) -> Product:
    multiply = Multiplication(x.device)
    return lambda rows, columns, out: multiply(x[rows], x[columns].T, out)


def products_of_all(points: npt.NDArray[np.float32], device: torch.device) -> Tensor:
    """(N, N) float32 products of (N, D) points with each other; half of them computed, by symmetry."""
    x = torch.from_numpy(points).to(device)
    products = torch.empty((len(x), len(x)), device=device)
    product = _multiplied(x)
    size = max(1, min(_BLOCK[device.type], -(-len(x) // 4)))
    for a in range(0, len(x), size):
        rows = slice(a, min(a + size, len(x)))
        for b in range(a, len(x), size):
            columns = slice(b, min(b + size, len(x)))
            block = torch.empty((rows.stop - a, columns.stop - b), device=device)
            product(rows, columns, block)
            products[rows, columns] = block
            if b > a:
                products[columns, rows] = block.T
    return products


def picked_products(products: Tensor, which: npt.NDArray[np.int64]) -> Product:
    """Products of the rows `which`, of all that `products_of_all` has, for `nearest_neighbors`."""
    places = torch.from_numpy(which).to(products.device)

    def pick(rows: slice, columns: slice, out: Tensor) -> None:
        for start in range(rows.start, rows.stop, _PICKED_ROWS):
            some = slice(start, min(start + _PICKED_ROWS, rows.stop))
            lines, target = products[places[some]], out[start - rows.start : some.stop - rows.start]
            if products.device.type == "cpu":  # in half the time of torch
                np.take(lines.numpy(), which[columns], axis=1, out=target.numpy(), mode="clip")
            else:
                torch.index_select(lines, 1, places[columns], out=target)

    return pick


def finish(steps: Generator[None, None, npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """The result of `nearest_neighbors` without pauses."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return np.asarray(end.value)


class _Candidates:
    """The largest products of every row so far, and the rows they are with.

    Those of a block of rows fill the places that there are; then the best are picked and the others go.
    """

    def __init__(self, blocks: int, rows: int, count: int, device: torch.device) -> None:
        self.count = count
        width = max(3 * count, min(_PLACES, blocks * count))
        self.products = torch.empty((blocks, rows, width), device=device)
        self.others = torch.empty((blocks, rows, width), dtype=torch.int32, device=device)
        self.filled = [0] * blocks

    def offer(self, block: int, first: int, products: Tensor, places: Tensor) -> None:
        """Take (rows, up to `count`) products with the rows at these `places` from `first` on."""
        rows, new = products.shape
        if self.filled[block] + new > self.products.shape[2]:
            self._pick(block, rows)
        begin = self.filled[block]
        end = self.filled[block] = begin + new
        self.products[block, :rows, begin:end] = products
        self.others[block, :rows, begin:end] = places + first

    def _pick(self, block: int, rows: int) -> tuple[Tensor, Tensor]:
        """(rows, count) best products and the rows they are with, kept in the first places."""
        products = self.products[block, :rows, : self.filled[block]]
        if self.filled[block] <= self.count:
            return products, self.others[block, :rows, : self.filled[block]].long()
        best = products.topk(self.count, dim=1, sorted=False)
        others = self.others[block, :rows].gather(1, best.indices)
        end = self.filled[block] = best.values.shape[1]
        self.products[block, :rows, :end] = best.values
        self.others[block, :rows, :end] = others
        return best.values, others.long()

    def best(self, block: int, rows: int) -> tuple[Tensor, Tensor]:
        """(rows, count) best products, largest first, and the rows they are with."""
        products, others = self._pick(block, rows)
        products, order = products.sort(dim=1, descending=True)
        return products, others.gather(1, order)


def _largest(similarity: Tensor, count: int, *, turned: bool) -> tuple[Tensor, Tensor]:
    """The `count` largest of every row (of every column, if `turned`), and where they stand in it.

    They are among the members of the `count` groups with the largest maxima, and what no group holds.
    """
    lines = similarity.T if turned else similarity
    width = lines.shape[1]
    count = min(count, width)
    groups = width // _MEMBERS
    if groups <= 2 * count:
        return _top(lines, count)  # of so many, NumPy's partition is three times as fast as torch's topk
    grouped = groups * _MEMBERS
    # Reducing along the memory's own order: for columns over the blocks of rows, as they lie.
    if turned:
        maxima = similarity[:grouped].view(_MEMBERS, groups, -1).amax(dim=0).T.contiguous()
    else:
        maxima = similarity[:, :grouped].view(-1, _MEMBERS, groups).amax(dim=1)
    chosen = maxima.topk(count, dim=1, sorted=False).indices
    offsets = groups * torch.arange(_MEMBERS, device=similarity.device)
    places = (chosen[:, None] + offsets[:, None]).flatten(1)
    if grouped < width:
        rest = torch.arange(grouped, width, device=similarity.device).expand(len(places), -1)
        places = torch.cat([places, rest], dim=1)
    best = lines.gather(1, places).topk(count, dim=1, sorted=False)
    return best.values, places.gather(1, best.indices)


def _top(lines: Tensor, count: int) -> tuple[Tensor, Tensor]:
    if lines.device.type != "cpu":
        best = lines.topk(count, dim=1, sorted=False)
        return best.values, best.indices
    places = torch.from_numpy(np.argpartition(lines.numpy(), -count, axis=1)[:, -count:])
    return lines.gather(1, places), places


def _by_distance(x: Tensor, rows: slice, products: Tensor, others: Tensor) -> Tensor:
    """`others` of these `rows` of x by their distance; `products` and `others` as `_Candidates.best` says."""
    close = products[:, :-1] - products[:, 1:] < _ROUNDING
    doubtful = torch.nonzero(close.any(dim=1))[:, 0]
    close, products, those = close[doubtful], products[doubtful], others[doubtful]
    unclear = torch.zeros_like(products, dtype=torch.bool)
    unclear[:, :-1] |= close
    unclear[:, 1:] |= close
    distances = 2 - 2 * products.double()
    row, place = torch.nonzero(unclear & torch.isfinite(products), as_tuple=True)
    for some in _batches(len(row), x):
        here, at = row[some], place[some]
        distances[here, at] = _squared_distances(x[rows.start + doubtful[here]], x[those[here, at]])
    those, order = those.sort(dim=1)  # so that stable sorting keeps equals in the order of the rows
    order = distances.gather(1, order).argsort(dim=1, stable=True)
    return others.index_copy(0, doubtful, those.gather(1, order))


def _among_all(x: Tensor, group: Tensor, row: int, product: float, k: int) -> Tensor:
    """(k,) nearest of all rows to one row whose k-th largest product is about `product`."""
    products = (x @ x[row]).masked_fill_(group == group[row], -torch.inf)
    others = torch.nonzero(products >= product - _ROUNDING)[:, 0]
    parts = [_squared_distances(x[others[some]], x[row]) for some in _batches(len(others), x)]
    distances = torch.cat(parts)
    return others[distances.argsort(stable=True)[:k]]


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() - b.double()).square().sum(dim=-1)


def _batches(pairs: int, x: Tensor) -> Iterator[slice]:
    """So many pairs of rows in pieces whose rows fit into `_PAIR_BYTES`."""
    at_once = max(1, _PAIR_BYTES // (8 * x.shape[1]))
    return (slice(start, start + at_once) for start in range(0, pairs, at_once))
