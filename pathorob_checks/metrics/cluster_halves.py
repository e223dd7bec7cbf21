"""The clustering score of halves of the slides, clustered anew: how far clusters move with the slides.

With some slides the clusters may follow the class by a hair, with others the center: nothing that is read
off held clusters can tell. The score on a random half of the slides of every cell differs from that on all
of them by as much, in variance, as the latter does from the truth (half-samples, McCarthy 1969). With other
slides another K may be best, too: a half chooses among the K that come close on all slides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.inputs import Float32, Int64
from pathorob_checks.metrics.rand_index import adjusted_rand, contingency

if TYPE_CHECKING:
    import torch

    from pathorob_checks.numerics.kmeans import KMeansRuns, Run

Bool = npt.NDArray[np.bool_]
HALVES = 20
# Shares of the best silhouette by which another K may stay below it. A quarter held every K that a half chose
# in simulations; with a fiftieth, intervals of cohorts with unstable clusters held the truth in 95 %.
_MAY_BE_CHOSEN, _CLOSE = 0.25, 0.02
_SAME_SCORE = 0.05  # a K with another silhouette and the same score moves no interval
_MOST_K = 8


class HalfScore(NamedTuple):
    """ARI(class) - ARI(center) of a half of the slides; NaN where it has no more points than clusters.

    `held` with the K that all slides chose, `own` with the best of the half itself, `least` and `greatest` of
    the K that are about as good there.
    """

    held: float
    own: float
    least: float
    greatest: float


_NONE = HalfScore(*[float("nan")] * 4)


class ClusteredCombination(NamedTuple):
    """One combination: k-means of its n points, the points, and (n,) codes, equal for equal points."""

    kmeans: KMeansRuns
    points: Float32
    embedding_codes: Int64
    classes: Int64
    centers: Int64


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


def half_scores(
    clustered: ClusteredCombination,
    masks: list[Bool],
    trial: Run,
    others: Sequence[int],
    device: torch.device,
) -> Iterator[HalfScore]:
    """Scores of each half of a combination.

    Parameters
    ----------
    masks : (n,) bool each.
    trial : k-means as in a trial, with the chosen K.
    others : further K among which a half chooses.
    device : of the silhouettes.
    """
    points = [len(np.unique(clustered.embedding_codes[mask])) for mask in masks]
    choices = [[K for K in (trial.K, *others) if count > K] if count > trial.K else [] for count in points]
    labelings = clustered.kmeans.labels(
        [
            replace(trial, K=K, rows=np.flatnonzero(mask))
            for mask, these in zip(masks, choices, strict=True)
            for K in these
        ]
    )
    for mask, these in zip(masks, choices, strict=True):
        yield _score(clustered, mask, [next(labelings)[mask] for _ in these], device)


def _score(
    clustered: ClusteredCombination, mask: Bool, labelings: list[Int64], device: torch.device
) -> HalfScore:
    """Of one half, clustered with the chosen K, first, and with others."""
    from pathorob_checks.numerics.silhouettes import cosine_silhouettes

    if not labelings:
        return _NONE
    classes, centers = clustered.classes[mask], clustered.centers[mask]
    scores = np.array(
        [
            adjusted_rand(contingency(classes, labels)) - adjusted_rand(contingency(centers, labels))
            for labels in labelings
        ]
    )
    silhouettes = np.zeros(1)
    if len(labelings) > 1:
        silhouettes = np.array(cosine_silhouettes(clustered.points[mask], labelings, device))
    best = int(silhouettes.argmax())
    close = scores[silhouettes >= silhouettes[best] - _CLOSE * abs(silhouettes[best])]
    return HalfScore(float(scores[0]), float(scores[best]), float(close.min()), float(close.max()))
