"""k-means and silhouettes for many numbers of clusters on the same points."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.metrics.pairwise import cosine_distances
from threadpoolctl import threadpool_limits


@dataclass(frozen=True, kw_only=True)
class Run:
    """One k-means: the best of `starts` runs from random initial centers drawn from `seed`."""

    K: int
    starts: int
    seed: int


def cluster(points: npt.NDArray[np.float32], runs: Sequence[Run]) -> list[npt.NDArray[np.int32]]:
    """(N,) labels 0..K-1 of every run on the (N, D) points.

    Each run computes on one thread: sums split over threads round differently, and on points without clear
    clusters that changes labels from machine to machine. The runs themselves are spread over the cores.
    """

    def labels(run: Run) -> npt.NDArray[np.int32]:
        model = KMeans(run.K, init="random", n_init=run.starts, random_state=run.seed)
        return np.asarray(model.fit(points).labels_, dtype=np.int32)

    # The limit on BLAS holds for the process, the one on OpenMP for the thread that sets it.
    with (
        threadpool_limits(1),
        ThreadPoolExecutor(
            len(os.sched_getaffinity(0)), initializer=threadpool_limits, initargs=(1,)
        ) as pool,
    ):
        return list(pool.map(labels, runs))


def cosine_silhouettes(
    points: npt.NDArray[np.float32], labelings: Mapping[int, npt.NDArray[np.int32]]
) -> dict[int, float]:
    """Mean cosine silhouette of every labeling, all from one (N, N) float32 distance matrix."""
    distances = cosine_distances(points)
    np.fill_diagonal(distances, 0)  # rounding leaves traces there, which silhouettes refuse
    return {
        K: float(silhouette_score(distances, labels, metric="precomputed")) for K, labels in labelings.items()
    }
