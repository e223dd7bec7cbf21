"""k-means as scikit-learn computes it on one thread, for many runs on the same points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import KMeans

from pathorob_checks.numerics import rounding, threads
from pathorob_checks.numerics.lloyd import Converged, Gram, converge

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
_TOLERANCE = 1e-4  # scikit-learn's default, relative to the mean variance of a dimension
_GRAM_BYTES = 2 << 30
_FEW_DIMENSIONS = 64  # below that scikit-learn is as fast
_BATCH_BYTES = {"cpu": 8 << 20, "cuda": 1 << 30}  # of sums per cluster and point that are in work together
# Two float32 sums over all points differ by less when they are added up in different orders.
_INERTIA_PRECISION = 3e-5


@dataclass(frozen=True, kw_only=True)
class Run:
    """One k-means: the best of `starts` runs from random initial centers drawn from `seed`."""

    K: int
    starts: int
    seed: int

    def first_centers(self, count: int) -> list[Int64]:
        """For every start the numbers of the K points, of `count`, that scikit-learn begins with."""
        generator = np.random.RandomState(self.seed)
        weight = np.ones(count, dtype=np.float32)
        chance = weight / weight.sum()
        return [generator.choice(count, self.K, replace=False, p=chance) for _ in range(self.starts)]


class KMeansRuns:
    """k-means runs on fixed points.

    Labels are those of scikit-learn's `KMeans(K, init="random", n_init=starts, random_state=seed)` on one
    thread: from the same first centers, and with its rounding where a decision hangs on that. More
    threads would add up in another order, which changes labels from machine to machine.

    Parameters
    ----------
    points : (N, D) float32.
    device : where the products of all pairs of points are kept, as (N, N) float32. Where they would take
        more than 2 GiB or save nothing, scikit-learn itself runs.
    gram : those products, where they are known.
    """

    def __init__(self, points: Float32, device: torch.device, gram: Gram | None = None) -> None:
        self._points = points
        self._device = device
        self._tolerance = float(np.mean(np.var(points, axis=0)) * _TOLERANCE)
        self._gram = gram
        self._inertia: dict[bytes, float] = {}  # of partitions, as scikit-learn adds it up
        if gram is None and points.shape[1] >= _FEW_DIMENSIONS and 4 * len(points) ** 2 <= _GRAM_BYTES:
            self._gram = Gram(points - points.mean(axis=0), device)

    def part(self, rows: Int64) -> KMeansRuns:
        """k-means runs on these points only, (M,) row numbers."""
        gram = self._gram.part(rows) if self._gram is not None else None
        return KMeansRuns(self._points[rows], self._device, gram)

    def labels(self, runs: Sequence[Run]) -> Iterator[Int64]:
        """(N,) labels 0..K-1 of every run, in order, as they are found."""
        gram = self._gram
        if gram is None:
            yield from threads.spread(self._by_scikit_learn, runs)
            return

        def together(batch: list[Run]) -> list[Int64]:
            return self._best(gram, batch)

        if self._device.type == "cpu":
            for found in threads.spread(together, self._batches(runs)):
                yield from found
            return
        # One after the other, as they share the device; what is left to scikit-learn stays on one thread.
        with threads.limited(1):
            for batch in self._batches(runs):
                yield from together(batch)

    def _batches(self, runs: Sequence[Run]) -> list[list[Run]]:
        """Runs that advance together: on a CPU as the cache holds, on a GPU as memory does."""
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
        first = [run.first_centers(gram.count) for run in batch]
        ends = converge(gram, [start for starts in first for start in starts], self._tolerance)
        found, begin = [], 0
        for run, starts in zip(batch, first, strict=True):
            numbers = range(begin, begin + run.starts)
            begin += run.starts
            if ends.emptied[numbers].any():
                found.append(self._by_scikit_learn(run))
            else:
                best = self._choose(gram, ends, [*zip(numbers, starts, strict=True)])
                found.append(ends.labels[best])
        return found

    def _choose(self, gram: Gram, ends: Converged, starts: list[tuple[int, Int64]]) -> int:
        """Which of the starts (number, first centers) has the least inertia; exactly where that is close."""
        # Equal partitions count once, as the first start that found them.
        partitions = {
            _first_seen(ends.labels[number]).tobytes(): (number, first) for number, first in reversed(starts)
        }
        limit = min(ends.inertia[number] for number, _ in starts) * (1 + _INERTIA_PRECISION)
        close = {key: start for key, start in partitions.items() if ends.inertia[start[0]] <= limit}
        if len(close) == 1:
            ((best, _),) = close.values()
            return best
        exact = {
            number: self._settled_inertia(gram, key, ends.labels[number], len(first))
            if ends.settled[number]
            else self._inertia_from(first)
            for key, (number, first) in sorted(close.items(), key=lambda item: item[1][0])
        }
        return min(exact, key=lambda number: exact[number])

    def _settled_inertia(self, gram: Gram, partition: bytes, labels: Int64, K: int) -> float:
        """As scikit-learn adds it up, where centers are the means of the labels; remembered."""
        if partition not in self._inertia:
            self._inertia[partition] = rounding.inertia(gram.points, labels, K)
        return self._inertia[partition]

    def _inertia_from(self, first: Int64) -> float:
        """After scikit-learn's own run from the `first` centers."""
        return float(KMeans(len(first), init=self._points[first], n_init=1).fit(self._points).inertia_)

    def _by_scikit_learn(self, run: Run) -> Int64:
        model = KMeans(run.K, init="random", n_init=run.starts, random_state=run.seed)
        return np.asarray(model.fit(self._points).labels_, dtype=np.int64)


def _first_seen(labels: Int64) -> Int64:
    """Labels numbered in the order in which they first occur: equal for equal partitions."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
