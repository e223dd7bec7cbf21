"""Center prediction: how well can the medical center be read off the embeddings?

Two probes, a logistic regression and the vote of nearest neighbors, tell two medical centers apart among
patches of one biological class, on slides that they have not seen. The paper (PathoROB, Nature Communications
17, 5218, 2026) found that the center of a patch is predicted for every foundation model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.center_prediction_result import (
    CHANCE,
    KNN,
    METRIC,
    PROBES,
    CenterPrediction,
    ProbeAccuracy,
)
from pathorob_checks.metrics.definition import Computation, Metric
from pathorob_checks.metrics.inputs import Float32, as_embeddings, in_range, refuse_zero_rows
from pathorob_checks.metrics.intervals import CONFIDENCE, check_settings
from pathorob_checks.metrics.labelled import each_once, read_embeddings, read_labels
from pathorob_checks.metrics.probe_tasks import (
    FOLDS,
    MOST_PATCHES,
    MOST_TASKS,
    required_tasks,
    tasks,
)
from pathorob_checks.metrics.remedies import BALANCE, REPAIR_EMBEDDINGS
from pathorob_checks.metrics.repairing import Repairing
from pathorob_checks.progress import Progress
from pathorob_checks.wording import rounded_percent

if TYPE_CHECKING:
    import pandas as pd
    import torch

NEIGHBORS = 11


def center_prediction(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    folds: int = FOLDS,
    neighbors: int = NEIGHBORS,
    most_patches: int = MOST_PATCHES,
    most_pairs: int = MOST_TASKS,
    confidence: float = CONFIDENCE,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    head: Repairing | None = None,
) -> CenterPrediction:
    """Accuracy with which two probes read the medical center off embeddings.

    For every biological class and every two medical centers that have patches of it, a logistic regression
    and the vote of the nearest neighbors say from which of the two centers a patch comes [1]_. The value is
    the balanced accuracy (mean recall of the two centers), averaged over all such pairs: 0.5 is chance,
    whatever the number of centers. The same is done for every two classes within a center, as a comparison.

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        NumPy array or PyTorch tensor of any float dtype, read as float32.
    patches : pandas.DataFrame
        N rows with the columns `slide_id`, `biological_class`, `medical_center` and optionally `subset`,
        `patch_id`, and `case_id` where a patient has several slides; row i describes embedding i. Rows with
        the subset `OOD` are left out. A patch that stands in several paired subsets counts once.
    folds : int, default 5
        Most folds, at least 3; a pair has as many as slides of either side, if those are fewer. All patches
        of a slide (or case) are in one fold. One fold tests, the next one chooses the regularization, and
        the others train.
    neighbors : int, default 11
        Most neighbors that vote, all from other slides (or cases).
    most_patches : int, default 6000
        Most patches of a class of a center that are read. Of more, every slide gives about as many, the first
        ones of the table.
    most_pairs : int, default 400
        Most pairs of centers, and of classes. Of more, centers (or classes) take part about equally often.
    confidence : float, default 0.95
        Of the intervals, between 0 and 1.
    device : str or torch.device, optional
        Where to compute; None takes the GPU where there is one.
    progress : callable, optional
        Wraps the pairs (iterable, total, description), to show a bar.
    head : callable, optional
        A learned part of the classifier: called as `head(embeddings, training)` for each fold, with all
        embeddings and the training row numbers, it gives all features, (N, H). All
        pairs then share one division into folds. Neighbors have no classifier and no head.

    Returns
    -------
    CenterPrediction
        Accuracies of both probes with their intervals, cells, slides and groups.

    Raises
    ------
    MetricError
        No class has three slides (cases) in each of two centers, one class or center only, a setting or a
        confidence out of range, embeddings with NaN, infinity or zeros only, a slide of two cases, a table
        that does not fit the embeddings, or labels that are ambiguous: an unknown subset, a slide in two
        centers, a patch twice.

    See Also
    --------
    robustness_index : Whether neighbors share the class or the center.

    Notes
    -----
    The class is the same on both sides of a pair, so a probe gains nothing from centers that have other
    classes. Both centers give as many patches to a training set, and the vote of a neighbor weighs the more
    the fewer patches its center has. The logistic regression is that of `performance_drop` (its grid of C,
    100 iterations), on embeddings about their mean with a mean squared length of 1; the neighbors are those
    of `robustness_index` (L2-normalised, Euclidean).

    The interval is about other slides (cases) from the same centers and classes, by the effect of each on
    the recalls: as test slide, and for the neighbors also as a slide to learn from. For the logistic
    regression the variance is multiplied for what the folds share [2]_.

    References
    ----------
    .. [1] PathoROB. Nature Communications 17, 5218 (2026).
    .. [2] Nadeau and Bengio 2003. Inference for the generalization error. Machine Learning 52, 239-281.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import center_prediction
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 1] += 6 * (patches.medical_center == "Bonn")
    >>> result = center_prediction(embeddings, patches)
    >>> result.linear.value > 0.9, result.knn.value > 0.7
    (True, True)
    """
    import torch

    from pathorob_checks.metrics import probes
    from pathorob_checks.metrics.probe_accuracy import Tested, accuracy
    from pathorob_checks.metrics.probe_heads import head_features, in_common_folds
    from pathorob_checks.numerics import device as devices

    check_settings(confidence, METRIC)
    if neighbors < 1:
        raise MetricError(f"{METRIC}: {neighbors} neighbors have no vote", remedy="ask for at least 1")
    array, read = read_embeddings(embeddings, patches, METRIC)
    refuse_zero_rows(array, read.rows, METRIC)
    array, read = each_once(array, read)
    limits = {"folds": folds, "patches": most_patches, "most": most_pairs}
    of_centers = required_tasks(read, "medical_center", METRIC, **limits)
    of_classes = tasks(read, "biological_class", **limits)
    arrays: Sequence[tuple[Float32, Sequence[int]]] = [(array, range(folds))]
    if head is not None:
        assert read.units is not None  # noqa: S101 (they are needed)
        of_centers, of_classes = in_common_folds((of_centers, of_classes), folds, METRIC)
        everything, both = as_embeddings(embeddings, patches, METRIC), [*of_centers, *of_classes]
        arrays = head_features(head, everything, read.rows, read.units.codes, both, METRIC)
    compute = devices.choose(device)
    points = [(torch.from_numpy(probes.scaled(those)).to(compute), tested) for those, tested in arrays]
    array = in_range(array)
    work = [*((task, True) for task in of_centers), *((task, False) for task in of_classes)]
    answered = probes.work_on(points, array, neighbors, work)
    if progress is not None:
        answered = progress(answered, len(work), "center prediction")
    with devices.full_precision():
        linear, knn = zip(*answered, strict=True)
    protocol: dict[str, object] = {"folds": folds, "patches": len(array)}

    border = len(of_centers)

    def tested(name: str, answers: Any, settings: Mapping[str, object]) -> Tested:
        return Tested(
            metric=name,
            predicted="medical_center",
            read=read,
            tasks=of_centers,
            answers=answers[:border],
            protocol={**protocol, **settings},
            confidence=confidence,
        )

    def probe(those: Tested, answers: Any) -> ProbeAccuracy:
        resampling = those.resampling()
        return ProbeAccuracy(
            value=resampling.value,
            interval=those.intervals(resampling)[0],
            class_accuracy=accuracy(of_classes, answers[border:]),
            cells=those.cells(),
            slides=those.slides(),
            groups=those.groups(),
            resampling=resampling,
            confusions=those.confusions(PROBES[those.metric]),
        )

    by_regression = tested(METRIC, linear, {})
    return CenterPrediction(
        linear=probe(by_regression, linear),
        knn=probe(tested(KNN, knn, {"neighbors": neighbors}), knn),
        pairs=len(of_centers),
        class_pairs=len(of_classes),
        folds=folds,
        neighbors=neighbors,
        support=by_regression.support,
        rows=len(array),
        left_out=read.left_out,
        confidence=confidence,
        interval_note=by_regression.interval_note,
    )


def _needs(patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool) -> None:  # noqa: ARG001 (none lacks one)
    """Raise MetricError where no pair of centers can be told apart; every pair has an interval."""
    read = read_labels(patches, METRIC).in_domain(METRIC)
    read.need_two(METRIC)
    folds, each, most = (settings[name] for name in ("folds", "most_patches", "most_pairs"))
    required_tasks(read, "medical_center", METRIC, folds=folds, patches=each, most=most)


_CLEARLY_BELOW = 0.05  # chance


def _meaning(by: str, value: float) -> str:
    if value < CHANCE - _CLEARLY_BELOW:
        return (
            f"{by} is right about the medical center for {rounded_percent(value)} of the patches, less often "
            "than chance (50 %): what tells the centers apart on the training slides is the other way round "
            "on the tested ones, as after a repair that was fitted on both; this is no sign of robustness"
        )
    if value <= CHANCE:
        return f"{by} does not tell two medical centers apart better than chance (50 %)"
    return (
        f"{by} tells from which of two medical centers a patch comes for {rounded_percent(value)} of the "
        "patches of one class, on slides that it has not seen (chance: 50 %)"
    )


_SETTINGS = {
    "folds": FOLDS,
    "neighbors": NEIGHBORS,
    "most_patches": MOST_PATCHES,
    "most_pairs": MOST_TASKS,
}
_COMPUTATION = Computation(
    name=METRIC,
    function=center_prediction,
    view="robustness_index",
    columns=("slide_id", "biological_class", "medical_center", "subset"),
    settings=_SETTINGS,
    takes_head=True,
)


def _metric(name: str, label: str, by: str) -> Metric:
    return Metric(
        name=name,
        label=label,
        computation=_COMPUTATION,
        lowest=0.0,
        highest=1.0,
        neutral=CHANCE,
        neutral_is_best=True,
        worse_than_neutral=("recognized", "chance"),
        margin=0.02,
        meaning=partial(_meaning, by),
        remedies=(
            "Compare images of the medical centers that are recognized (stain, scanner, sharpness).",
            "Stain normalization (Reinhard) before embedding, or a domain-adversarial head, usually makes "
            "the center harder to read; check that the classes stay separable.",
            "Otherwise balance the centers within each class in whatever is trained on the embeddings, so "
            "that the center is of no use to it.",
        ),
        remedies_without_images=(REPAIR_EMBEDDINGS, BALANCE),
        higher_is_better=False,
        guaranteed=lambda p: p,
        needs=_needs,
    )


METRICS = (
    _metric(METRIC, "center prediction", "a linear probe"),
    _metric(KNN, "center by k-NN", "the vote of the nearest neighbors"),
)
