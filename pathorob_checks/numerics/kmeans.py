"""k-means as scikit-learn computes it on one thread, for many runs on the same points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import KMeans

from pathorob_checks.numerics import rounding, threads
from pathorob_checks.numerics.lloyd import Gram, LloydResults, converge

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
_TOLERANCE = 1e-4  # scikit-learn's default, relative to the mean variance of a dimension
_GRAM_BYTES = 2 << 30
_FEW_DIMENSIONS = 64  # below that scikit-learn is as fast
_BATCH_BYTES = {"cpu": 8 << 20, "cuda": 1 << 30}  # of sums per cluster and point that are in work together
# Two float32 sums over all points differ by less when they are added up in different orders.
_INERTIA_PRECISION = 3e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One k-means: the best of `starts` runs from random initial centers drawn from `seed`.

    `rows` are the ascending numbers of the points that are clustered; None for all.
    """

    K: int
    starts: int
    seed: int
    rows: Int64 | None = None

    def first_centers(self, total: int) -> list[Int64]:
        """For every start the numbers, below `total`, of the K points that scikit-learn begins with."""
        rows = np.arange(total) if self.rows is None else self.rows
        count = len(rows)
        generator = np.random.RandomState(self.seed)
        weight = np.ones(count, dtype=np.float32)
        chance = weight / weight.sum()
        return [rows[generator.choice(count, self.K, replace=False, p=chance)] for _ in range(self.starts)]


class Start(NamedTuple):
    """One start of a run: (K,) numbers of the points that are its first centers."""

    run: Run
    centers: Int64


class KMeansRuns:
    """k-means runs on fixed points.

    Labels are those of scikit-learn's `KMeans(K, init="random", n_init=starts, random_state=seed)` on one
    thread: from the same first centers, and with its rounding where that decides a label. With more threads
    scikit-learn adds up in another order, so that labels would differ between machines.

    Parameters
    ----------
    points : (N, D) float32.
    device : of the products of all pairs of points, (N, N) float32. If they would take more than 2 GiB or
        save no time, scikit-learn itself runs.
    """

    def __init__(self, points: Float32, device: torch.device) -> None:
        self._points = points
        self._device = device
        self._tolerance = _tolerance(points)
        self._gram: Gram | None = None
        self._inertia: dict[bytes, float] = {}  # of partitions, as scikit-learn adds it up
        if points.shape[1] >= _FEW_DIMENSIONS and 4 * len(points) ** 2 <= _GRAM_BYTES:
            self._gram = Gram(points - points.mean(axis=0), device)

    def labels(self, runs: Sequence[Run]) -> Iterator[Int64]:
        """(N,) labels 0..K-1 of every run, in order, computed lazily; -1 for points not clustered."""
        gram = self._gram
        if gram is None:
            yield from threads.spread(self._by_scikit_learn, runs)
            return

        def together(batch: list[Run]) -> list[Int64]:
            return self._best(gram, batch)

        if self._device.type == "cpu":
            for labels in threads.spread(together, self._batches(runs)):
                yield from labels
            return
        # One after the other, because they share the device; on one thread, for runs of scikit-learn itself.
        with threads.limited(1):
            for batch in self._batches(runs):
                yield from together(batch)

    def _batches(self, runs: Sequence[Run]) -> list[list[Run]]:
        """Batches of runs that advance together: as many as fit into a CPU's cache or a GPU's memory."""
        cpu = self._device.type == "cpu"
        budget = _BATCH_BYTES[self._device.type] // (4 * len(self._points))
        most = -(-sum(run.starts for run in runs) // threads.available()) if cpu else budget
        batches: list[list[Run]] = []
        for run in runs:
            together = [*batches[-1], run] if batches else [run]
            starts = sum(other.starts for other in together)
            fits = starts <= most and starts * max(other.K for other in together) <= budget
            if batches and fits:
                batches[-1].append(run)
            else:
                batches.append([run])
        return batches

    def _best(self, gram: Gram, batch: list[Run]) -> list[Int64]:
        starts = [Start(run, first) for run in batch for first in run.first_centers(gram.count)]
        members = np.array([self._members(run) for run in batch])
        tolerances = np.array([self._tolerance_of(run) for run in batch])
        repeats = [run.starts for run in batch]
        ends = converge(
            gram,
            [start.centers for start in starts],
            np.repeat(members, repeats, axis=0),
            np.repeat(tolerances, repeats),
        )
        labels, begin = [], 0
        for run in batch:
            numbers = range(begin, begin + run.starts)
            begin += run.starts
            if ends.emptied[numbers].any():
                labels.append(self._by_scikit_learn(run))
            else:
                labels.append(ends.labels[self._choose(gram, ends, {n: starts[n] for n in numbers})])
        return labels

    def _choose(self, gram: Gram, ends: LloydResults, starts: dict[int, Start]) -> int:
        """The number of the start with the least inertia; close ones are compared exactly."""
        # Equal partitions count once, under the first start that ended in them.
        partitions = {_first_seen(ends.labels[number]).tobytes(): number for number in reversed(starts)}
        limit = min(ends.inertia[number] for number in starts) * (1 + _INERTIA_PRECISION)
        close = {number: key for key, number in partitions.items() if ends.inertia[number] <= limit}
        if len(close) == 1:
            return next(iter(close))
        exact = {}
        for number in sorted(close):
            start, key = starts[number], close[number]
            if not ends.settled[number]:
                exact[number] = self._inertia_from(start)
                continue
            if key not in self._inertia:
                self._inertia[key] = rounding.inertia(gram.points, ends.labels[number], start.run.K)
            exact[number] = self._inertia[key]
        return min(exact, key=lambda number: exact[number])

    def _inertia_from(self, start: Start) -> float:
        """The inertia after scikit-learn's own run from this start."""
        model = KMeans(start.run.K, init=self._points[start.centers], n_init=1)
        return float(model.fit(self._points[self._members(start.run)]).inertia_)

    def _by_scikit_learn(self, run: Run) -> Int64:
        model = KMeans(run.K, init="random", n_init=run.starts, random_state=run.seed)
        members = self._members(run)
        labels = np.full(len(self._points), -1, dtype=np.int64)
        labels[members] = model.fit(self._points[members]).labels_
        return labels

    def _members(self, run: Run) -> npt.NDArray[np.bool_]:
        """(N,) whether the run clusters the point."""
        members = np.full(len(self._points), run.rows is None)
        if run.rows is not None:
            members[run.rows] = True
        return members

    def _tolerance_of(self, run: Run) -> float:
        return self._tolerance if run.rows is None else _tolerance(self._points[run.rows])


def _tolerance(points: Float32) -> float:
    return float(np.mean(np.var(points, axis=0)) * _TOLERANCE)


def _first_seen(labels: Int64) -> Int64:
    """Labels numbered in the order in which they first occur: equal for equal partitions of equal points."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.where(labels < 0, -1, np.argsort(np.argsort(first))[inverse])
