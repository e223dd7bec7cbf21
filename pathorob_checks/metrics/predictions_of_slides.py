"""Slide-level prediction: what attention models of slides lose where class and center correlate.

A slide is a bag of patch embeddings. A gated-attention model (Ilse, Tomczak and Welling 2018) predicts the
biological class of a slide. It is trained along the schedules of the performance drop: from balanced
(split 0) to class and center fully correlated (the last).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.any_cohort_schedule import general_schedule
from pathorob_checks.metrics.auc_effects import ScoredBags, auc_effects
from pathorob_checks.metrics.bag_models import scored_bags
from pathorob_checks.metrics.bags import bags_of, share_drawn
from pathorob_checks.metrics.definition import Computation, Metric
from pathorob_checks.metrics.drop_effects import DropEffects, drop_effects
from pathorob_checks.metrics.drop_uncertainty import (
    cell_values,
    drop_resampling,
    group_values,
    worst_slides,
)
from pathorob_checks.metrics.inputs import as_embeddings
from pathorob_checks.metrics.intervals import CONFIDENCE, SEED, check_settings, interval_of
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.measurement import GroupValue, Interval
from pathorob_checks.metrics.needs import NO_OUTSIDE_CLASSES, drop_needs, outside_needs
from pathorob_checks.metrics.remedies import ADVERSARIAL_HEAD, BALANCE, OTHERWISE
from pathorob_checks.metrics.repairing import Repairing, repaired
from pathorob_checks.metrics.schedules import Schedule, cramers_v, published_schedule
from pathorob_checks.metrics.slide_prediction_result import DomainPrediction, SlidePrediction
from pathorob_checks.metrics.slide_prediction_work import prediction_work
from pathorob_checks.progress import Progress
from pathorob_checks.wording import rounded_percent

if TYPE_CHECKING:
    import pandas as pd
    import torch

METRIC = "slide_prediction"


def slide_prediction(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    schedule: Schedule | str | None = None,
    repetitions: int = 20,
    seed: int = SEED,
    confidence: float = CONFIDENCE,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    repair: Repairing | None = None,
) -> SlidePrediction:
    """Drop of the AUC of slide-level predictions by attention-based multiple-instance learning.

    A slide is a bag of patch embeddings, and a model with gated attention [1]_ predicts its biological class.
    It is trained on splits that walk from balanced (split 0) to class and center fully correlated (the last),
    as in `performance_drop` [2]_. The value is the mean AUC over splits 1.. and repetitions, relative to the
    mean AUC at split 0 (or to 0.5, a guess, where that is less), minus 1.

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        NumPy array or PyTorch tensor of any float dtype, read as float32. Each model standardizes them by the
        patches of its training slides.
    patches : pandas.DataFrame
        N rows with the columns `slide_id`, `biological_class`, `medical_center` and optionally `subset`
        (`OOD` marks the out-of-domain test; without the column all are in-domain), `patch_id` and `case_id`;
        row i describes embedding i. A slide with patches of several classes is one bag for each of them.
    schedule : Schedule or str, optional
        A schedule, the name of a published one, or None for the general one.
    repetitions : int, default 20
        Number of draws of slides, at least 2.
    seed : int, default 17845
        Of the initial parameters, at least 0. All splits of a repetition begin alike.
    confidence : float, default 0.95
        Of the intervals, between 0 and 1.
    device : str or torch.device, optional
        Where to compute; None takes the GPU where there is one.
    progress : callable, optional
        Wraps the batches of models (iterable, total, description), to show a bar.
    repair : callable, optional
        A repair of embeddings, called as `repair(embeddings, training)` in every repetition and split with
        all N embeddings and the (n,) row numbers of the patches that train. It is fitted on these rows and
        returns all rows repaired, (N, E), for the model of that split. Several threads call it at the same
        time.

    Returns
    -------
    SlidePrediction
        Both drops with their intervals, AUCs and balanced accuracies at every split, cells, slides and
        groups. Criteria take one of its `measurements()`.

    Raises
    ------
    MetricError
        Too few slides (which cells lack how many), fewer than 2 repetitions, a negative seed, a confidence
        outside 0 to 1, embeddings with NaN or infinity, a table that does not fit them, or labels that are
        ambiguous: an unknown subset, a slide in two centers, a patch twice; or a repair that gives another
        number of rows, NaN or infinity.

    See Also
    --------
    performance_drop : The same schedules with a classifier of patches.
    general_schedule : The schedule for any cohort.

    Notes
    -----
    With several classes an AUC is the mean over classes of the class against the others. The interval is
    about other slides from the same medical centers, in a cohort of the same design; other centers are not
    covered. What training slides add by way of a repair is in it as all that they add.
    On a CPU every batch of models is trained on one thread, so that the number of threads changes nothing;
    another processor or a GPU rounds differently.

    References
    ----------
    .. [1] M. Ilse, J. Tomczak, M. Welling. Attention-based deep multiple instance learning. ICML (2018).
    .. [2] PathoROB. Nature Communications 17, 5218 (2026).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import slide_prediction
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(4)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> patches["subset"] = "ID"
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += patches.biological_class == "tumor"
    >>> embeddings[:, 1] += 3 * (patches.medical_center == "Bonn")
    >>> result = slide_prediction(embeddings, patches, repetitions=2)
    >>> result.inside.drop < 0
    True
    """
    check_settings(confidence, METRIC)
    array = as_embeddings(embeddings, patches, METRIC)
    read = read_labels(patches, METRIC)
    read.in_domain(METRIC).need_two(METRIC)
    if repetitions < 2:
        raise MetricError(f"{METRIC}: {repetitions} repetitions have no spread", remedy="ask for at least 2")
    if seed < 0:
        raise MetricError(f"{METRIC}: the seed is {seed}", remedy="give a whole number from 0")
    table = read.table()
    if schedule is None:
        schedule = general_schedule(table, repetitions=repetitions)
    elif isinstance(schedule, str):
        schedule = published_schedule(schedule)
    drawn = list(schedule.repetitions(table, repetitions))
    bags = bags_of(read)
    repaired_on = None if repair is None else partial(repaired, repair, array, metric=METRIC)
    inside, outside = scored_bags(array, bags, drawn, seed, device, progress, repaired_on)
    share = share_drawn(bags, drawn)
    protocol = {
        "schedule": schedule.name,
        "repetitions": repetitions,
        "seed": seed,
        "patches": len(array),
        **bags.units.protocol,
    }
    domains = [
        _domain(f"{METRIC}_{suffix}", scored, share, protocol, confidence) if scored else None
        for suffix, scored in (("id", inside), ("ood", outside))
    ]
    if domains[0] is None:
        raise MetricError(
            f"{METRIC}: fewer than 2 repetitions of the schedule {schedule.name!r} test slides of 2 classes",
            remedy="use a schedule that sets slides of every class aside",
        )
    return SlidePrediction(
        inside=domains[0],
        outside=domains[1],
        cramers_v=tuple(cramers_v(counts) for counts in schedule.training_slides),
        share_drawn=share,
        confidence=confidence,
        schedule=schedule.name,
        training_slides=int(np.sum(schedule.training_slides[0])),
        classes=len(bags.classes),
        seed=seed,
        rows=len(array),
    )


def _domain(
    metric: str, scored: ScoredBags, share: float, protocol: dict[str, object], confidence: float
) -> DomainPrediction | None:
    """None where there is no AUC."""
    effects = auc_effects(scored)
    if effects is None:
        return None
    tested = scored.predictions

    def resampled(effects: DropEffects, of: dict[str, object]) -> Any:
        return drop_resampling(metric, effects, tested, of, share_drawn=share)

    def intervals(of_splits: Sequence[DropEffects | None]) -> tuple[Interval | None, ...]:
        measured = [interval_of(resampled(one, {}), confidence=confidence) for one in of_splits if one]
        return tuple(each and (max(0.0, each[0]), min(1.0, each[1])) for each in measured)

    splits = np.eye(len(effects.accuracies))
    resampling = resampled(effects, protocol)
    recalls = drop_effects(tested, factors=splits[0])
    return DomainPrediction(
        drop=resampling.value,
        interval=interval_of(resampling, confidence=confidence),
        aucs=effects.accuracies,
        auc_intervals=intervals([auc_effects(scored, factors=split) for split in splits]),
        accuracies=recalls.accuracies if recalls else np.zeros_like(effects.accuracies),
        accuracy_intervals=intervals([drop_effects(tested, factors=split) for split in splits]),
        cells=cell_values(tested, "slides"),
        slides=worst_slides(resampling, tested),
        groups=_groups(metric, scored, share, confidence),
        resampling=resampling,
    )


def _groups(
    metric: str, scored: ScoredBags, share: float, confidence: float
) -> dict[str, tuple[GroupValue, ...]]:
    """Drop at each test center and of each class against the others; those without an AUC are missing."""
    bags, tested = scored.bags, scored.predictions
    seen = np.zeros(len(bags.patches), dtype=bool)
    seen[np.concatenate(scored.tested)] = True
    at = {name: bags.centers.codes == code for code, name in enumerate(bags.centers.names)}
    parts: dict[str, dict[str, tuple[DropEffects | None, npt.NDArray[np.bool_]]]] = {
        "medical_center": {
            name: (auc_effects(scored, None if there[seen].all() else there), there)
            for name, there in at.items()
        },
        "biological_class": {
            name: (auc_effects(scored, cls=code), bags.classes.codes == code)
            for code, name in enumerate(bags.classes.names)
        },
    }
    return {
        column: group_values(
            {
                name: (
                    drop_resampling(metric, effects, tested, {}, share_drawn=share),
                    int(bags.patches[there & seen].sum()),
                )
                for name, (effects, there) in of_column.items()
                if effects is not None
            },
            confidence,
        )
        for column, of_column in parts.items()
    }


def _meaning(where: str, value: float) -> str:
    change = f"{rounded_percent(abs(value))} {'lower' if value < 0 else 'higher'}" if value else "the same"
    return (
        f"{where}, the AUC of slide-level predictions from these embeddings is {change} if class and center "
        f"go together in the training slides {'than' if value else 'as'} if the training slides are balanced "
        "(mean over the training splits)"
    )


_COMPUTATION = Computation(
    name=METRIC,
    function=slide_prediction,
    view="performance_drop",
    columns=("slide_id", "biological_class", "medical_center", "subset"),
    design=("schedule",),
    settings={"repetitions": 20, "seed": SEED},
    takes_repair=True,
    work=prediction_work,
)


def _metric(suffix: str, label: str, where: str, *, out_of_domain: bool) -> Metric:
    name = f"{METRIC}_{suffix}"
    return Metric(
        name=name,
        label=label,
        computation=_COMPUTATION,
        lowest=-1.0,  # an AUC cannot fall below nothing
        highest=1.0,  # that it more than doubles is no sensible demand
        neutral=0.0,
        margin=0.02,
        meaning=partial(_meaning, where),
        remedies=(
            "Do not train on slides in which class and center go together: balance the centers within each "
            "class.",
            "Stain normalization of the images (Reinhard) or a domain-adversarial head recovers part of the "
            "loss.",
            OTHERWISE,
        ),
        remedies_without_images=(BALANCE, ADVERSARIAL_HEAD, OTHERWISE),
        groups_cover_view=False,  # out-of-domain slides are not tested in-domain, and the reverse
        out_of_domain=out_of_domain,
        needs=partial(outside_needs, name, classes=2) if out_of_domain else drop_needs,
        missing=NO_OUTSIDE_CLASSES if out_of_domain else None,
    )


METRICS = (
    _metric(
        "id",
        "slide AUC drop ID",
        "tested at the medical centers of the training slides",
        out_of_domain=False,
    ),
    _metric(
        "ood",
        "slide AUC drop OOD",
        "tested at medical centers without training slides",
        out_of_domain=True,
    ),
)
