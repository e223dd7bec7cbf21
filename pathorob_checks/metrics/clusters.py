"""Clustering score: do clusters of embeddings follow biology or medical centers?

Source: PathoROB, Nature Communications 17, 5218 (2026). For every pair of classes x pair of centers (of many
for a sample), k-means (K by the best cosine silhouette) is compared with both labels: score = ARI(class) -
ARI(center).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.cluster_combinations import MOST, choose, work
from pathorob_checks.metrics.cluster_trials import (
    CombinationPatches,
    cluster_together,
    rows_of_combination,
)
from pathorob_checks.metrics.cluster_uncertainty import (
    CLASS_ARI,
    METRIC,
    Combination,
    MeasuredCombination,
    ScoreUncertainty,
    score_uncertainty,
    scores_without,
)
from pathorob_checks.metrics.clustering_result import ClusteringScore, class_ari_of
from pathorob_checks.metrics.definition import Computation, Metric
from pathorob_checks.metrics.inputs import Float32, in_range, refuse_zero_rows
from pathorob_checks.metrics.intervals import CONFIDENCE, DRAWS, check_settings
from pathorob_checks.metrics.intervals import SEED as SEED_OF_DRAWS
from pathorob_checks.metrics.labelled import read_embeddings
from pathorob_checks.metrics.needs import clustering_needs, refuse_no_combination
from pathorob_checks.metrics.published import published_scores
from pathorob_checks.metrics.remedies import OTHERWISE, REPAIR_EMBEDDINGS
from pathorob_checks.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    import torch

Float64 = npt.NDArray[np.float64]


def clustering_score(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    trials: int = 50,
    clusters: Sequence[int] = range(2, 31),
    most_combinations: int = MOST,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = SEED_OF_DRAWS,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> ClusteringScore:
    """Clustering score of embeddings on a cohort.

    For every pair of classes x pair of centers, k-means (K by the best cosine silhouette) is compared with
    both labels: the score is ARI(class) - ARI(center) [1]_, where ARI is the adjusted Rand index [2]_.

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        NumPy array or PyTorch tensor of any float dtype, read as float32, raw (they are L2-normalised here).
    patches : pandas.DataFrame
        N rows with the columns `biological_class` and `medical_center`, and `slide_id`, without which there
        is no interval, and `case_id` where a patient has several slides; row i describes embedding i. Rows
        with `OOD` in a column `subset` are left out.
    trials : int, default 50
        Number of k-means runs with different seeds at the chosen K.
    clusters : sequence of int, default range(2, 31)
        The K to choose from; the first with the best silhouette wins.
    most_combinations : int, default 400
        Where there are more pairs of classes x pairs of centers, so many of them are drawn, at least 2. Every
        class and center takes part about equally often, and the same table gives the same sample.
    confidence : float, default 0.95
        Of the intervals, between 0 and 1.
    draws : int, default 2000
        Of the bootstrap over slides and trials, at least 100.
    seed : int, default 17845
        Of the draws, from a NumPy generator of their own.
    device : str or torch.device, optional
        Where to compute; None takes the GPU where there is one. The labels do not depend on it.
    progress : callable, optional
        Wraps the k-means runs (iterable, total, description), to show a bar.

    Returns
    -------
    ClusteringScore
        The score with its interval, combinations, slides and groups.

    Raises
    ------
    MetricError
        One class or center only, no pair of classes x pair of centers with four filled cells, a combination
        with too few or identical patches, no trials, fewer than two combinations, a confidence outside 0 to
        1, too few draws, embeddings with NaN or infinity, a slide of two cases, a table that does not fit
        the embeddings, or labels that are ambiguous: an unknown subset, a slide in two centers, a patch
        twice.

    Notes
    -----
    The interval is about other slides from the same centers and classes, or other cases (patients) where
    `patches` has the column `case_id`, other seeds, and, where combinations are a sample, other samples.
    Where the clusters are unstable, it includes the least and the greatest score of halves of the slides, and
    `unstable` of the measurement says so.

    References
    ----------
    .. [1] PathoROB. Nature Communications 17, 5218 (2026).
    .. [2] Hubert and Arabie 1985. Comparing partitions. Journal of Classification 2, 193-218.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import clustering_score
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> result = clustering_score(embeddings, patches, trials=3, clusters=range(2, 5))
    >>> round(result.value, 2)
    0.41
    """
    from pathorob_checks.metrics.cluster_halves import HalfIndices, half_indices, halves
    from pathorob_checks.metrics.neighbor_lists import equal_rows
    from pathorob_checks.numerics import device as devices
    from pathorob_checks.numerics.kmeans import together

    check_settings(confidence, METRIC, draws)
    raw, read = read_embeddings(embeddings, patches, METRIC, needs_slides=False)
    refuse_zero_rows(raw, read.rows, METRIC)
    raw = in_range(raw)
    array: Float32 = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    classes, centers, slides = read.classes, read.centers, read.slides
    if trials < 1 or len(clusters) == 0 or min(clusters) < 2:
        raise MetricError(
            f"{METRIC}: {trials} trials over K in {list(clusters)} measure nothing",
            remedy="ask for at least one trial and for K of 2 or more",
        )
    if most_combinations < 2:
        raise MetricError(
            f"{METRIC}: a sample of {most_combinations} combinations has no spread",
            remedy="allow at least two",
        )
    chosen = choose(classes, centers, most_combinations)
    pairs = [
        ((classes.names[a], classes.names[b]), (centers.names[p], centers.names[q]))
        for (a, b), (p, q) in chosen.pairs
    ]
    refuse_no_combination(pairs)
    compute = devices.choose(device)
    _, embedding_codes = equal_rows(array + np.float32(0))  # zeros, which else come with two signs
    units = read.units
    done: list[Combination] = []
    measured: list[MeasuredCombination] = []
    cells = classes.codes * len(centers) + centers.codes
    masks = halves(units.codes, cells, seed) if units else []

    rows_of = [rows_of_combination(embedding_codes, classes, centers, *pair, max(clusters)) for pair in pairs]

    def patches_of(number: int) -> CombinationPatches:
        (class_pair, center_pair), rows = pairs[number], rows_of[number]
        return CombinationPatches(
            class_pair=class_pair,
            center_pair=center_pair,
            rows=rows,
            points=array[rows],
            classes=classes.codes[rows],
            centers=centers.codes[rows],
            embedding_codes=embedding_codes[rows],
        )

    def steps() -> Iterator[None]:
        for group in together([len(rows) for rows in rows_of], array.shape[1], compute):
            patches = [patches_of(number) for number in group]
            clustered = yield from cluster_together(patches, clusters, trials, compute)
            of_halves: dict[int, list[HalfIndices]] = {one.number: [] for one in clustered}
            for one, indices in half_indices(clustered, masks):
                of_halves[one.number].append(indices)
                yield
            for one in clustered:
                combination = Combination(
                    classes=one.patches.class_pair,
                    centers=one.patches.center_pair,
                    K=one.K,
                    silhouettes=one.silhouettes,
                    ari_class=one.ari_class,
                    ari_center=one.ari_center,
                )
                done.append(combination)
                if slides is None or units is None:
                    continue
                codes = (one.patches.classes, one.patches.centers, one.labelings)
                without = scores_without(units.codes[one.patches.rows], *codes)
                of_slides = without
                if units.noun != "slide":
                    of_slides = scores_without(slides.codes[one.patches.rows], *codes)
                measured.append(
                    MeasuredCombination(
                        combination=combination,
                        without=without,
                        without_slides=of_slides,
                        of_halves=of_halves[one.number],
                    )
                )

    ongoing: Iterable[object] = steps()
    if progress is not None:
        text = f"clustering {chosen.extent}" if len(pairs) > 1 else "clustering"
        ongoing = progress(ongoing, len(pairs) * (len(clusters) + trials + len(masks)), text)
    with devices.full_precision():
        for _ in ongoing:
            pass
    by_trial = np.mean([c.ari_class - c.ari_center for c in done], axis=0)
    unknown = ScoreUncertainty(interval=None, note="", resampling=None, slides=(), groups={})

    def uncertainty_of(metric: str) -> ScoreUncertainty:
        if slides is None or units is None:
            return unknown
        return score_uncertainty(
            measured,
            units,
            slides,
            classes,
            centers,
            chosen,
            metric=metric,
            confidence=confidence,
            draws=draws,
            seed=seed,
        )

    uncertainty = uncertainty_of(METRIC)
    return ClusteringScore(
        value=float(by_trial.mean()),
        interval=uncertainty.interval,
        interval_note=uncertainty.note,
        confidence=confidence,
        deviation=float(by_trial.std(ddof=1)) if trials > 1 else 0.0,
        combinations=tuple(done),
        all_combinations=chosen.total,
        trials=trials,
        rows=len(array),
        left_out=read.left_out,
        slides=uncertainty.slides,
        groups=uncertainty.groups,
        resampling=uncertainty.resampling,
        class_ari=class_ari_of(
            tuple(done), uncertainty_of(CLASS_ARI), rows=len(array), confidence=confidence
        ),
    )


_MARGIN = 0.05  # of two values that count as about the same


def _meaning(value: float) -> str:
    if abs(value) < _MARGIN:
        followed = "the biological classes about as much as the medical centers, or neither"
    elif value < 0:
        followed = "the medical centers more than the biological classes"
    else:
        followed = "the biological classes more than the medical centers"
    beyond = "; beyond 1 because agreement below chance is negative" if abs(value) > 1 else ""
    return (
        f"the clusters of the embeddings follow {followed} "
        f"(agreement with the classes minus agreement with the centers: {value:+.3f}{beyond})"
    )


def _class_meaning(value: float) -> str:
    return (
        f"the clusters of the embeddings agree with the biological classes at {value:.3f} "
        "(adjusted Rand index: 0 is chance, 1 the same groups)"
    )


_COMPUTATION = Computation(
    name=METRIC,
    function=clustering_score,
    view="clustering_score",
    columns=("slide_id", "biological_class", "medical_center"),
    settings={
        "trials": 50,
        "clusters": list(range(2, 31)),
        "most_combinations": MOST,
        "draws": DRAWS,
        "seed": SEED_OF_DRAWS,
    },
    version=2,  # unstable clusters have the interval of what they jump between
    work=work,
)
METRICS = (
    Metric(
        name=METRIC,
        label="clustering score",
        computation=_COMPUTATION,
        lowest=-1.0,
        highest=1.0,
        neutral=0.0,
        beyond="values and intervals can reach slightly beyond, because agreement below chance is negative",
        margin=_MARGIN,
        meaning=_meaning,
        remedies=(
            "Do not sort or search slides by clusters of these embeddings.",
            "Stain normalization of the images can help; if every center has every class, a correction of "
            "the embeddings per center can help too.",
            OTHERWISE,
        ),
        remedies_without_images=(
            "Do not sort or search slides by clusters of these embeddings.",
            REPAIR_EMBEDDINGS,
            OTHERWISE,
        ),
        needs=clustering_needs,
        guaranteed=lambda p: max(0.0, 2 * p - 1) ** 2,  # adjusted Rand index of two equal groups
        published=partial(published_scores, METRIC),
    ),
    Metric(
        name=CLASS_ARI,
        label="class ARI",
        computation=_COMPUTATION,
        lowest=-0.5,
        highest=1.0,
        neutral=0.0,
        margin=_MARGIN,
        meaning=_class_meaning,
        remedies=(
            "Do not sort or search slides by clusters of these embeddings.",
            "Clusters may follow neither class nor medical center: look at what else differs between the "
            "slides, such as the patient, the tissue or the scanner.",
        ),
        needs=clustering_needs,
        guaranteed=lambda p: max(0.0, 2 * p - 1) ** 2,
    ),
)
