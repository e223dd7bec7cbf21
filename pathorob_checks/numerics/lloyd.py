"""Lloyd's k-means on Gram matrices: many starts, of one or several sets of points, in lockstep.

A squared distance from a point x to a center c is |c|^2 - 2 x.c plus a number that is the same for all
centers, and x.c is the mean of x's products with the center's members. So once the Gram matrix is computed,
the cost of an iteration does not depend on the dimension, and only points that change their cluster change
the sums. Decisions that depend on the rounding of float32 are made in scikit-learn's arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pathorob_checks.numerics import rounding
from pathorob_checks.numerics.grams import Grams

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
MAX_ITERATIONS = 300
_FEW_CLUSTERS = 8  # up to this number a product with all points is faster than adding rows


@dataclass(frozen=True)
class Starts:
    """Runs of k-means from first centers, numbered 0..A-1.

    Attributes
    ----------
    centers : (K,) numbers of the points that are the first centers, per run.
    sets : (A,) int64, the set of points that the run clusters.
    members : (M, N) bool, which points are clustered; `of_members` (A,) int64 is a run's row of it.
    tolerances : (A,) float64, to a thousandth of them; `exact_tolerance` is scikit-learn's of a run.
    """

    centers: Sequence[Int64]
    sets: Int64
    members: Bool
    of_members: Int64
    tolerances: Float64
    exact_tolerance: Callable[[int], float]


@dataclass(frozen=True)
class LloydResults:
    """The results of the starts.

    Attributes
    ----------
    labels : (starts, N) int64 on the device; -1 for points that the run does not cluster.
    inertia : (starts,) float64, the sum of squared distances to the own center.
    settled : (starts,) bool; whether it ended because no label changed: then centers are the clusters' means.
    emptied : (starts,) bool; whether it lost a cluster; then its labels mean nothing.
    """

    labels: Tensor
    inertia: Float64
    settled: Bool
    emptied: Bool


class _Moves(NamedTuple):
    """Points that change their cluster: (M,) each."""

    run: Tensor
    point: Tensor
    old: Tensor
    new: Tensor


def converge(grams: Grams, starts: Starts) -> LloydResults:
    """Run k-means from each start.

    A run ends when no label changes, when the centers together move by a squared distance of at most
    its tolerance, or after 300 iterations.
    """
    count = len(starts.centers)
    labels = torch.zeros((count, grams.count), dtype=torch.int64, device=grams.device)
    inertia = np.full(count, np.nan)
    settled = np.zeros(count, dtype=bool)
    emptied = np.zeros(count, dtype=bool)
    lockstep = _Lockstep(grams, starts)
    lockstep.begin()
    moves: _Moves | None = None
    changed = torch.ones(count, dtype=torch.bool, device=grams.device)
    for iteration in range(1, MAX_ITERATIONS + 2):
        ended = lockstep.pending & (lockstep.last | ~changed)
        if bool(ended.any()):
            runs = lockstep.runs[ended]
            labels[runs] = lockstep.labels[ended].masked_fill_(~lockstep.member[ended], -1)
            numbers = runs.cpu().numpy()
            inertia[numbers] = lockstep.inertia(ended).cpu().numpy()
            settled[numbers] = ~changed[ended].cpu().numpy()
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
        changed = torch.zeros(len(lockstep.runs), dtype=torch.bool, device=grams.device)
        changed[moves.run] = True
    return LloydResults(labels, inertia, settled, emptied)


class _Lockstep:
    """Runs that are all in the same iteration. K is the largest number of clusters of a run.

    Attributes
    ----------
    initial : (A, K) int64, the first centers' points; `real` (A, K) bool, whether the run has this cluster.
    member : (A, N) bool, the points that the run clusters; labels of the others mean nothing.
    set : (A,) int64, of points.
    tolerance : (A,) float64, to a thousandth.
    runs : (A,) their numbers; `pending` (A,) bool, whether a run has not ended; `last` (A,) bool, whether it
        ends with its next labels.
    labels : (A, N) int64; `own` (A, N) float32, |c|^2 - 2 x.c for the point's own center.
    sums : (A, K, N) float32, x's products with the members of a cluster, added up.
    sizes, squared : (A, K) float64, the number of members and the squared length of the center; 1 and
        infinity for clusters that the run does not have.
    """

    _OF_RUNS = (
        "runs",
        "pending",
        "last",
        "member",
        "set",
        "tolerance",
        "initial",
        "real",
        "labels",
        "own",
        "sums",
        "sizes",
        "squared",
    )

    def __init__(self, grams: Grams, starts: Starts) -> None:
        self.grams = grams
        device = grams.device
        self.set = torch.from_numpy(starts.sets).to(device)
        self.member = torch.from_numpy(starts.members).to(device)[
            torch.from_numpy(starts.of_members).to(device)
        ]
        self.tolerance = torch.from_numpy(starts.tolerances).to(device)
        self._exact_tolerance = starts.exact_tolerance
        count, self.K = len(starts.centers), max(map(len, starts.centers))
        initial = np.full((count, self.K), -1)
        for run, centers in enumerate(starts.centers):
            initial[run, : len(centers)] = centers
        self.initial = torch.from_numpy(initial).to(device)
        self.real = self.initial >= 0
        self.initial = self.initial.clamp(min=0)
        self.runs = torch.arange(count, device=device)
        self.pending = torch.ones(count, dtype=torch.bool, device=device)
        self.last = torch.zeros(count, dtype=torch.bool, device=device)
        points = (self.initial + self._first_row(slice(None))[:, None]).flatten()
        ones = torch.ones(len(points), device=device)
        sums = grams.sums(points, torch.arange(len(points), device=device), len(points), ones)
        self.sums = sums.view(count, self.K, grams.count)
        self.sizes = torch.ones((count, self.K), dtype=torch.float64, device=device)
        squared = grams.squared_norms[self.set[:, None], self.initial]
        self.squared = squared.masked_fill(~self.real, torch.inf)
        self.labels = torch.zeros((count, grams.count), dtype=torch.int64, device=device)
        self.own = torch.zeros((count, grams.count), device=device)
        self._first = True

    def inertia(self, some: Tensor) -> Tensor:
        """Of the runs of a mask, float64."""
        squared = self.grams.squared_norms[self.set[some]] + self.own[some].double()
        return (squared * self.member[some]).sum(dim=1)

    def begin(self) -> None:
        """Assign every point to the nearest of the first centers."""
        values = self._values()
        nearest = values[:, 0].clone()
        for k in range(1, self.K):  # tens of times faster than argmin along the middle
            self.labels.masked_fill_(values[:, k] < nearest, k)
            torch.minimum(nearest, values[:, k], out=nearest)
        del values, nearest
        self.assign()

    def assign(self) -> _Moves:
        """Assign every point to its nearest center; returns what changed."""
        values = self._values()
        mine = self.labels[:, None]
        own = values.gather(1, mine)
        values.scatter_(1, mine, torch.inf)
        rounding_of_run = self.grams.rounding[self.set]
        near = values.amin(dim=1) - own[:, 0] < rounding_of_run[:, None]
        run, point = torch.nonzero(near & self.member & self.pending[:, None], as_tuple=True)
        old = self.labels[run, point]
        distances = values[run, :, point].scatter_(1, old[:, None], own[run, 0, point][:, None])
        best = distances.amin(dim=1, keepdim=True)
        candidates = distances <= best + rounding_of_run[run, None]
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
        close = self.pending & ((shift - self.tolerance).abs() <= precision + 0.001 * self.tolerance)
        for run in torch.nonzero(close)[:, 0].tolist():
            old = self._first_centers(run) if moves is None else self._means(run, undo=moves)
            moved = rounding.squared_shift(old, self._means(run))
            self.last[run] = last or moved <= self._exact_tolerance(int(self.runs[run]))
        self._first = False

    def drop(self, ended: Tensor, moves: _Moves | None) -> _Moves | None:
        """End runs; their memory is kept until enough of them have ended."""
        self.pending = self.pending & ~ended
        keep = self.pending
        if 4 * int(keep.sum()) > 3 * len(keep):
            return moves
        for name in self._OF_RUNS:
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

    def _first_row(self, runs: Tensor | slice) -> Tensor:
        """The row of all sets' points at which the set of each run begins."""
        return self.set[runs] * self.grams.count

    def _after_the_first(self) -> tuple[Tensor, Tensor | float]:
        """Sums over all points; returns every run's squared shift and how precise that is."""
        runs, K, N = self.sums.shape
        first = self.squared
        bags = self._bags()
        if K <= _FEW_CLUSTERS and len(self.grams.sets) == 1:
            members = torch.zeros((runs, K, N), device=self.set.device)
            members.scatter_(1, self.labels[:, None], self.member.float()[:, None])
            sums = self.grams.sums_of_members(members)
        else:
            run, points = torch.nonzero(self.member, as_tuple=True)
            ones = torch.ones(len(points), device=self.set.device)
            rows = points + self._first_row(run)
            sums = self.grams.sums(rows, bags[self.member.flatten()], runs * K, ones).view(runs, K, N)
        self.sums = sums
        self._measure(bags)
        across = self.sums.gather(2, self.initial[..., None])[..., 0] / self.sizes
        shift = (self.squared + first - 2 * across).where(self.real, 0).sum(dim=1)
        return shift, 4 * K * self.grams.rounding[self.set]

    def _after(self, moves: _Moves) -> tuple[Tensor, Tensor | float]:
        """Sums changed by the moves; returns every run's squared shift and how precise that is."""
        runs, K, N = self.sums.shape
        bags = torch.cat([moves.run * K + moves.new, moves.run * K + moves.old])
        points = torch.cat([moves.point, moves.point])
        rows = points + self._first_row(moves.run).repeat(2)
        signs = torch.ones(len(bags), device=self.set.device)
        signs[len(moves.new) :] = -1
        change = self.grams.sums(rows, bags, runs * K, signs)
        flat = self.sums.view(runs * K, N)
        before, sizes = self.squared, self.sizes
        # The centers' shift is the mean over the new members of sum_j s_j (x_j - c) over the moved points j.
        square = self._total((signs * change[bags, points]).double(), bags)
        inner = self._total((signs * flat[bags, points]).double(), bags) / sizes
        flat.add_(change)
        del change
        self._measure(self._bags())
        net = self.sizes - sizes
        shift = (square - 2 * net * inner + net.square() * before) / self.sizes.square()
        return shift.where(self.real, 0).sum(dim=1), 0.01 * self.tolerance

    def _bags(self) -> Tensor:
        """(A N,) number of each point's cluster among those of all runs; one more number for non-members."""
        runs = torch.arange(len(self.runs), device=self.set.device)
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
        """Labels of points with several nearest centers up to the rounding of the Gram matrix.

        Most are decided by exact distances to scikit-learn's own centers, the others in its arithmetic.
        """
        place, k = torch.nonzero(candidates, as_tuple=True)
        clusters, center = torch.unique(run[place] * self.K + k, return_inverse=True)
        means = self._centers(clusters // self.K, clusters % self.K)
        exact, precision = self.grams.distances((point + self._first_row(run))[place], means[center])
        table = torch.full(candidates.shape, torch.inf, dtype=torch.float64, device=exact.device)
        least = table.index_put((place, k), exact - precision)
        most = table.index_put((place, k), exact + precision).amin(dim=1, keepdim=True)
        possible = least <= most
        nearest = table.index_put((place, k), exact).argmin(dim=1)
        hard = torch.nonzero(possible.sum(dim=1) > 1)[:, 0]
        if len(hard):
            undecided = possible[hard]
            nearest[hard] = self._by_scikit_learn(run[hard], point[hard], undecided, clusters, means)
        return nearest

    def _centers(self, run: Tensor, k: Tensor) -> Tensor:
        """(C, D) float32 centers `k` of runs, as scikit-learn computes them."""
        if self._first:
            return self.grams.points[self.initial[run, k] + self._first_row(run)]
        mine = (self.labels[run] == k[:, None]) & self.member[run]
        number, point = torch.nonzero(mine, as_tuple=True)
        return self.grams.means(point + self._first_row(run)[number], mine.sum(dim=1))

    def _by_scikit_learn(
        self, run: Tensor, point: Tensor, candidates: Tensor, clusters: Tensor, means: Tensor
    ) -> Tensor:
        """Nearest of the candidates, (P, K) bool; `means` (C, D) are the centers of the runs' `clusters`."""
        needed = torch.unique(run)
        first = torch.searchsorted(clusters, needed * self.K).tolist()
        last = torch.searchsorted(clusters, (needed + 1) * self.K).tolist()
        numbers, centers = (clusters % self.K).cpu().numpy(), means.cpu().numpy()
        of_run, points, possible = run.cpu().numpy(), point.cpu().numpy(), candidates.cpu().numpy()
        sets = self.set[needed].tolist()
        counts = self.real[needed].sum(dim=1).tolist()
        nearest = np.empty(len(points), dtype=np.int64)
        for place, number in enumerate(needed.tolist()):
            mine = of_run == number
            part = slice(first[place], last[place])
            all_centers = np.zeros((counts[place], centers.shape[1]), dtype=np.float32)
            all_centers[numbers[part]] = centers[part]
            nearest[mine] = rounding.nearest_centers(
                self.grams.sets[sets[place]], all_centers, points[mine], possible[mine, : counts[place]]
            )
        return torch.from_numpy(nearest).to(run.device)

    def _first_centers(self, run: int) -> Float32:
        points = self.grams.sets[int(self.set[run])]
        return np.asarray(points[self.initial[run][self.real[run]].cpu().numpy()])

    def _means(self, run: int, *, undo: _Moves | None = None) -> Float32:
        """Centers of the labels, or of those before the moves `undo`, as scikit-learn adds them up."""
        points = self.grams.sets[int(self.set[run])]
        labels = self.labels[run].masked_fill(~self.member[run], -1).cpu().numpy()[: len(points)]
        if undo is not None:
            mine = (undo.run == run).cpu().numpy()
            labels[undo.point.cpu().numpy()[mine]] = undo.old.cpu().numpy()[mine]
        return rounding.centers(points, labels, int(self.real[run].sum()))
