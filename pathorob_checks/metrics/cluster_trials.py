"""k-means of one combination of two classes and two centers: its rows, its K, and its trials."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.metrics.cluster_uncertainty import Pair
from pathorob_checks.metrics.inputs import Float32, Int64, Labels
from pathorob_checks.metrics.needs import refuse_few_patches
from pathorob_checks.metrics.rand_index import adjusted_rand, contingency

if TYPE_CHECKING:
    import torch

SEED = 1337
STARTS_TO_CHOOSE_K = 20
STARTS_PER_TRIAL = 5


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


def cluster_combination(
    points: Float32,
    classes: Int64,
    centers: Int64,
    clusters: Sequence[int],
    trials: int,
    device: torch.device,
) -> Generator[None, None, dict[str, Any]]:
    """Figures of one combination; pauses after every k-means."""
    from pathorob_checks.numerics.kmeans import KMeansRuns, Run
    from pathorob_checks.numerics.silhouettes import cosine_silhouettes

    kmeans = KMeansRuns(points, device)
    choices = []
    for choice in kmeans.labels([Run(K=K, starts=STARTS_TO_CHOOSE_K, seed=SEED) for K in clusters]):
        choices.append(choice)
        yield
    silhouettes = dict(zip(clusters, cosine_silhouettes(points, choices, device), strict=True))
    best = max(silhouettes, key=lambda K: silhouettes[K])
    scores = [
        float(adjusted_rand(contingency(classes, each)) - adjusted_rand(contingency(centers, each)))
        for each in choices
    ]
    ari_class, ari_center, labelings = [], [], []
    for labeling in kmeans.labels(
        [Run(K=best, starts=STARTS_PER_TRIAL, seed=SEED + trial) for trial in range(trials)]
    ):
        ari_class.append(float(adjusted_rand(contingency(classes, labeling))))
        ari_center.append(float(adjusted_rand(contingency(centers, labeling))))
        labelings.append(labeling)
        yield
    return {
        "K": best,
        "silhouettes": silhouettes,
        "ari_class": np.array(ari_class),
        "ari_center": np.array(ari_center),
        "labelings": labelings,
        "score_by_K": dict(zip(clusters, scores, strict=True)),
        "kmeans": kmeans,
    }
