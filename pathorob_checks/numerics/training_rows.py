"""The rows of many training sets, and their products with the weights of all fits.

There are two arrangements. `SharedBlocks` multiplies rows that occur in the same sets with all fits of those
sets, which needs the fewest bytes and multiplications. `GatheredSets` copies the rows of every set, so that
one product of a batch serves all sets: a GPU takes longer to start many small products than to read copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import one_hot

Int64 = npt.NDArray[np.int64]
_ALIGNMENT = 16  # row lengths are padded to a multiple of this, because other products are slower


def padded_width(dimension: int) -> int:
    """Columns of a row: its coordinates, a 1 for the intercept, and zeros."""
    return -(-(dimension + 1) // _ALIGNMENT) * _ALIGNMENT


class TrainingRows(Protocol):
    """Training sets of the same points, with n places for rows.

    Attributes
    ----------
    share : (S, n) float32, the share of a set's mean that each row has; 0 in places that it does not use.
    places : n.
    """

    share: Tensor
    places: int

    def __init__(self, points: Tensor, codes: Int64, training: Sequence[Int64], classes: Int64) -> None: ...

    @staticmethod
    def size(training: Sequence[Int64]) -> tuple[int, int]:
        """The number of rows in memory, and n."""

    def use(self, sets: Int64) -> None:
        """From now on multiply for these fits only: (A,) the set of each, ascending."""

    def targets(self, fits: Tensor) -> Tensor:
        """(A or 1, columns, n) float32 targets of these fits, by their number among those in use."""

    def scores(self, weights: Tensor, out: Tensor) -> None:
        """Write products of the places with (A, columns, width) weights to the (A, columns, n) `out`."""

    def sums(self, of_rows: Tensor) -> Tensor:
        """(A, columns, width) sums of the rows, with the (A, columns, n) numbers as factors."""


class SharedBlocks:
    """See `TrainingRows`: every used point has one place; points of the same sets are one block.

    A pass over the rows takes two launches and a product for each block.
    """

    def __init__(self, points: Tensor, codes: Int64, training: Sequence[Int64], classes: Int64) -> None:
        member = np.zeros((len(codes), len(training)), dtype=bool)
        for s, rows in enumerate(training):
            member[rows, s] = True
        used = np.flatnonzero(member.any(axis=1))
        kinds, kind = np.unique(member[used], axis=0, return_inverse=True)
        order = used[np.argsort(kind.ravel(), kind="stable")]
        ends = np.concatenate([[0], np.cumsum(np.bincount(kind.ravel()))])
        self._blocks = [(slice(a, b), kinds[n]) for n, (a, b) in enumerate(pairwise(ends))]
        self._x = points.new_zeros((len(order), padded_width(points.shape[1])))
        _fill(self._x, points, order)
        self._target = _targets(points, codes[order], classes).movedim(-1, 0)[None]
        sizes = np.array([len(rows) for rows in training])
        self.share = torch.from_numpy(member[order].T / sizes[:, None]).to(points)
        self.places = len(order)

    @staticmethod
    def size(training: Sequence[Int64]) -> tuple[int, int]:
        """See `TrainingRows`."""
        used = len(np.unique(np.concatenate(training)))
        return used, used

    def use(self, sets: Int64) -> None:
        """See `TrainingRows`."""
        self._fits = [
            torch.from_numpy(np.flatnonzero(kind[sets])).to(self._x.device) for _, kind in self._blocks
        ]

    def targets(self, fits: Tensor) -> Tensor:  # noqa: ARG002 (a place has one target in every fit)
        """See `TrainingRows`."""
        return self._target

    def scores(self, weights: Tensor, out: Tensor) -> None:
        """See `TrainingRows`."""
        for (rows, _), fits in zip(self._blocks, self._fits, strict=True):
            block = self._x[rows]
            product = weights[fits].flatten(0, 1) @ block.T
            out[fits, :, rows] = product.view(-1, weights.shape[1], len(block))

    def sums(self, of_rows: Tensor) -> Tensor:
        """See `TrainingRows`."""
        sums = of_rows.new_zeros((*of_rows.shape[:2], self._x.shape[1]))
        for (rows, _), fits in zip(self._blocks, self._fits, strict=True):
            product = of_rows[fits, :, rows].flatten(0, 1) @ self._x[rows]
            sums[fits] += product.view(-1, *sums.shape[1:])
        return sums


class GatheredSets:
    """See `TrainingRows`: every set has places of its own, as many as the largest set has rows.

    A pass over the rows is one product of a batch, with as many fits of each set as that set has most of.
    """

    def __init__(self, points: Tensor, codes: Int64, training: Sequence[Int64], classes: Int64) -> None:
        sizes = np.array([len(rows) for rows in training])
        _, self.places = self.size(training)
        self._x = points.new_zeros((len(training), self.places, padded_width(points.shape[1])))
        for x, rows in zip(self._x, training, strict=True):
            _fill(x, points, rows)
        filled = np.arange(self.places) < sizes[:, None]
        self.share = torch.from_numpy(filled / sizes[:, None]).to(points)
        code = np.full(filled.shape, classes[0])
        code[filled] = codes[np.concatenate(training)]
        self._target = _targets(points, code, classes).movedim(-1, 1)
        self._held = np.arange(len(training))  # the sets whose rows are in memory

    @staticmethod
    def size(training: Sequence[Int64]) -> tuple[int, int]:
        """See `TrainingRows`."""
        places = -(-max(map(len, training)) // _ALIGNMENT) * _ALIGNMENT
        return len(training) * places, places

    def use(self, sets: Int64) -> None:
        """See `TrainingRows`."""
        present, counts = np.unique(sets, return_counts=True)
        if 2 * len(present) <= len(self._held):  # to copy the rows costs as much as a pass saves
            kept = torch.from_numpy(np.searchsorted(self._held, present)).to(self._x.device)
            self._x, self._target, self._held = self._x[kept], self._target[kept], present
        ends = np.cumsum(counts)
        place = np.arange(len(sets)) - np.repeat(ends - counts, counts)
        self._most = int(counts.max())
        self._all = len(sets) == len(self._held) * self._most
        held = np.searchsorted(self._held, sets)
        self._set = torch.from_numpy(held).to(self._x.device)
        self._slot = torch.from_numpy(held * self._most + place).to(self._x.device)

    def targets(self, fits: Tensor) -> Tensor:
        """See `TrainingRows`."""
        return self._target[self._set[fits]]

    def scores(self, weights: Tensor, out: Tensor) -> None:
        """See `TrainingRows`."""
        self._by_set(weights, self._x.mT, out)

    def sums(self, of_rows: Tensor) -> Tensor:
        """See `TrainingRows`."""
        sums = of_rows.new_empty((*of_rows.shape[:2], self._x.shape[2]))
        self._by_set(of_rows, self._x, sums)
        return sums

    def _by_set(self, of_fits: Tensor, x: Tensor, out: Tensor) -> None:
        """Write products of each fit's (columns, l) numbers with the (l, m) matrix of its set."""
        _, columns, length = of_fits.shape
        if self._all:
            torch.bmm(of_fits.view(len(x), -1, length), x, out=out.view(len(x), -1, x.shape[2]))
            return
        full = of_fits.new_zeros((len(x) * self._most, columns, length))  # zeros for fits out of use
        full[self._slot] = of_fits
        product = torch.bmm(full.view(len(x), -1, length), x)
        out.copy_(product.view(-1, columns, x.shape[2])[self._slot])


def _fill(x: Tensor, points: Tensor, rows: Int64) -> None:
    """Write rows of the points and their 1 for the intercept into zeros."""
    dimension = points.shape[1]
    x[: len(rows), :dimension] = points[torch.from_numpy(rows).to(points.device)]
    x[: len(rows), dimension] = 1


def _targets(like: Tensor, codes: Int64, classes: Int64) -> Tensor:
    """(..., columns) float32 for (...) codes: whether it is the second of two classes, else one of each."""
    target = torch.from_numpy(np.searchsorted(classes, codes)).to(like.device)
    return (target[..., None] if len(classes) == 2 else one_hot(target, len(classes))).to(like)
