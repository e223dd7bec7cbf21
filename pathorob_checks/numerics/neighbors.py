"""Nearest neighbors by blocked matrix products."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pathorob_checks.numerics.products import product

_SPARE = 8  # candidates beyond k, for those that are equal up to rounding
_ROUNDING = 4e-6  # a product of two unit rows in float32 is closer than half of this to the exact one
_BLOCK = {"cpu": 4096, "cuda": 8192}  # rows
_PAIR_BYTES = 16 << 20
_PLACES = 256  # for candidates of a row


def block_products(count: int, device: torch.device) -> int:
    """How many products of blocks `nearest_neighbors` computes for so many rows."""
    blocks = -(-count // _BLOCK[device.type])
    return blocks * (blocks + 1) // 2


def nearest_neighbors(
    points: npt.NDArray[np.float32], groups: npt.NDArray[np.int64], k: int, device: torch.device
) -> Generator[None, None, npt.NDArray[np.int64]]:
    """The k nearest rows of every row, leaving out rows of its own group; pauses after every product.

    Every product of two blocks of rows serves both: half the products suffice.

    Parameters
    ----------
    points : (N, D) float32 of Euclidean length 1 up to rounding, so that the largest product marks
        the smallest Euclidean distance.
    groups : (N,) int64; rows of one group (a slide) are never each other's neighbors.
    k : at most N minus the size of the largest group.

    Returns
    -------
    (N, k) int64, nearest first; equal distances stand in the order of the rows. Products in float32
    find the candidates; where two are equal up to rounding, distances in float64 order them, so that
    the order does not depend on how a product was computed.
    """
    x, group = torch.from_numpy(points).to(device), torch.from_numpy(groups).to(device)
    size = min(_BLOCK[device.type], len(x))
    blocks = [slice(a, min(a + size, len(x))) for a in range(0, len(x), size)]
    present = [set(groups[rows].tolist()) for rows in blocks]
    room, turned = torch.empty((2, size * size), device=device)
    candidates = _Candidates(len(blocks), size, min(k + _SPARE, len(x)), device)
    for i, rows in enumerate(blocks):
        for j, columns in enumerate(blocks[i:], i):
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            similarity = product(x[rows], x[columns].T, room[: shape[0] * shape[1]].view(shape))
            if present[i] & present[j]:
                similarity.masked_fill_(group[rows, None] == group[None, columns], -torch.inf)
            candidates.offer(i, columns.start, similarity)
            if i != j:
                transposed = turned[: similarity.numel()].view(shape[::-1])
                candidates.offer(j, rows.start, transposed.copy_(similarity.T))
            yield
    return np.concatenate([candidates.nearest(x, i, rows)[:, :k] for i, rows in enumerate(blocks)])


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

    def offer(self, block: int, first: int, similarity: Tensor) -> None:
        """Take the best of the block's products with the rows from `first` on."""
        values, indices = _largest(similarity, min(self.count, similarity.shape[1]))
        if self.filled[block] + values.shape[1] > self.products.shape[2]:
            self._pick(block, len(similarity))
        begin = self.filled[block]
        end = self.filled[block] = begin + values.shape[1]
        self.products[block, : len(similarity), begin:end] = values
        self.others[block, : len(similarity), begin:end] = indices + first

    def _pick(self, block: int, rows: int) -> tuple[Tensor, Tensor]:
        """(rows, count) best products and the rows they are with, kept in the first places."""
        products = self.products[block, :rows, : self.filled[block]]
        best = products.topk(min(self.count, products.shape[1]), dim=1, sorted=False)
        others = self.others[block, :rows].gather(1, best.indices)
        end = self.filled[block] = best.values.shape[1]
        self.products[block, :rows, :end] = best.values
        self.others[block, :rows, :end] = others
        return best.values, others.long()

    def nearest(self, x: Tensor, block: int, rows: slice) -> npt.NDArray[np.int64]:
        """(rows, count) the other rows by their distance, for the block that is these `rows` of x."""
        products, others = self._pick(block, rows.stop - rows.start)
        others, order = others.sort(dim=1)  # so that stable sorting keeps ties in the order of the rows
        products, order = products.gather(1, order).sort(dim=1, descending=True, stable=True)
        others = others.gather(1, order)
        close = products[:, :-1] - products[:, 1:] < _ROUNDING
        unclear = torch.zeros_like(products, dtype=torch.bool)
        unclear[:, :-1] |= close
        unclear[:, 1:] |= close
        distances = 2 - 2 * products.double()
        row, place = torch.nonzero(unclear & torch.isfinite(products), as_tuple=True)
        at_once = max(1, _PAIR_BYTES // (8 * x.shape[1]))
        for start in range(0, len(row), at_once):
            here, at = row[start : start + at_once], place[start : start + at_once]
            difference = x[rows.start + here].double() - x[others[here, at]].double()
            distances[here, at] = difference.square().sum(dim=1)
        others, order = others.sort(dim=1)
        order = distances.gather(1, order).argsort(dim=1, stable=True)
        return np.asarray(others.gather(1, order).cpu().numpy())


def _largest(similarity: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of every row, and where they stand.

    They are among the members of the `count` groups of columns with the largest maxima.
    """
    rows, width = similarity.shape
    members = 1
    while width % (2 * members) == 0 and 8 * members * members * count < width:
        members *= 2
    if members == 1:
        best = similarity.topk(count, dim=1, sorted=False)
        return best.values, best.indices
    groups = width // members
    maxima = similarity.view(rows, members, groups).amax(dim=1)
    chosen = maxima.topk(count, dim=1, sorted=False).indices
    offsets = groups * torch.arange(members, device=similarity.device)
    columns = (chosen[:, None] + offsets[:, None]).flatten(1)
    best = similarity.gather(1, columns).topk(count, dim=1, sorted=False)
    return best.values, columns.gather(1, best.indices)
