"""The clustering score of halves of the slides, clustered anew: how far clusters move with the slides.

With some slides the clusters may follow the class by a hair, with others the center: nothing that is read
off held clusters can tell. The score on a random half of the slides of every cell differs from that on all
of them by as much, in variance, as the latter does from the truth (half-samples, McCarthy 1969). With other
slides another K may be best, too: a half chooses among the K that come close on all slides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.cluster_trials import (
    SEED,
    STARTS_PER_TRIAL,
    ClusteredCombination,
    rand_indices,
)
from pathorob_checks.metrics.inputs import Int64

Bool = npt.NDArray[np.bool_]
HALVES = 20
# Shares of the best silhouette by which another K may stay below it. A quarter held every K that a half chose
# in simulations; with a fiftieth, intervals of cohorts with unstable clusters held the truth in 95 %.
_MAY_BE_CHOSEN, _CLOSE = 0.25, 0.02
_SAME_SCORE = 0.05  # a K with another silhouette and the same score moves no interval
_MOST_K = 8


class HalfScore(NamedTuple):
    """A value of a half of the slides; NaN where it has no more points than clusters.

    `held` with the K that all slides chose, `own` with the best of the half itself, `least` and `greatest` of
    the K that are about as good there.
    """

    held: float
    own: float
    least: float
    greatest: float


@dataclass(frozen=True)
class HalfIndices:
    """How clusters of a half of the slides agree with both labels, for each K that it may choose.

    Attributes
    ----------
    indices : (choices, 2) float64, ARI(class) and ARI(center); the first choice is the K of all slides. None
        where the half has no more points than clusters.
    silhouettes : (choices,) float64 of the half.
    """

    indices: npt.NDArray[np.float64] | None
    silhouettes: npt.NDArray[np.float64]

    def scores(self, center_counts: float) -> HalfScore:
        """Of ARI(class) - center_counts * ARI(center)."""
        if self.indices is None:
            return HalfScore(*[float("nan")] * 4)
        values = self.indices[:, 0] - center_counts * self.indices[:, 1]
        best = int(self.silhouettes.argmax())
        top = self.silhouettes[best]
        close = values[self.silhouettes >= top - _CLOSE * abs(top)]
        return HalfScore(float(values[0]), float(values[best]), float(close.min()), float(close.max()))


def halves(units: Int64, cells: Int64, seed: int) -> list[Bool]:
    """(N,) masks of the patches of half of the units of every cell: ten halves and their other halves.

    Units (slides or cases) are shuffled in the order in which they first occur, whatever their names. In
    every cell those that come first are one half (the larger, of an odd number) and the others the other; the
    only unit of a cell is in both.
    """
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    seen = np.argsort(np.argsort(first))[unit]
    standing = np.unique(np.stack([cells, seen], axis=1), axis=0)  # units of each cell
    masks = []
    generator = np.random.default_rng(seed)
    for _ in range(HALVES // 2):
        shuffled = generator.permutation(len(first))
        early, late = np.zeros(len(standing), dtype=bool), np.zeros(len(standing), dtype=bool)
        for cell in np.unique(cells):
            members = np.flatnonzero(standing[:, 0] == cell)
            ordered = members[np.argsort(shuffled[standing[members, 1]])]
            middle = (len(ordered) + 1) // 2
            early[ordered[:middle]] = True
            late[ordered[middle:] if len(ordered) > 1 else ordered] = True
        for half in (early, late):
            kept = standing[half]
            masks.append(np.isin(cells * len(first) + seen, kept[:, 0] * len(first) + kept[:, 1]))
    return masks


def contestants(silhouettes: Mapping[int, float], scores: Mapping[int, float]) -> list[int]:
    """The best K, first, and others that may be the best with other slides and would give another score.

    Of the others seven at most, evenly taken.
    """
    best = max(silhouettes, key=lambda K: silhouettes[K])
    least = silhouettes[best] - _MAY_BE_CHOSEN * abs(silhouettes[best])
    others = sorted(
        K for K in silhouettes if silhouettes[K] >= least and abs(scores[K] - scores[best]) > _SAME_SCORE
    )
    places = np.linspace(0, len(others) - 1, min(len(others), _MOST_K - 1)).round().astype(int)
    return [best, *(others[place] for place in places)]


def half_indices(
    clustered: Sequence[ClusteredCombination], masks: list[Bool]
) -> Iterator[tuple[ClusteredCombination, HalfIndices]]:
    """Indices of each half of each combination, one combination after the other.

    Parameters
    ----------
    clustered : combinations that were clustered together.
    masks : (N,) bool each, of the patches of the table.
    """
    from pathorob_checks.numerics.kmeans import Run

    parts = [_Half.of(one, np.flatnonzero(mask[one.patches.rows])) for one in clustered for mask in masks]
    runs = [
        Run(K=K, starts=STARTS_PER_TRIAL, seed=SEED, rows=half.rows, set=half.clustered.number)
        for half in parts
        for K in half.choices
    ]
    labelings = clustered[0].kmeans.labels(runs)
    for half in parts:
        yield half.clustered, half.agreement([next(labelings)[half.rows] for _ in half.choices])


@dataclass(frozen=True)
class _Half:
    """A half of a combination: its rows among those of the combination, and the K that it may choose."""

    clustered: ClusteredCombination
    rows: Int64
    choices: list[int]

    @classmethod
    def of(cls, clustered: ClusteredCombination, rows: Int64) -> _Half:
        points = len(np.unique(clustered.patches.embedding_codes[rows]))
        K, *others = contestants(clustered.silhouettes, clustered.score_by_k)
        choices = [choice for choice in (K, *others) if points > choice] if points > K else []
        return cls(clustered, rows, choices)

    def agreement(self, labelings: list[Int64]) -> HalfIndices:
        """From the labels with each of the choices."""
        silhouettes = np.zeros(1)
        if not labelings:
            return HalfIndices(None, silhouettes)
        if len(labelings) > 1:
            kmeans = self.clustered.kmeans
            silhouettes = np.array(kmeans.silhouettes(self.clustered.number, labelings, self.rows))
        return HalfIndices(rand_indices(self.clustered.patches, labelings, self.rows), silhouettes)
