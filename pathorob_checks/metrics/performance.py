"""Average performance drop: what a classifier loses when class and medical center correlate.

Source: PathoROB, Nature Communications 17, 5218 (2026). A logistic regression is trained on splits that walk
from balanced (split 0) to class and center fully correlated (the last); the drop of a repetition is
the mean over splits 1.. of accuracy / accuracy at split 0, minus 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.any_cohort_schedule import general_schedule
from pathorob_checks.metrics.confusion import diagnostic_errors, error_asymmetry
from pathorob_checks.metrics.definition import Computation, Metric
from pathorob_checks.metrics.degradation import Degradation
from pathorob_checks.metrics.drop_effects import DropEffects, Predictions, drop_effects
from pathorob_checks.metrics.drop_predictions import outcomes, together
from pathorob_checks.metrics.drop_result import PerformanceDrop, degradation_of
from pathorob_checks.metrics.drop_uncertainty import (
    cell_values,
    drop_groups,
    drop_resampling,
    worst_slides,
)
from pathorob_checks.metrics.index_and_drop_work import drop_work
from pathorob_checks.metrics.inputs import as_embeddings
from pathorob_checks.metrics.intervals import CONFIDENCE, check_settings, interval_of
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.measurement import Interval
from pathorob_checks.metrics.needs import NO_OUTSIDE, drop_needs, outside_needs
from pathorob_checks.metrics.published import published_scores
from pathorob_checks.metrics.remedies import ADVERSARIAL_HEAD, BALANCE, OTHERWISE
from pathorob_checks.metrics.repairing import Repairing, repaired
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.schedules import Schedule, cramers_v, published_schedule
from pathorob_checks.numerics import threads
from pathorob_checks.progress import Progress
from pathorob_checks.wording import rounded_percent

if TYPE_CHECKING:
    import pandas as pd
    import torch

METRIC = "performance_drop"
Float64 = npt.NDArray[np.float64]


def performance_drop(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    schedule: Schedule | str | None = None,
    repetitions: int = 20,
    confidence: float = CONFIDENCE,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    repair: Repairing | None = None,
) -> PerformanceDrop:
    """Average performance drop of embeddings on a cohort.

    A logistic regression is trained on splits that walk from balanced (split 0) to class and center fully
    correlated (the last); the drop of a repetition is the mean over splits 1.. of accuracy / accuracy at
    split 0, minus 1 [1]_. The value is the mean over repetitions.

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        NumPy array or PyTorch tensor of any float dtype, read as float32, used raw (not normalised, not
        scaled).
    patches : pandas.DataFrame
        N rows with the columns `slide_id`, `biological_class`, `medical_center` and optionally `subset`
        (`OOD` marks the out-of-domain test; without the column all are in-domain) and `patch_id`; row i
        describes embedding i.
    schedule : Schedule or str, optional
        A schedule, the name of a published one, or None for the general one.
    repetitions : int, default 20
        Number of draws of slides, at least 2.
    confidence : float, default 0.95
        Of the intervals, between 0 and 1.
    device : str or torch.device, optional
        Where to compute; None takes the GPU where there is one.
    progress : callable, optional
        Wraps the repetitions (iterable, total, description), to show a bar.
    repair : callable, optional
        A repair of embeddings, called as `repair(embeddings, training)` in every repetition and split with
        all N embeddings and the (n,) row numbers that train. It is fitted on these rows and returns all rows
        repaired, (N, E). The classifier is trained, chosen and tested on them. Several threads call it at the
        same time.

    Returns
    -------
    PerformanceDrop
        Both drops with their intervals, accuracies, cells, slides and groups, and the diagnostic errors
        behind them. Criteria take one of its `measurements()`.

    Raises
    ------
    MetricError
        Too few slides (which cells lack how many), fewer than 2 repetitions, an accuracy of zero at the
        balanced split, a confidence outside 0 to 1, embeddings with NaN or infinity, a table that does not
        fit them, labels that are ambiguous (an unknown subset, a slide in two centers, a patch twice), or a
        repair that gives another number of rows, NaN or infinity.

    See Also
    --------
    general_schedule : The schedule for any cohort.
    published_schedule : The benchmark's schedules.
    masson_loftus : The interval of the mean over cohorts.

    Notes
    -----
    The interval is about other slides from the same medical centers, in a cohort of the same design
    (Student's t with the effects of every slide as test and as training slide); other centers are not
    covered. A repair counts as fixed where a training slide is left out: what the slide adds by way of the
    repair shows in the spread of the repetitions only.

    References
    ----------
    .. [1] PathoROB. Nature Communications 17, 5218 (2026).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import performance_drop
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(2)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> patches["subset"] = "ID"
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> result = performance_drop(embeddings, patches, repetitions=2)
    >>> round(result.id_drop, 2)
    -0.02
    """
    from sklearn.exceptions import ConvergenceWarning

    from pathorob_checks.numerics import device as devices

    check_settings(confidence, METRIC)
    array = as_embeddings(embeddings, patches, METRIC)
    read = read_labels(patches, METRIC)
    read.in_domain(METRIC).need_two(METRIC)
    classes, centers, slides, units = read.classes, read.centers, read.slides, read.units
    assert slides is not None and units is not None  # noqa: S101, PT018 (they are needed)
    table = read.table()
    if repetitions < 2:
        raise MetricError(f"{METRIC}: {repetitions} repetitions have no spread", remedy="ask for at least 2")
    if schedule is None:
        schedule = general_schedule(table, repetitions=repetitions)
    elif isinstance(schedule, str):
        schedule = published_schedule(schedule)

    drawn = list(schedule.repetitions(table, repetitions))
    cells = centers.codes * len(classes.names) + classes.codes
    repaired_on = None if repair is None else partial(repaired, repair, array, metric=METRIC)
    work: Iterable[Any] = outcomes(
        array, classes.codes, units.codes, cells, drawn, devices.choose(device), repaired_on
    )
    if progress is not None:
        work = progress(work, repetitions, "performance drop")
    with devices.full_precision(), warnings.catch_warnings():
        # To stop after 100 iterations is part of the protocol.
        warnings.simplefilter("ignore", ConvergenceWarning)
        all_outcomes = list(work)
    chosen = [outcome.regularisation for outcome in all_outcomes]
    trains = np.zeros(len(units.names), dtype=bool)
    trains[units.codes[~read.outside]] = True
    names: dict[str, Any] = {"classes": classes, "centers": centers, "slides": slides, "units": units}
    inside, outside = (
        Predictions(rows=rows, **parts, **names, trains=trains)
        for rows, parts in (
            ([draw.id_test for draw in drawn], together([outcome.inside for outcome in all_outcomes])),
            ([draw.ood_test for draw in drawn], together([outcome.outside for outcome in all_outcomes])),
        )
    )
    protocol = {
        "schedule": schedule.name,
        "repetitions": repetitions,
        "patches": len(array),
        **units.protocol,
    }
    id_domain = _domain("performance_drop_id", inside, protocol, confidence)
    ood_domain = (
        _domain("performance_drop_ood", outside, protocol, confidence) if len(outside.rows[0]) else None
    )
    v = tuple(cramers_v(counts) for counts in schedule.training_slides)
    errors = partial(diagnostic_errors, cramers_v=v, protocol=protocol, confidence=confidence)
    degradation = Degradation(cramers_v=v, chance=1 / len(classes))
    degradations = {
        name: measured
        for name, domain, predictions in (
            ("nipd_id", "in-domain", inside),
            *((("nipd_ood", "out-of-domain", outside),) if ood_domain else ()),
        )
        if (
            measured := degradation_of(
                name, domain, predictions, degradation, protocol, confidence, len(array)
            )
        )
    }
    return PerformanceDrop(
        id_drop=id_domain.resampling.value,
        ood_drop=ood_domain.resampling.value if ood_domain else None,
        id_interval=id_domain.interval,
        ood_interval=ood_domain.interval if ood_domain else None,
        id_accuracies=id_domain.accuracies,
        ood_accuracies=ood_domain.accuracies if ood_domain else None,
        id_accuracy_intervals=id_domain.accuracy_intervals,
        ood_accuracy_intervals=ood_domain.accuracy_intervals if ood_domain else (),
        degradations=degradations,
        cramers_v=v,
        regularisation=np.asarray(chosen, dtype=np.float64).T,
        id_cells=cell_values(inside),
        ood_cells=cell_values(outside) if ood_domain else (),
        id_slides=worst_slides(id_domain.resampling, inside),
        ood_slides=worst_slides(ood_domain.resampling, outside) if ood_domain else (),
        id_groups=drop_groups("performance_drop_id", inside, confidence),
        ood_groups=drop_groups("performance_drop_ood", outside, confidence) if ood_domain else {},
        id_resampling=id_domain.resampling,
        ood_resampling=ood_domain.resampling if ood_domain else None,
        id_errors=errors("diagnostic_errors_id", inside, domain="in-domain"),
        ood_errors=errors("diagnostic_errors_ood", outside, domain="out-of-domain") if ood_domain else None,
        asymmetry=error_asymmetry(inside, drawn[0], v, protocol, confidence),
        confidence=confidence,
        schedule=schedule.name,
        training_slides=int(np.sum(schedule.training_slides[0])),
        classes=len(classes.names),
        rows=len(array),
        repaired=repair is not None,
    )


@dataclass(frozen=True, kw_only=True)
class _Domain:
    """Balanced accuracies of one domain's test, (splits, repetitions), and the drop that follows."""

    accuracies: Float64
    resampling: Resampling
    interval: Interval | None
    accuracy_intervals: tuple[Interval | None, ...]


def _domain(metric: str, tested: Predictions, protocol: dict[str, object], confidence: float) -> _Domain:
    effects = drop_effects(tested)
    if effects is None:
        raise MetricError(
            f"{METRIC}: the classifier gets no patch right at the balanced split",
            remedy="check that labels and embeddings belong together",
        )
    resampling = drop_resampling(metric, effects, tested, protocol)
    at_splits = threads.spread(partial(_with_factors, tested), np.eye(len(effects.accuracies)))
    return _Domain(
        accuracies=effects.accuracies,
        resampling=resampling,
        interval=interval_of(resampling, confidence=confidence),
        accuracy_intervals=tuple(
            _of_an_accuracy(
                interval_of(drop_resampling(metric, at_split, tested, protocol), confidence=confidence)
            )
            for at_split in at_splits
            if at_split is not None
        ),
    )


def _with_factors(tested: Predictions, factors: Float64) -> DropEffects | None:
    return drop_effects(tested, factors=factors)


def _of_an_accuracy(interval: Interval | None) -> Interval | None:
    """The interval without what no accuracy can be."""
    return None if interval is None else (max(0.0, interval[0]), min(1.0, interval[1]))


def _meaning(where: str, value: float) -> str:
    change = f"{rounded_percent(abs(value))} {'less' if value < 0 else 'more'}" if value else "as"
    return (
        f"{where}, a classifier on these embeddings is {change} accurate if class and center go together in "
        f"its training data {'than' if value else 'as'} if its training data are balanced (mean over the "
        "training splits)"
    )


COMPUTATION = Computation(
    name=METRIC,
    function=performance_drop,
    view="performance_drop",
    columns=("slide_id", "biological_class", "medical_center", "subset"),
    design=("schedule",),
    settings={"repetitions": 20},
    takes_repair=True,
    work=drop_work,
    version=2,
)


def _drop(
    name: str, label: str, where: str, missing: tuple[str, str] | None = None, *, out_of_domain: bool = False
) -> Metric:
    return Metric(
        name=name,
        label=label,
        computation=COMPUTATION,
        lowest=-1.0,  # an accuracy cannot fall below nothing
        highest=1.0,  # that it more than doubles is no sensible demand
        neutral=0.0,
        margin=0.01,  # about the published 95 % half-widths
        meaning=partial(_meaning, where),
        remedies=(
            BALANCE,
            "Stain normalization of the images (Reinhard) or a domain-adversarial head recovers part of the "
            "loss.",
            OTHERWISE,
        ),
        remedies_without_images=(BALANCE, ADVERSARIAL_HEAD, OTHERWISE),
        groups_cover_view=False,  # out-of-domain patches are not tested in-domain, and the reverse
        out_of_domain=out_of_domain,
        needs=drop_needs if missing is None else partial(outside_needs, name),
        missing=missing,
        published=partial(published_scores, name),
    )


METRICS = (
    _drop("performance_drop_id", "drop in-domain", "tested at the medical centers of the training data"),
    _drop(
        "performance_drop_ood",
        "drop out-of-domain",
        "tested at medical centers without training data",
        missing=NO_OUTSIDE,
        out_of_domain=True,
    ),
)
