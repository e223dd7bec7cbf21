"""The benchmark's protocol written plainly with scikit-learn: what our kernels are compared with.

Every function follows the published description word by word and uses scikit-learn's estimators as they
are, one after the other. Nothing here is shared with the package except the draws of slides.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score, silhouette_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from pathorob_checks.metrics.schedules import Repetition

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def robustness_index(embeddings: Float32, table: pd.DataFrame, k: int, paired: bool = False) -> float:
    """SO / (SO + OS) over the k nearest neighbors from other slides."""
    so = os = 0
    subsets = [part for _, part in table.groupby("subset", sort=False)] if paired else [table]
    for part in subsets:
        unit = normalize(embeddings[part.index])
        slide, cls, center = (
            part[column].to_numpy() for column in ("slide_id", "biological_class", "medical_center")
        )
        enough = min(k + part.slide_id.value_counts().max(), len(part))
        search = NearestNeighbors(n_neighbors=enough, algorithm="brute").fit(unit)
        listed = search.kneighbors(unit, return_distance=False)
        for query, others in enumerate(listed):
            nearest = others[slide[others] != slide[query]][:k]
            same_class, same_center = cls[nearest] == cls[query], center[nearest] == center[query]
            so += int((same_class & ~same_center).sum())
            os += int((~same_class & same_center).sum())
    return so / (so + os)


def performance_drop(
    embeddings: Float32, table: pd.DataFrame, draws: Iterable[Repetition]
) -> tuple[Float64, Float64]:
    """(splits, repetitions) balanced accuracies in-domain and out-of-domain."""
    y = table.biological_class.to_numpy()
    inside, outside = [], []
    for draw in draws:
        inside.append([])
        outside.append([])
        for train, validate in zip(draw.training, draw.validation, strict=True):
            best_accuracy, best = -1.0, None
            for c in 10 ** np.linspace(-8, 4, 15):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    model = LogisticRegression(C=c).fit(embeddings[train], y[train])
                accuracy = balanced_accuracy_score(y[validate], model.predict(embeddings[validate]))
                if accuracy > best_accuracy:
                    best_accuracy, best = accuracy, model
            for domain, test in ((inside, draw.id_test), (outside, draw.ood_test)):
                domain[-1].append(balanced_accuracy_score(y[test], best.predict(embeddings[test])))
    return np.array(inside).T, np.array(outside).T


class Clusters(NamedTuple):
    """One combination of two classes and two centers."""

    K: int
    silhouettes: list[float]
    ari_class: Float64
    ari_center: Float64


def clustering(
    embeddings: Float32, table: pd.DataFrame, trials: int = 50, clusters: Iterable[int] = range(2, 31)
) -> Clusters:
    """K by the best silhouette, then repeated k-means; rows are those of one combination."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    silhouettes = {
        K: silhouette_score(
            unit,
            KMeans(K, init="random", n_init=20, random_state=1337).fit_predict(unit),
            metric="cosine",
        )
        for K in clusters
    }
    best = max(silhouettes, key=lambda K: silhouettes[K])
    labels = [
        KMeans(best, init="random", n_init=5, random_state=1337 + trial).fit_predict(unit)
        for trial in range(trials)
    ]
    return Clusters(
        K=best,
        silhouettes=list(silhouettes.values()),
        ari_class=np.array([adjusted_rand_score(table.biological_class, labeling) for labeling in labels]),
        ari_center=np.array([adjusted_rand_score(table.medical_center, labeling) for labeling in labels]),
    )
