"""k-means as scikit-learn computes it on one thread, for many runs on the same sets of points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics import rounding, threads
from pathorob_checks.numerics.grams import Grams
from pathorob_checks.numerics.inertias import inertias
from pathorob_checks.numerics.lloyd import LloydResults, Starts, converge
from pathorob_checks.numerics.silhouettes import cosine_silhouettes

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
_TOLERANCE = 1e-4  # scikit-learn's default, relative to the mean variance of a dimension
_GRAM_BYTES = 2 << 30
_FEW_DIMENSIONS = 64  # below that scikit-learn is as fast
_CACHE_BYTES = 8 << 20  # of a CPU core, for the sums per cluster and point that are in work together
_MOST_NUMBERS = 1 << 30  # of them in a tensor on a GPU
_SHARE_OF_SUMS = 8  # a GPU's free memory is as many times the sums that are in work together
_SHARE_OF_SETS = 4  # and as many times the points and Gram matrices of the sets that are in work together
# Two float32 sums over all points differ by less when they are added up in different orders.
_INERTIA_PRECISION = 3e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One k-means: the best of `starts` runs from random initial centers drawn from `seed`.

    `set` is the number of the set of points that is clustered, `rows` the ascending numbers of those points
    of it that are; None for all.
    """

    K: int
    starts: int
    seed: int
    rows: Int64 | None = None
    set: int = 0

    def first_centers(self, total: int) -> list[Int64]:
        """For every start the numbers, below `total`, of the K points that scikit-learn begins with."""
        if self.rows is None:
            return list(_draws(total, self.K, self.seed, self.starts))
        return [self.rows[draw] for draw in _draws(len(self.rows), self.K, self.seed, self.starts)]


@lru_cache(maxsize=4096)
def _draws(count: int, K: int, seed: int, starts: int) -> tuple[Int64, ...]:
    generator = np.random.RandomState(seed)
    weight = np.ones(count, dtype=np.float32)
    chance = weight / weight.sum()
    return tuple(generator.choice(count, K, replace=False, p=chance) for _ in range(starts))


def together(sizes: Sequence[int], dimension: int, device: torch.device) -> list[range]:
    """The numbers of the sets of points that one `KMeansRuns` should take: on a CPU one.

    On a GPU as many as fit into its memory, because a step takes longer to launch than to compute.
    """
    if not devices.is_gpu(device):
        return [range(number, number + 1) for number in range(len(sizes))]
    budget = devices.free_memory(device) // _SHARE_OF_SETS
    begins, used = [0], 0
    for number, size in enumerate(sizes):
        used += 4 * size * (size + 2 * dimension)
        if used > budget and number > begins[-1]:
            begins.append(number)
            used = 4 * size * (size + 2 * dimension)
    return [range(a, b) for a, b in pairwise([*begins, len(sizes)])]


