"""Case retrieval: what a search for similar slides finds when class and medical center correlate.

Source of the question: PathoROB, Nature Communications 17, 5218 (2026), which finds retrieval safe only with
databases that are balanced over the medical centers. The databases are the training sides of the
performance drop's schedule, the queries its test slides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.any_cohort_schedule import general_schedule
from pathorob_checks.metrics.definition import Computation, Metric, Work
from pathorob_checks.metrics.inputs import Int64, as_embeddings
from pathorob_checks.metrics.intervals import CONFIDENCE, check_settings
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.measurement import Interval
from pathorob_checks.metrics.needs import retrieval_needs
from pathorob_checks.metrics.remedies import OTHERWISE, REPAIR_EMBEDDINGS
from pathorob_checks.metrics.retrieval_entries import Entries, entries
from pathorob_checks.metrics.retrieval_lists import (
    Database,
    Retrieved,
    Scored,
    average_precision,
    need_results,
    preference,
    right,
    same_center,
    search,
)
from pathorob_checks.metrics.retrieval_result import (
    ACCURACY,
    DROP,
    SAME_CENTER,
    CaseRetrieval,
)
from pathorob_checks.metrics.retrieval_values import Measure, Searched
from pathorob_checks.metrics.schedules import Repetition, Schedule, cramers_v, published_schedule
from pathorob_checks.wording import counted, rounded_percent

if TYPE_CHECKING:
    import pandas as pd

NAME = "case_retrieval"
TOP = 5
_TOPS = (1, 3, 5)  # that are told besides
# Seconds on 2 cores at dimension 1,536.
_SECONDS_PER_PATCH, _SECONDS_PER_PAIR = 5e-5, 2.5e-5
Float64 = npt.NDArray[np.float64]


def case_retrieval(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    schedule: Schedule | str | None = None,
    repetitions: int = 20,
    top: int = TOP,
    confidence: float = CONFIDENCE,
) -> CaseRetrieval:
    """Search slides by their mean embeddings, in databases from balanced to confounded.

    The mean embedding of a slide's patches of one class queries a database of other slides by cosine
    similarity. The majority of the nearest `top` results gives the class. The databases are the training
    slides of a schedule, at every split from balanced (class and medical center independent) to
    fully correlated; the queries are its test slides [1]_.

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        NumPy array or PyTorch tensor of any float dtype, read as float32.
    patches : pandas.DataFrame
        N rows with the columns `slide_id`, `biological_class`, `medical_center` and optionally `subset`
        (`OOD` marks out-of-domain queries; without the column all are in-domain) and `case_id` (slides of one
        case never find each other); row i describes embedding i.
    schedule : Schedule or str, optional
        A schedule, the name of a published one, or None for the general one.
    repetitions : int, default 20
        Number of draws of slides, at least 2.
    top : int, default 5
        Number of results that vote.
    confidence : float, default 0.95
        Of the intervals, between 0 and 1.

    Returns
    -------
    CaseRetrieval
        Accuracy, drop and preference of the own center with their intervals, cells, slides and groups.
        Criteria take one of its `measurements()`.

    Raises
    ------
    MetricError
        Too few slides (which cells lack how many), fewer than 2 repetitions, a database with fewer than `top`
        slides of other cases, a slide whose mean embedding is zero, a confidence outside 0 to 1, embeddings
        with NaN or infinity, a table that does not fit them, or labels that are ambiguous: an unknown subset,
        a slide in two centers, a patch twice.

    See Also
    --------
    performance_drop : What a classifier loses on the same schedule.
    general_schedule : The schedule for any cohort.

    Notes
    -----
    With a_s the mean over repetitions of the accuracy (mean over the classes of the share of their queries
    that are right) at split s of S + 1, the drop is ``(a_1 + ... + a_S) / (S a_0) - 1``. With q the share of
    a query's results from its own center, and e the share of this center in the database, the preference of
    the own center is the mean of ``(q - e) / (1 - e)`` in the balanced database.

    References
    ----------
    .. [1] PathoROB. Nature Communications 17, 5218 (2026).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import case_retrieval
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(2)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor") - 1.5
    >>> embeddings[:, 1] += 3 * (patches.medical_center == "Bonn") - 1.5
    >>> result = case_retrieval(embeddings, patches)
    >>> result.accuracy.value > 0.9, result.drop.value < 0, result.same_center.value > 0
    (True, True, True)
    """
    check_settings(confidence, NAME)
    array = as_embeddings(embeddings, patches, NAME)
    read = read_labels(patches, NAME)
    read.in_domain(NAME).need_two(NAME)
    for what, number, least in (("repetitions", repetitions, 2), ("results", top, 1)):
        if number < least:
            raise MetricError(f"{NAME}: {number} {what} are too few", remedy=f"ask for at least {least}")
    table = read.table()
    if schedule is None:
        schedule = general_schedule(table, repetitions=repetitions)
    elif isinstance(schedule, str):
        schedule = published_schedule(schedule)
    slides = entries(array, read, NAME)
    searches = [_searched(slides, draw, top) for draw in schedule.repetitions(table, repetitions)]
    inside, outside = [one.inside for one in searches], [one.outside for one in searches]
    protocol = {"schedule": schedule.name, "repetitions": repetitions, "top": top, **slides.units.protocol}
    measure = Measure(slides=slides, protocol=protocol, confidence=confidence)
    retrieved = _retrieved(slides, inside, "right")
    preferred = _retrieved(slides, inside, "preference")
    id_accuracies, id_intervals = measure.by_split(ACCURACY, retrieved)
    preferences, preference_intervals = measure.by_split(SAME_CENTER, preferred)
    ood_accuracies: Float64 | None = None
    ood_intervals: tuple[Interval | None, ...] = ()
    if slides.outside.any():
        found_outside = _retrieved(slides, outside, "right")
        ood_accuracies, ood_intervals = measure.by_split(ACCURACY, found_outside)
    of_class = [slides.classes.codes[one.queries] for one in inside]
    classes = slides.classes.names
    queried = np.isin(slides.of_patch, np.concatenate([one.queries for one in inside]))
    return CaseRetrieval(
        accuracy=measure.accuracy(retrieved),
        drop=measure.drop(retrieved),
        same_center=measure.same_center(preferred, inside),
        id_accuracies=id_accuracies,
        ood_accuracies=ood_accuracies,
        id_accuracy_intervals=id_intervals,
        ood_accuracy_intervals=ood_intervals,
        same_center_intervals=preference_intervals,
        accuracies_by_results={
            count: _by_split(
                np.mean(
                    [
                        _mean_of(one.right_of_first[count][:, codes == code])
                        for code in range(len(classes))
                        if (codes == code).any()
                    ],
                    axis=0,
                )
                for one, codes in zip(inside, of_class, strict=True)
            )
            for count in inside[0].right_of_first
        },
        average_precision={
            name: _by_split(
                _mean_of(one.average_precision[:, codes == code])
                for one, codes in zip(inside, of_class, strict=True)
                if (codes == code).any()
            )
            for code, name in enumerate(classes)
            if any((codes == code).any() for codes in of_class)
        },
        same_center_by_split=_by_split(_mean_of(one.same_center) for one in inside),
        expected_by_split=_by_split(_mean_of(one.expected) for one in inside),
        preference_by_split=tuple(preferences.mean(axis=1).tolist()),
        cramers_v=tuple(cramers_v(counts) for counts in schedule.training_slides),
        queried=float(queried.sum() / (~read.outside).sum()),
        confidence=confidence,
        schedule=schedule.name,
        top=top,
        database_slides=int(np.sum(schedule.training_slides[0])),
        classes=len(classes),
        rows=len(array),
    )


def _mean_of(values: Float64) -> Float64:
    """(splits,) mean over the queries."""
    return np.asarray(values.mean(axis=1))


def _by_split(of_repetitions: Iterable[Float64]) -> tuple[float, ...]:
    """The mean over repetitions at every split."""
    return tuple(np.mean(list(of_repetitions), axis=0).tolist())


@dataclass(frozen=True, kw_only=True)
class _Searches:
    """One repetition."""

    inside: Searched
    outside: Searched


def _searched(slides: Entries, draw: Repetition, top: int) -> _Searches:
    databases = [Database(slides, np.unique(slides.of_patch[rows]), top) for rows in draw.training]
    inside, outside = (
        _of_databases(slides, np.unique(slides.of_patch[rows]), databases, top)
        for rows in (draw.id_test, draw.ood_test)
    )
    return _Searches(inside=inside, outside=outside)


def _of_databases(slides: Entries, queries: Int64, databases: list[Database], top: int) -> Searched:
    similarity = slides.similarity[queries]
    results = [search(slides, similarity, queries, database.members) for database in databases]
    for one in results:
        need_results(slides, queries, one, top, NAME)
    is_right, share = right(slides, queries), same_center(slides, queries)
    return Searched(
        queries=queries,
        right=[database.scored(one, is_right) for database, one in zip(databases, results, strict=True)],
        preference=[
            database.scored(one, preference(slides, queries, one))
            for database, one in zip(databases, results, strict=True)
        ],
        right_of_first={
            count: np.stack([is_right(one.first(count)) for one in results])
            for count in sorted({*_TOPS, top})
        },
        average_precision=np.stack([average_precision(slides, queries, one) for one in results]),
        same_center=np.stack([share(one.first(top)) for one in results]),
        expected=np.stack([share(one) for one in results]),
    )


def _retrieved(
    slides: Entries,
    retrieved: list[Searched],
    score: Literal["right", "preference"],
) -> Retrieved:
    scored: list[list[Scored]] = [getattr(one, score) for one in retrieved]
    trains = np.zeros(len(slides.units), dtype=bool)
    trains[slides.units.codes[~slides.outside]] = True
    return Retrieved(
        rows=[one.queries for one in retrieved],
        classes=slides.classes,
        centers=slides.centers,
        slides=slides.slides,
        units=slides.units,
        trains=trains,
        right_or_wrong=score == "right",
        scale="share" if score == "right" else "fisher",
        of_repetition=[np.stack([split.scores for split in splits]) for splits in scored],
        without=[[split.without for split in splits] for splits in scored],
    )


def _accuracy_meaning(value: float) -> str:
    return (
        f"in a database that is balanced over the medical centers, {rounded_percent(value)} of the slides "
        "have a majority of their own biological class among the nearest slides (mean over the classes)"
    )


def _drop_meaning(value: float) -> str:
    change = "as often as"
    if value:
        change = f"{rounded_percent(abs(value))} {'less' if value < 0 else 'more'} often than"
    return (
        "where class and medical center go together in the database, the nearest slides give the right "
        f"class {change} in a balanced database (mean over the confounded databases)"
    )


def _same_center_meaning(value: float) -> str:
    where = "in a balanced database,"
    if value == 0:
        return f"{where} the nearest slides come from the query's own medical center as often as by chance"
    if value < 0:
        return (
            f"{where} the nearest slides come from the query's own medical center less often than by chance "
            f"(preference {value:.2f})"
        )
    return (
        f"{where} slides of the query's own medical center take {rounded_percent(value)} of the places among "
        "the nearest slides that other medical centers would have by chance"
    )


def _work(patches: pd.DataFrame) -> Work:
    slides = int(patches.slide_id.nunique())
    return Work(
        text=f"searches among {counted(slides, 'slide')}",
        seconds=_SECONDS_PER_PATCH * len(patches) + _SECONDS_PER_PAIR * slides**2,
    )


_COMPUTATION = Computation(
    name=NAME,
    function=case_retrieval,
    view="performance_drop",
    columns=("slide_id", "biological_class", "medical_center", "subset"),
    design=("schedule",),
    settings={"repetitions": 20, "top": TOP},
    takes_device=False,
    takes_progress=False,
    work=_work,
)
_BALANCE = "Search only in databases in which every medical center has its share of every biological class."

METRICS = (
    Metric(
        name=ACCURACY,
        label="retrieval accuracy",
        computation=_COMPUTATION,
        lowest=0.0,
        highest=1.0,
        neutral=0.5,
        margin=0.02,
        meaning=_accuracy_meaning,
        remedies=(
            "Do not show the nearest slides as evidence for a diagnosis.",
            "Try another pooling, or search by patches of the region in question.",
            OTHERWISE,
        ),
        remedies_without_images=("Do not show the nearest slides as evidence for a diagnosis.", OTHERWISE),
        groups_cover_view=False,  # out-of-domain slides are queries of their own
        needs=retrieval_needs,
    ),
    Metric(
        name=DROP,
        label="retrieval drop",
        computation=_COMPUTATION,
        lowest=-1.0,
        highest=1.0,
        neutral=0.0,
        margin=0.02,
        meaning=_drop_meaning,
        remedies=(
            _BALANCE,
            "Stain normalization of the images (Reinhard) can help.",
            OTHERWISE,
        ),
        remedies_without_images=(_BALANCE, REPAIR_EMBEDDINGS, OTHERWISE),
        groups_cover_view=False,
        needs=retrieval_needs,
        missing=(
            "has no query that finds its class in the balanced database",
            "check that labels and embeddings belong together",
        ),
    ),
    Metric(
        name=SAME_CENTER,
        label="center preference",
        computation=_COMPUTATION,
        lowest=-1.0,
        highest=1.0,
        neutral=0.0,
        margin=0.02,
        meaning=_same_center_meaning,
        remedies=(
            "Show results of every medical center, such as the nearest slides of each.",
            "Stain normalization of the images can help; if every center has every class, a correction of "
            "the embeddings per center can help too.",
            OTHERWISE,
        ),
        remedies_without_images=(
            "Show results of every medical center, such as the nearest slides of each.",
            REPAIR_EMBEDDINGS,
            OTHERWISE,
        ),
        higher_is_better=False,
        groups_cover_view=False,
        needs=retrieval_needs,
    ),
)
