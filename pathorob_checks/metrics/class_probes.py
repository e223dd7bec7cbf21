"""Class prediction: how well can the biological class be read off the embeddings?

A logistic regression tells two biological classes apart on slides that it has not seen: trained on all
medical centers together, and trained on each center alone. A repair of embeddings should lower neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.class_prediction_result import ACROSS, CHANCE, WITHIN, ClassPrediction
from pathorob_checks.metrics.definition import Computation, Metric
from pathorob_checks.metrics.inputs import Float32, as_embeddings, in_range, refuse_zero_rows
from pathorob_checks.metrics.intervals import CONFIDENCE, check_settings
from pathorob_checks.metrics.labelled import PatchLabels, each_once, read_embeddings, read_labels
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.probe_tasks import (
    FOLDS,
    MOST_PATCHES,
    MOST_TASKS,
    Task,
    across_centers,
    required_tasks,
)
from pathorob_checks.metrics.repairing import Repairing
from pathorob_checks.progress import Progress
from pathorob_checks.wording import rounded_percent

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from pathorob_checks.metrics.probe_accuracy import Tested


def class_prediction(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    folds: int = FOLDS,
    most_patches: int = MOST_PATCHES,
    most_pairs: int = MOST_TASKS,
    confidence: float = CONFIDENCE,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    head: Repairing | None = None,
) -> ClassPrediction:
    """Accuracy with which a linear probe reads the biological class off embeddings.

    A logistic regression tells two biological classes apart, on slides that it has not seen. Within a medical
    center it learns from this center alone; across centers it learns from all centers that have both classes.
    The values are the mean recall over all pairs of classes, centers and classes of the pair: 0.5 is chance,
    whatever the numbers of classes and centers.

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        NumPy array or PyTorch tensor of any float dtype, read as float32.
    patches : pandas.DataFrame
        N rows with the columns `slide_id`, `biological_class`, `medical_center` and optionally `subset`,
        `patch_id`, and `case_id` where a patient has several slides; row i describes embedding i. Rows with
        the subset `OOD` are left out. A patch that stands in several paired subsets counts once.
    folds : int, default 5
        Most folds, at least 3; a pair has as many as slides of either class, if those are fewer. All patches
        of a slide (or case) are in one fold. One fold tests, the next one chooses the regularization, and
        the others train.
    most_patches : int, default 6000
        Most patches of a class of a center that are read. Of more, every slide gives about as many, the first
        ones of the table.
    most_pairs : int, default 400
        Most pairs of classes within centers. Of more, classes take part about equally often.
    confidence : float, default 0.95
        Of the intervals, between 0 and 1.
    device : str or torch.device, optional
        Where to compute; None takes the GPU where there is one.
    progress : callable, optional
        Wraps the pairs (iterable, total, description), to show a bar.
    head : callable, optional
        A learned part of the classifier: called as `head(embeddings, training)` for each fold, with all
        embeddings and the training row numbers, it gives all features, (N, H). All
        pairs then share one division into folds.

    Returns
    -------
    ClassPrediction
        Accuracies across and within centers with their intervals, cells, slides and groups.

    Raises
    ------
    MetricError
        No center has three slides (cases) of each of two classes, one class or center only, a setting or a
        confidence out of range, embeddings with NaN, infinity or zeros only, a slide of two cases, a table
        that does not fit the embeddings, or labels that are ambiguous: an unknown subset, a slide in two
        centers, a patch twice.

    See Also
    --------
    center_prediction : Whether the medical center can be read off them.

    Notes
    -----
    Every center gives as many patches of either class to a training set, and the recall of each center counts
    as much. So a probe gains nothing from the center where classes are spread unevenly over the centers:
    embeddings of nothing but the center have 0.5. Embeddings are about the mean of a pair's patches, with a
    mean squared length of 1, so that shifting or scaling a center does not change the value within centers.

    The interval is about other slides (cases) from the same centers and classes, by the effect of each on
    the recalls as test slide; the variance is multiplied for what the folds share [1]_.

    References
    ----------
    .. [1] Nadeau and Bengio 2003. Inference for the generalization error. Machine Learning 52, 239-281.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import class_prediction
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 6 * (patches.biological_class == "tumor")
    >>> result = class_prediction(embeddings, patches)
    >>> result.across.value > 0.9, result.within.value > 0.9
    (True, True)
    """
    from pathorob_checks.metrics import probes
    from pathorob_checks.metrics.probe_accuracy import Tested
    from pathorob_checks.metrics.probe_heads import head_features, in_common_folds
    from pathorob_checks.numerics import device as devices

    check_settings(confidence, ACROSS)
    array, read = read_embeddings(embeddings, patches, ACROSS)
    refuse_zero_rows(array, read.rows, ACROSS)
    array, read = each_once(array, read)
    within, across = _tasks(read, folds, most_patches, most_pairs)
    if head is not None:
        within, across = in_common_folds((within, across), folds, ACROSS)
    work = [*within, *across]
    arrays: Sequence[tuple[Float32, Sequence[int]]] = [(in_range(array), range(folds))]
    if head is not None:
        assert read.units is not None  # noqa: S101 (they are needed)
        everything = as_embeddings(embeddings, patches, ACROSS)
        arrays = head_features(head, everything, read.rows, read.units.codes, work, ACROSS)
    answered = probes.linear_answers(arrays, work, devices.choose(device))
    if progress is not None:
        answered = progress(answered, len(work), "class prediction")
    with devices.full_precision():
        answers = list(answered)

    def measured(name: str, tasks: Sequence[Task], answers: Sequence[probes.Answer]) -> Measurement:
        tested = Tested(
            metric=name,
            predicted="biological_class",
            read=read,
            tasks=tasks,
            answers=answers,
            protocol={"folds": folds, "patches": len(array)},
            confidence=confidence,
        )
        return _measurement(tested)

    border = len(within)
    return ClassPrediction(
        across=measured(ACROSS, across, answers[border:]) if across else None,
        within=measured(WITHIN, within, answers[:border]),
        pairs=len(across),
        pairs_within=len(within),
        folds=folds,
        rows=len(array),
        left_out=read.left_out,
        confidence=confidence,
    )


def _tasks(read: PatchLabels, folds: int, patches: int, most: int) -> tuple[list[Task], list[Task]]:
    """Pairs of classes within centers, at least one, and across them."""
    within = required_tasks(read, "biological_class", ACROSS, folds=folds, patches=patches, most=most)
    return within, across_centers(within, folds)


def _measurement(tested: Tested) -> Measurement:
    resampling = tested.resampling()
    interval = tested.intervals(resampling)[0]
    return Measurement(
        metric=tested.metric,
        value=resampling.value,
        interval=interval,
        support=tested.support,
        rows=len(tested.read.rows),
        protocol={
            **resampling.protocol,
            "chance": CHANCE,
            "pairs_of_classes": len(tested.tasks),
        },
        cells=tested.cells(),
        interval_note=tested.interval_note if interval else "",
        confidence=tested.confidence,
        resampling=resampling,
        slides=tested.slides(),
        groups=tested.groups(),
        grids=(tested.confusions("linear probe"),),
    )


def _needs(patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool) -> None:  # noqa: ARG001 (none lacks one)
    """Raise MetricError where no center has two classes to tell apart; every pair has an interval."""
    _tasks_of(patches, settings)


def _across_needs(patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool) -> None:  # noqa: ARG001 (none lacks one)
    """As `_needs`, with two centers that have the same two classes."""
    _, across = _tasks_of(patches, settings)
    if not across:
        raise MetricError(f"{ACROSS}: the cohort {_MISSING[0]}", remedy=_MISSING[1])


def _tasks_of(patches: pd.DataFrame, settings: Mapping[str, Any]) -> tuple[list[Task], list[Task]]:
    read = read_labels(patches, ACROSS).in_domain(ACROSS)
    read.need_two(ACROSS)
    return _tasks(read, *(settings[name] for name in ("folds", "most_patches", "most_pairs")))


_MISSING = (
    "has no two medical centers with three slides of each of the same two biological classes",
    "add slides, so that two centers share two classes",
)


def _meaning(where: str, value: float) -> str:
    if value == CHANCE:
        return f"{where}, a linear probe does not tell two biological classes apart better than chance (50 %)"
    if value < CHANCE:
        return (
            f"{where}, a linear probe tells which of two biological classes a patch has for only "
            f"{rounded_percent(value)} of the patches, fewer than by chance (50 %)"
        )
    return (
        f"{where}, a linear probe tells which of two biological classes a patch has for "
        f"{rounded_percent(value)} of the patches, on slides that it has not seen (chance: 50 %)"
    )


_SETTINGS = {"folds": FOLDS, "most_patches": MOST_PATCHES, "most_pairs": MOST_TASKS}
_COMPUTATION = Computation(
    name=ACROSS,
    function=class_prediction,
    view="robustness_index",
    columns=("slide_id", "biological_class", "medical_center", "subset"),
    settings=_SETTINGS,
    takes_head=True,
)
_REMEDIES = (
    "If a repair of the embeddings lowered the value, it took biology along with the center: repair less, or "
    "fit the repair to as many patches of each biological class in every medical center.",
    "If the value is low without a repair, check that labels and embeddings belong together, and look at the "
    "classes that are confused.",
    "Otherwise use another FM.",
)
METRICS = (
    Metric(
        name=ACROSS,
        label="class prediction",
        computation=_COMPUTATION,
        lowest=0.0,
        highest=1.0,
        neutral=CHANCE,
        margin=0.02,
        meaning=partial(_meaning, "with all medical centers together in its training"),
        remedies=_REMEDIES,
        guaranteed=lambda p: p,
        needs=_across_needs,
        missing=_MISSING,
    ),
    Metric(
        name=WITHIN,
        label="class in a center",
        computation=_COMPUTATION,
        lowest=0.0,
        highest=1.0,
        neutral=CHANCE,
        margin=0.02,
        meaning=partial(_meaning, "trained and tested within one medical center"),
        remedies=_REMEDIES,
        guaranteed=lambda p: p,
        needs=_needs,
    ),
)
