"""The clustering score of halves of the slides, clustered anew: how far clusters move with the slides.

With some slides the clusters may follow the class by a hair, with others the center: nothing that is read
off held clusters can tell. The score on a random half of the slides of every cell differs from that on all
of them by as much, in variance, as the latter does from the truth (half-samples, McCarthy 1969).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.rand_index import adjusted_rand, contingency
from pathorob_checks.numerics.kmeans import KMeansRuns, Run

Bool = npt.NDArray[np.bool_]
HALVES = 20


def halves(slides: Int64, cells: Int64, seed: int) -> list[Bool]:
    """(N,) masks of the patches of half of the slides of every cell: ten halves and their other halves.

    Slides are shuffled in the order in which they first occur, whatever their names. In every cell those
    that come first are one half (the larger, of an odd number) and the others the other; the only slide of
    a cell is in both.
    """
    _, first, slide = np.unique(slides, return_index=True, return_inverse=True)
    seen = np.argsort(np.argsort(first))[slide]
    standing = np.unique(np.stack([cells, seen], axis=1), axis=0)  # slides of each cell
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


def half_scores(
    kmeans: KMeansRuns, embedding_codes: Int64, classes: Int64, centers: Int64, masks: list[Bool], trial: Run
) -> Iterator[float]:
    """ARI(class) - ARI(center) of each half of a combination; NaN where it has no more points than clusters.

    Parameters
    ----------
    kmeans : of the combination's n points.
    embedding_codes, classes, centers : (n,) int64; `embedding_codes` are equal for equal points.
    masks : (n,) bool each.
    trial : k-means as in a trial.
    """
    enough = [len(np.unique(embedding_codes[mask])) > trial.K for mask in masks]
    clustered = [mask for mask, some in zip(masks, enough, strict=True) if some]
    labelings = kmeans.labels([replace(trial, rows=np.flatnonzero(mask)) for mask in clustered])
    for mask, some in zip(masks, enough, strict=True):
        if some:
            labels = next(labelings)[mask]
            of_class = adjusted_rand(contingency(classes[mask], labels))
            yield float(of_class - adjusted_rand(contingency(centers[mask], labels)))
        else:
            yield float("nan")
