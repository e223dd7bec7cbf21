"""Lloyd's k-means on the Gram matrix of the points: many starts in lockstep, labels as scikit-learn's.

A squared distance from a point x to a center c is |c|^2 - 2 x.c plus a number that is the same for all
centers, and x.c is the mean of x's products with the center's members. So once the Gram matrix is computed,
the cost of an iteration does not depend on the dimension, and only points that change their cluster change
the sums. Decisions that depend on the rounding of float32 are made in scikit-learn's arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag
from torch.nn.utils.rnn import pad_sequence

from pathorob_checks.numerics import rounding

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
MAX_ITERATIONS = 300
_FEW_CLUSTERS = 8  # up to this number a product with all points is faster than adding rows
# Relative to the longest point's squared length. The largest difference observed between a distance here and
# in scikit-learn is 1.1e-6, at dimensions 24 to 3,072; a decision compares two of them.
_ROUNDING = 4e-6


class Gram:
    """The products of all pairs of points.

    Parameters
    ----------
    points : (N, D) float32, centered.
    device : of the (N, N) float32 matrix.
    """

    def __init__(self, points: Float32, device: torch.device) -> None:
        self.points = points
        self.device = device
        self.count = len(points)
        x = torch.from_numpy(points).to(device)
        self._products = x @ x.T
        self.squared_norms = x.double().square().sum(dim=1)
        self.rounding = _ROUNDING * float(self.squared_norms.max())

    def sums_of_all(self, members: Tensor) -> Tensor:
        """(count, N) float32 sums of the matrix's rows that have a 1 in each row of `members`, (count, N)."""
        return members @ self._products

    def sums(self, rows: Tensor, bags: Tensor, count: int, signs: Tensor) -> Tensor:
        """(count, N) float32: row b is the sum, with `signs`, of the matrix's `rows` whose `bags` are b."""
        bags, order = torch.sort(bags)
        rows, signs = rows[order], signs[order]
        offsets = torch.searchsorted(bags, torch.arange(count + 1, device=self.device))
        return embedding_bag(
            rows, self._products, offsets, mode="sum", include_last_offset=True, per_sample_weights=signs
        )


@dataclass(frozen=True)
class LloydResults:
    """The results of the starts.

    Attributes
    ----------
    labels : (starts, N) int64; -1 for points that the run does not cluster.
    inertia : (starts,) float64, the sum of squared distances to the own center.
    settled : (starts,) bool; whether it ended because no label changed: then centers are the clusters' means.
    emptied : (starts,) bool; whether it lost a cluster; then its labels mean nothing.
    """

    labels: Int64
    inertia: Float64
    settled: Bool
    emptied: Bool


class _Moves(NamedTuple):
    """Points that change their cluster: (M,) each."""

    run: Tensor
    point: Tensor
    old: Tensor
    new: Tensor


def converge(gram: Gram, initial: Sequence[Int64], members: Bool, tolerances: Float64) -> LloydResults:
    """Run k-means from each of `initial`, (K,) numbers of the points that are the first centers.

    A run ends when no label changes, when the centers together move by a squared distance of at most
    its tolerance, or after 300 iterations.

    Parameters
    ----------
    members : (starts, N) bool, the points that each run clusters.
    tolerances : (starts,) float64.
    """
    starts = len(initial)
    labels = np.zeros((starts, gram.count), dtype=np.int64)
    inertia = np.full(starts, np.nan)
    settled = np.zeros(starts, dtype=bool)
    emptied = np.zeros(starts, dtype=bool)
    lockstep = _Lockstep(gram, initial, members, tolerances)
    lockstep.begin()
    moves: _Moves | None = None
    changed = torch.ones(starts, dtype=torch.bool, device=gram.device)
    for iteration in range(1, MAX_ITERATIONS + 2):
        ended = lockstep.pending & (lockstep.last | ~changed)
        if bool(ended.any()):
            runs = lockstep.runs[ended].cpu().numpy()
            labels[runs] = np.where(members[runs], lockstep.labels[ended].cpu().numpy(), -1)
            inertia[runs] = lockstep.inertia[ended].cpu().numpy()
            settled[runs] = ~changed[ended].cpu().numpy()
            moves = lockstep.drop(ended, moves)
        if len(lockstep.runs) == 0:
            break
        lockstep.update(moves, last=iteration == MAX_ITERATIONS)
        empty = lockstep.pending & (lockstep.sizes == 0).any(dim=1)
        if bool(empty.any()):
            emptied[lockstep.runs[empty].cpu().numpy()] = True
            lockstep.drop(empty, None)
            if len(lockstep.runs) == 0:
                break
        moves = lockstep.assign()
        changed = torch.zeros(len(lockstep.runs), dtype=torch.bool, device=gram.device)
        changed[moves.run] = True
    return LloydResults(labels, inertia, settled, emptied)


