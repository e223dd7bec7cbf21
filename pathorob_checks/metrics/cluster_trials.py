"""k-means of combinations of two classes and two centers: their rows, their K, and their trials."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.cluster_combinations import Pair
from pathorob_checks.metrics.inputs import Float32, Int64, Labels
from pathorob_checks.metrics.needs import refuse_few_patches
from pathorob_checks.metrics.rand_index import adjusted_rand, contingency

if TYPE_CHECKING:
    import torch

    from pathorob_checks.numerics.kmeans import KMeansRuns

SEED = 1337
STARTS_TO_CHOOSE_K = 20
STARTS_PER_TRIAL = 5


@dataclass(frozen=True, kw_only=True)
class CombinationPatches:
    """The patches of a combination, cell after cell.

    Attributes
    ----------
    class_pair, center_pair : their names.
    rows : (n,) row numbers in the table.
    points : (n, D) float32 embeddings of length 1.
    classes, centers : (n,) codes.
    embedding_codes : (n,) codes, equal for equal embeddings.
    """

    class_pair: Pair
    center_pair: Pair
    rows: Int64
    points: Float32
    classes: Int64
    centers: Int64
    embedding_codes: Int64


@dataclass(frozen=True, kw_only=True)
class ClusteredCombination:
    """k-means of one combination.

    Attributes
    ----------
    patches : what was clustered.
    K : the number of clusters with the best silhouette.
    silhouettes, score_by_k : by number of clusters.
    ari_class, ari_center : (trials,) float64.
    labelings : (n,) labels of each trial.
    kmeans : further k-means of all combinations that were clustered together; `number` is this one's place.
    """

    patches: CombinationPatches
    K: int
    silhouettes: dict[int, float]
    score_by_k: dict[int, float]
    ari_class: npt.NDArray[np.float64]
    ari_center: npt.NDArray[np.float64]
    labelings: list[Int64]
    kmeans: KMeansRuns
    number: int


def rows_of_combination(
    embedding_codes: Int64,
    classes: Labels,
    centers: Labels,
    class_pair: Pair,
    center_pair: Pair,
    most_clusters: int,
) -> Int64:
    """Row numbers of a combination, cell after cell: k-means draws its first centers by row number.

    `embedding_codes` are (N,) codes, equal for equal embeddings.
    """
    cells = [
        (classes.codes == classes.names.index(cls)) & (centers.codes == centers.names.index(center))
        for cls, center in product(class_pair, center_pair)
    ]
    rows = np.concatenate([np.flatnonzero(cell) for cell in cells])
    distinct = len(np.unique(embedding_codes[rows]))
    refuse_few_patches(distinct, f"{' and '.join(class_pair)} in {' and '.join(center_pair)}", most_clusters)
    return rows


def cluster_together(
    combinations: Sequence[CombinationPatches], clusters: Sequence[int], trials: int, device: torch.device
) -> Generator[None, None, list[ClusteredCombination]]:
    """k-means of several combinations of one cohort; pauses after every k-means."""
    from pathorob_checks.numerics.kmeans import KMeansRuns, Run

    kmeans = KMeansRuns([patches.points for patches in combinations], device)
    numbers = range(len(combinations))
    choices: list[list[Int64]] = [[] for _ in combinations]
    runs = [
        Run(K=K, starts=STARTS_TO_CHOOSE_K, seed=SEED, set=number) for number in numbers for K in clusters
    ]
    for run, labels in zip(runs, kmeans.labels(runs), strict=True):
        choices[run.set].append(labels)
        yield
    silhouettes = [
        dict(zip(clusters, kmeans.silhouettes(number, choices[number]), strict=True)) for number in numbers
    ]
    best = [max(of_one, key=lambda K: of_one[K]) for of_one in silhouettes]
    labelings: list[list[Int64]] = [[] for _ in combinations]
    runs = [
        Run(K=best[number], starts=STARTS_PER_TRIAL, seed=SEED + trial, set=number)
        for number in numbers
        for trial in range(trials)
    ]
    for run, labels in zip(runs, kmeans.labels(runs), strict=True):
        labelings[run.set].append(labels)
        yield
    clustered = []
    for number, patches in enumerate(combinations):
        chosen = rand_indices(patches, choices[number])
        of_trials = rand_indices(patches, labelings[number])
        clustered.append(
            ClusteredCombination(
                patches=patches,
                K=best[number],
                silhouettes=silhouettes[number],
                score_by_k=dict(zip(clusters, (chosen[:, 0] - chosen[:, 1]).tolist(), strict=True)),
                ari_class=of_trials[:, 0],
                ari_center=of_trials[:, 1],
                labelings=labelings[number],
                kmeans=kmeans,
                number=number,
            )
        )
    return clustered


def rand_indices(
    patches: CombinationPatches, labelings: Sequence[Int64], rows: Int64 | slice = slice(None)
) -> npt.NDArray[np.float64]:
    """(L, 2) ARI of each labeling of the `rows` of a combination, with the class and with the center."""
    labels = np.stack(labelings)
    number = np.repeat(np.arange(len(labels)), labels.shape[1])
    codes = (np.tile(of_rows[rows], len(labels)) for of_rows in (patches.classes, patches.centers))
    return np.stack([adjusted_rand(contingency(number, each, labels.ravel())) for each in codes], axis=1)
