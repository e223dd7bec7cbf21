"""The products of all pairs of points, of one or several sets of points, and sums in scikit-learn's order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

Float32 = npt.NDArray[np.float32]
# Relative to the longest point's squared length. The largest difference observed between a distance from a
# Gram matrix and scikit-learn's is 1.1e-6, at dimensions 24 to 3,072; a decision compares two of them.
_ROUNDING = 4e-6
# Relative to |c|^2 + 2 |x| |c|. The largest difference observed between scikit-learn's distance and the exact
# one to the same center is 4.1e-7 (a point that is its own center), at dimensions 64 to 3,072.
EXACT_ROUNDING = 8e-7
_PAIR_NUMBERS = {"cpu": 1 << 20, "cuda": 1 << 27}  # of distances that are computed together


class Grams:
    """The products of all pairs of points, within each of several sets.

    Parameters
    ----------
    sets : (N_s, D) float32 each, centered; shorter ones are filled up with zeros, which no run clusters.
    device : of the matrices.

    Attributes
    ----------
    count : N, the length of the longest set.
    points : (S N, D) float32, all sets one after the other.
    squared_norms : (S, N) float64.
    rounding : (S,) float64, by how much two distances may differ and yet be equal for scikit-learn.
    """

    def __init__(self, sets: Sequence[Float32], device: torch.device) -> None:
        self.sets = list(sets)
        self.device = device
        self.count = max(len(points) for points in self.sets)
        if len(self.sets) == 1:
            table = torch.from_numpy(self.sets[0])[None].to(device)
        else:
            table = torch.zeros((len(self.sets), self.count, self.sets[0].shape[1]), device=device)
            for number, points in enumerate(self.sets):
                table[number, : len(points)] = torch.from_numpy(points)
        self.points = table.flatten(0, 1)
        self._products = torch.stack([of_set @ of_set.T for of_set in table]).flatten(0, 1)
        self.squared_norms = torch.stack([of_set.double().square().sum(dim=1) for of_set in table])
        self.rounding = _ROUNDING * self.squared_norms.amax(dim=1)

    def sums_of_members(self, members: Tensor) -> Tensor:
        """(A, K, N) float32 sums of the only set's rows that have a 1 in `members`, (A, K, N)."""
        return (members.flatten(0, 1) @ self._products).view(members.shape)

    def sums(self, rows: Tensor, bags: Tensor, count: int, signs: Tensor) -> Tensor:
        """(count, N) float32: row b is the sum, with `signs`, of the matrices' `rows` whose `bags` are b.

        Rows are numbered through all sets: point n of set s is row s N + n.
        """
        bags, order = torch.sort(bags, stable=True)
        rows, signs = rows[order], signs[order]
        offsets = torch.searchsorted(bags, torch.arange(count + 1, device=self.device))
        return embedding_bag(
            rows, self._products, offsets, mode="sum", include_last_offset=True, per_sample_weights=signs
        )

    def means(self, rows: Tensor, counts: Tensor) -> Tensor:
        """(C, D) float32 means of points, to the bit as scikit-learn computes them on one thread.

        Parameters
        ----------
        rows : (M,) of the first mean, then of the second, and so on, each in ascending order.
        counts : (C,) int64, how many rows each mean has.
        """
        sums = in_order(self.points, rows, counts)
        return sums * (1 / counts.float())[:, None]

    def variances(self, members: Tensor, sets: Tensor) -> Tensor:
        """(M,) float64 mean over the dimensions of the variance of points, to a ten-thousandth.

        Parameters
        ----------
        members : (M, N) bool, the points; `sets` (M,) int64, the set that they are of.
        """
        counts = members.sum(dim=1).double()
        squares = (self.squared_norms[sets] * members).sum(dim=1) / counts
        means = torch.empty_like(counts)
        for number in torch.unique(sets).tolist():
            mine = sets == number
            of_set = self.points[number * self.count : (number + 1) * self.count]
            sums = members[mine].to(of_set) @ of_set
            means[mine] = (sums.double() / counts[mine, None]).square().sum(dim=1)
        return (squares - means) / self.points.shape[1]

    def distances(self, rows: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
        """Per pair |c|^2 - 2 x.c in float64, and by how much scikit-learn's float32 may differ from it.

        Parameters
        ----------
        rows : (P,) of points.
        centers : (P, D) float32.
        """
        products, squares = torch.empty((2, len(rows)), dtype=torch.float64, device=self.device)
        at_once = max(1, _PAIR_NUMBERS[self.device.type] // centers.shape[1])
        for start in range(0, len(rows), at_once):
            part = slice(start, start + at_once)
            c = centers[part].double()
            products[part] = torch.linalg.vecdot(self.points[rows[part]].double(), c)
            squares[part] = c.square().sum(dim=1)
        lengths = (self.squared_norms.flatten()[rows] * squares).sqrt()
        return squares - 2 * products, EXACT_ROUNDING * (squares + 2 * lengths)


def in_order(table: Tensor, rows: Tensor, counts: Tensor) -> Tensor:
    """(C, D) float32 sums of a table's rows, one after the other: float32 addition depends on the order.

    torch adds the rows of an embedding bag in their order on the CPU and on a GPU; tests hold it to that.
    """
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return embedding_bag(rows, table, offsets, mode="sum", include_last_offset=True)