class _Lockstep:
    """Runs that are all in the same iteration. K is the largest number of clusters of a run.

    Attributes
    ----------
    initial : (A, K) int64, the first centers' points; `real` (A, K) bool, whether the run has this cluster.
    member : (A, N) bool, the points that the run clusters; labels of the others mean nothing.
    tolerance : (A,) float64.
    runs : (A,) their numbers; `pending` (A,) bool, whether a run has not ended; `last` (A,) bool, whether it
        ends with its next labels.
    labels : (A, N) int64; `own` (A, N) float32, |c|^2 - 2 x.c for the point's own center.
    sums : (A, K, N) float32, x's products with the members of a cluster, added up.
    sizes, squared : (A, K) float64, the number of members and the squared length of the center; 1 and
        infinity for clusters that the run does not have.
    """

    def __init__(self, gram: Gram, initial: Sequence[Int64], members: Bool, tolerances: Float64) -> None:
        self.gram = gram
        device = gram.device
        self.member = torch.from_numpy(members).to(device)
        self.tolerance = torch.from_numpy(tolerances).to(device)
        starts = [torch.from_numpy(start) for start in initial]
        self.initial = pad_sequence(starts, batch_first=True, padding_value=-1).to(device)
        self.real = self.initial >= 0
        self.initial = self.initial.clamp(min=0)
        count, self.K = self.initial.shape
        self.runs = torch.arange(count, device=device)
        self.pending = torch.ones(count, dtype=torch.bool, device=device)
        self.last = torch.zeros(count, dtype=torch.bool, device=device)
        points = self.initial.flatten()
        ones = torch.ones(len(points), device=device)
        sums = gram.sums(points, torch.arange(len(points), device=device), len(points), ones)
        self.sums = sums.view(count, self.K, gram.count)
        self.sizes = torch.ones((count, self.K), dtype=torch.float64, device=device)
        self.squared = gram.squared_norms[self.initial].masked_fill(~self.real, torch.inf)
        self.labels = torch.zeros((count, gram.count), dtype=torch.int64, device=device)
        self.own = torch.zeros((count, gram.count), device=device)
        self._first = True

    @property
    def inertia(self) -> Tensor:
        """(A,) float64."""
        return ((self.gram.squared_norms + self.own.double()) * self.member).sum(dim=1)

    def begin(self) -> None:
        """Assign every point to the nearest of the first centers."""
        values = self._values()
        nearest = values[:, 0].clone()
        for k in range(1, self.K):  # tens of times faster than argmin along the middle
            self.labels.masked_fill_(values[:, k] < nearest, k)
            torch.minimum(nearest, values[:, k], out=nearest)
        self.assign()

    def assign(self) -> _Moves:
        """Assign every point to its nearest center; returns what changed."""
        values = self._values()
        mine = self.labels[:, None]
        own = values.gather(1, mine)
        values.scatter_(1, mine, torch.inf)
        near = values.amin(dim=1) - own[:, 0] < self.gram.rounding
        run, point = torch.nonzero(near & self.member & self.pending[:, None], as_tuple=True)
        old = self.labels[run, point]
        distances = values[run, :, point].scatter_(1, old[:, None], own[run, 0, point][:, None])
        best = distances.amin(dim=1, keepdim=True)
        candidates = distances <= best + self.gram.rounding
        new = distances.argmin(dim=1)
        hard = torch.nonzero(candidates.sum(dim=1) > 1)[:, 0]
        if len(hard):
            new[hard] = self._settle(run[hard], point[hard], candidates[hard])
        own[run, 0, point] = distances.gather(1, new[:, None])[:, 0]
        self.own = own[:, 0]
        self.labels[run, point] = new
        moved = new != old
        return _Moves(run[moved], point[moved], old[moved], new[moved])

    def update(self, moves: _Moves | None, *, last: bool) -> None:
        """Move the centers to the means of their points; `moves` is None the first time."""
        shift, precision = self._after_the_first() if moves is None else self._after(moves)
        self.last = (shift <= self.tolerance) | last
        close = self.pending & ((shift - self.tolerance).abs() <= precision)
        for run in torch.nonzero(close)[:, 0].tolist():
            old = self._first_centers(run) if moves is None else self._means(run, undo=moves)
            moved = rounding.squared_shift(old, self._means(run))
            self.last[run] = last or moved <= float(self.tolerance[run])
        self._first = False

    def drop(self, ended: Tensor, moves: _Moves | None) -> _Moves | None:
        """End runs; their memory is kept until enough of them have ended."""
        self.pending = self.pending & ~ended
        keep = self.pending
        if 4 * int(keep.sum()) > 3 * len(keep):
            return moves
        for name in (
            "runs",
            "pending",
            "last",
            "member",
            "tolerance",
            "initial",
            "real",
            "labels",
            "own",
            "sums",
            "sizes",
            "squared",
        ):
            setattr(self, name, getattr(self, name)[keep])
        if moves is None:
            return None
        stay = keep[moves.run]
        position = torch.cumsum(keep, dim=0) - 1
        return _Moves(position[moves.run[stay]], moves.point[stay], moves.old[stay], moves.new[stay])

    def _values(self) -> Tensor:
        """(A, K, N) |c|^2 - 2 x.c."""
        factors = (-2 / self.sizes).float()[..., None]
        return (self.sums * factors).add_(self.squared.float()[..., None])

    def _after_the_first(self) -> tuple[Tensor, Tensor | float]:
        """Sums over all points; returns every run's squared shift and how precise that is."""
        runs, K, N = self.sums.shape
        first = self.squared
        bags = self._bags()
        if K <= _FEW_CLUSTERS:
            members = torch.zeros((runs, K, N), device=self.gram.device)
            members.scatter_(1, self.labels[:, None], self.member.float()[:, None])
            sums = self.gram.sums_of_all(members.view(-1, N))
        else:
            points = torch.nonzero(self.member)[:, 1]
            ones = torch.ones(len(points), device=self.gram.device)
            sums = self.gram.sums(points, bags[self.member.flatten()], runs * K, ones)
        self.sums = sums.view(runs, K, N)
        self._measure(bags)
        across = self.sums.gather(2, self.initial[..., None])[..., 0] / self.sizes
        shift = (self.squared + first - 2 * across).where(self.real, 0).sum(dim=1)
        return shift, 4 * K * self.gram.rounding

    def _after(self, moves: _Moves) -> tuple[Tensor, Tensor | float]:
        """Sums changed by the moves; returns every run's squared shift and how precise that is."""
        runs, K, N = self.sums.shape
        bags = torch.cat([moves.run * K + moves.new, moves.run * K + moves.old])
        points = torch.cat([moves.point, moves.point])
        signs = torch.ones(len(bags), device=self.gram.device)
        signs[len(moves.new) :] = -1
        change = self.gram.sums(points, bags, runs * K, signs)
        flat = self.sums.view(runs * K, N)
        before, sizes = self.squared, self.sizes
        # The centers' shift is the mean over the new members of sum_j s_j (x_j - c) over the moved points j.
        square = self._total((signs * change[bags, points]).double(), bags)
        inner = self._total((signs * flat[bags, points]).double(), bags) / sizes
        flat.add_(change)
        self._measure(self._bags())
        net = self.sizes - sizes
        shift = (square - 2 * net * inner + net.square() * before) / self.sizes.square()
        return shift.where(self.real, 0).sum(dim=1), 0.01 * self.tolerance

    def _bags(self) -> Tensor:
        """(A N,) number of each point's cluster among those of all runs; one more number for non-members."""
        runs = torch.arange(len(self.runs), device=self.gram.device)
        bags = self.labels + self.K * runs[:, None]
        return bags.masked_fill_(~self.member, self.sizes.numel()).flatten()

    def _measure(self, bags: Tensor) -> None:
        """Sizes and squared lengths of the centers."""
        sizes = torch.bincount(bags, minlength=self.sizes.numel() + 1)[:-1]
        self.sizes = sizes.view(self.sizes.shape).double().masked_fill_(~self.real, 1)
        within = self.sums.gather(1, self.labels[:, None]).double().flatten()
        squared = self._total(within, bags) / self.sizes.square()
        self.squared = squared.masked_fill_(~self.real, torch.inf)

    def _total(self, values: Tensor, bags: Tensor) -> Tensor:
        """(A, K) sums of the values in each cluster."""
        total = torch.zeros(self.sizes.numel() + 1, dtype=values.dtype, device=values.device)
        return total.index_add_(0, bags, values)[:-1].view(self.sizes.shape)

    def _settle(self, run: Tensor, point: Tensor, candidates: Tensor) -> Tensor:
        """Labels of points with several nearest centers up to rounding."""
        nearest = torch.empty_like(point)
        for number in torch.unique(run).tolist():
            of_run = run == number
            possible = candidates[of_run].cpu().numpy()[:, : int(self.real[number].sum())]
            if self._first:
                centers = self._first_centers(number)
            else:
                centers = self._means(number, clusters=np.flatnonzero(possible.any(axis=0)))
            labels = rounding.nearest_centers(
                self.gram.points, centers, point[of_run].cpu().numpy(), possible
            )
            nearest[of_run] = torch.from_numpy(labels).to(nearest.device)
        return nearest

    def _first_centers(self, run: int) -> Float32:
        return np.asarray(self.gram.points[self.initial[run][self.real[run]].cpu().numpy()])

    def _means(self, run: int, *, undo: _Moves | None = None, clusters: Int64 | None = None) -> Float32:
        """Centers of the labels, or of those before the moves `undo`, as scikit-learn adds them up."""
        labels = self.labels[run].masked_fill(~self.member[run], -1).cpu().numpy()
        if undo is not None:
            mine = (undo.run == run).cpu().numpy()
            labels[undo.point.cpu().numpy()[mine]] = undo.old.cpu().numpy()[mine]
        return rounding.centers(self.gram.points, labels, int(self.real[run].sum()), clusters)