class KMeansRuns:
    """k-means runs on fixed sets of points.

    Labels are those of scikit-learn's `KMeans(K, init="random", n_init=starts, random_state=seed)` on one
    thread: from the same first centers, and with its rounding where that decides a label. With more threads
    scikit-learn adds up in another order, so that labels would differ between machines.

    Parameters
    ----------
    sets : (N_s, D) float32 each.
    device : of the products of all pairs of points of a set, (N, N) float32. If they would take more than
        2 GiB or save no time, scikit-learn itself runs.
    """

    def __init__(self, sets: Sequence[Float32], device: torch.device) -> None:
        self._sets = list(sets)
        self._device = device
        self._grams: Grams | None = None
        self._points: dict[int, tuple[Tensor, Tensor]] = {}  # on the device, with their squared lengths
        self._inertia: dict[tuple[int, bytes], float] = {}  # of partitions, as scikit-learn adds it up
        most = max(map(len, self._sets))
        if self._sets[0].shape[1] >= _FEW_DIMENSIONS and 4 * most**2 <= _GRAM_BYTES:
            self._grams = Grams([points - points.mean(axis=0) for points in self._sets], device)

    def labels(self, runs: Sequence[Run]) -> Iterator[Int64]:
        """(N,) labels 0..K-1 of every run, in order, computed lazily; -1 for points not clustered."""
        grams = self._grams
        if grams is None:
            yield from threads.spread(self._by_scikit_learn, runs)
            return

        def together(batch: list[Run]) -> list[Int64]:
            return self._best(grams, batch)

        if not devices.is_gpu(self._device):
            for labels in threads.spread(together, self._batches(runs)):
                yield from labels
            return
        # One after the other, because they share the device; on one thread, for runs of scikit-learn itself.
        with threads.limited(1):
            for batch in self._batches(runs):
                yield from together(batch)

    def silhouettes(self, number: int, labelings: Sequence[Int64], rows: Int64 | None = None) -> list[float]:
        """Mean cosine silhouette of each labeling of a set of points, or of its `rows`."""
        if number not in self._points:
            points = torch.from_numpy(self._sets[number]).to(self._device)
            self._points[number] = points, points.double().square().sum(dim=1)
        points, squared_norms = self._points[number]
        if rows is not None:
            place = torch.from_numpy(rows).to(self._device)
            points, squared_norms = points[place], squared_norms[place]
        return cosine_silhouettes(points, squared_norms, labelings)

    def _batches(self, runs: Sequence[Run]) -> list[list[Run]]:
        """Batches of runs that advance together: as many as fit into a CPU's cache or a GPU's memory."""
        gpu = devices.is_gpu(self._device)
        numbers = _CACHE_BYTES // 4
        if gpu:
            numbers = min(_MOST_NUMBERS, devices.free_memory(self._device) // (4 * _SHARE_OF_SUMS))
        budget = numbers // max(map(len, self._sets))
        most = budget if gpu else -(-sum(run.starts for run in runs) // threads.available())
        batches: list[list[Run]] = []
        starts = K = 0
        for run in runs:
            starts, K = starts + run.starts, max(K, run.K)
            if batches and starts <= most and starts * K <= budget:
                batches[-1].append(run)
            else:
                batches.append([run])
                starts, K = run.starts, run.K
        return batches

    def _best(self, grams: Grams, batch: list[Run]) -> list[Int64]:
        repeats = [run.starts for run in batch]
        centers = [first for run in batch for first in run.first_centers(len(self._sets[run.set]))]
        of_run = np.repeat(np.arange(len(batch)), repeats)
        sets = np.array([run.set for run in batch])
        members = np.array([self._members(run, grams.count) for run in batch])
        variances = grams.variances(
            torch.from_numpy(members).to(self._device), torch.from_numpy(sets).to(self._device)
        )
        starts = Starts(
            centers=centers,
            sets=sets[of_run],
            members=members,
            of_members=of_run,
            tolerances=_TOLERANCE * variances.cpu().numpy()[of_run],
            exact_tolerance=lambda start: self._tolerance(batch[of_run[start]]),
        )
        ends = converge(grams, starts)
        begins = np.cumsum([0, *repeats[:-1]])
        emptied = np.logical_or.reduceat(ends.emptied, begins)
        chosen = self._choose(grams, ends, starts, np.where(emptied, 0, repeats), begins)
        best = ends.labels[torch.from_numpy(chosen).to(self._device)].cpu().numpy()
        return [
            self._by_scikit_learn(run) if lost else labels[: len(self._sets[run.set])]
            for run, lost, labels in zip(batch, emptied, best, strict=True)
        ]

    def _choose(
        self, grams: Grams, ends: LloydResults, starts: Starts, counts: Int64, begins: Int64
    ) -> Int64:
        """Per run the number of the start with the least inertia; close ones are compared exactly.

        `counts` (R,) are the starts of each run, none where it is left to scikit-learn, `begins` their first.
        """
        least = np.minimum.reduceat(np.where(np.isnan(ends.inertia), np.inf, ends.inertia), begins)
        limit = (least * (1 + _INERTIA_PRECISION))[starts.of_members]
        close = np.flatnonzero((ends.inertia <= limit) & (counts > 0)[starts.of_members])
        partitions = _first_members(ends.labels[torch.from_numpy(close).to(self._device)]).cpu().numpy()
        # Equal partitions count once, under the first start that ended in them.
        contestants: list[dict[bytes, int]] = [{} for _ in counts]
        for number, partition in zip(close.tolist(), partitions, strict=True):
            contestants[starts.of_members[number]].setdefault(partition.tobytes(), number)
        undecided = [those for those in contestants if len(those) > 1]
        exact = self._exact_inertias(grams, ends, starts, undecided)
        return np.array(
            [
                min(those.values(), key=lambda number: exact.get(number, 0.0)) if those else int(begin)
                for those, begin in zip(contestants, begins, strict=True)
            ]
        )

    def _exact_inertias(
        self, grams: Grams, ends: LloydResults, starts: Starts, undecided: list[dict[bytes, int]]
    ) -> dict[int, float]:
        """Per start its inertia as scikit-learn adds it up."""
        keys = {
            number: (int(starts.sets[number]), partition)
            for those in undecided
            for partition, number in those.items()
        }
        new = {
            key: number for number, key in keys.items() if ends.settled[number] and key not in self._inertia
        }
        numbers = list(new.values())
        if not devices.is_gpu(self._device):
            for key, number in new.items():
                points = grams.sets[key[0]]
                labels = ends.labels[number].numpy()[: len(points)]
                self._inertia[key] = rounding.inertia(points, labels, int(labels.max()) + 1)
        elif numbers:
            sets = torch.from_numpy(starts.sets[numbers]).to(self._device)
            values = inertias(grams, ends.labels[torch.tensor(numbers, device=self._device)], sets)
            self._inertia |= zip(new, values.tolist(), strict=True)
        return {
            number: self._inertia[key] if ends.settled[number] else self._inertia_from(starts, number)
            for number, key in keys.items()
        }

    def _inertia_from(self, starts: Starts, number: int) -> float:
        """The inertia after scikit-learn's own run from this start."""
        points, first = self._sets[starts.sets[number]], starts.centers[number]
        members = starts.members[starts.of_members[number]][: len(points)]
        model = KMeans(len(first), init=points[first], n_init=1)
        return float(model.fit(points[members]).inertia_)

    def _by_scikit_learn(self, run: Run) -> Int64:
        model = KMeans(run.K, init="random", n_init=run.starts, random_state=run.seed)
        points = self._sets[run.set]
        members = self._members(run, len(points))
        labels = np.full(len(points), -1, dtype=np.int64)
        labels[members] = model.fit(points[members]).labels_
        return labels

    def _members(self, run: Run, count: int) -> Bool:
        """(count,) whether the run clusters the point."""
        members = np.zeros(count, dtype=bool)
        members[slice(len(self._sets[run.set])) if run.rows is None else run.rows] = True
        return members

    def _tolerance(self, run: Run) -> float:
        points = self._sets[run.set]
        return float(np.mean(np.var(points if run.rows is None else points[run.rows], axis=0)) * _TOLERANCE)


def _first_members(labels: Tensor) -> Tensor:
    """(R, N) int32, for every point the first point of its cluster: equal for equal partitions of points.

    -1 for points in no cluster.
    """
    runs, N = labels.shape
    first = torch.full((runs, N + 1), N, dtype=torch.int64, device=labels.device)
    points = torch.arange(N, device=labels.device).expand(runs, N)
    place = labels.where(labels >= 0, N)
    first.scatter_reduce_(1, place, points, "amin")
    return first.gather(1, place).where(labels >= 0, -1).int()
