"""What a table of patches alone says about metrics: which have a value, and how long they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.any_cohort_schedule import general_schedule
from pathorob_checks.metrics.cluster_combinations import Chosen, choose
from pathorob_checks.metrics.definition import Work
from pathorob_checks.metrics.inputs import Int64, Labels, labels
from pathorob_checks.metrics.schedules import Repetition, Schedule, ood_rows, published_schedule
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    import pandas as pd

INDEX, DROP, CLUSTERS = "robustness_index", "performance_drop", "clustering_score"
# Seconds on 2 cores at dimension 1,536, from docs/performance.md.
_SECONDS_PER_PAIR, _SECONDS_PER_QUERY = 4.5e-9, 1e-5
_SECONDS_PER_ROW_AND_CLASS = 1e-3


def neighborhood_parts(
    patches: pd.DataFrame, slides: Labels, *, k: int | None, largest_k: int | None, paired: bool
) -> tuple[list[Int64], int]:
    """Rows within which neighbors are sought, and how many neighbors every patch of them has at least.

    Raises
    ------
    MetricError : some patch has fewer than `k` or `largest_k` neighbors from other slides, or these two
        contradict each other.
    """
    reach = largest_k if largest_k is not None else k
    if reach is not None and not 1 <= (reach if k is None else k) <= reach:
        raise MetricError(
            f"{INDEX}: k = {reach if k is None else k} is not positive or exceeds largest_k = {reach}",
            remedy="give 1 or more, and at most largest_k",
        )
    subsets = labels(patches, "subset", INDEX).codes if paired else np.zeros(len(patches), dtype=np.int64)
    parts = [np.flatnonzero(subsets == part) for part in np.unique(subsets)]
    largest = [int(np.bincount(slides.codes[rows]).max()) for rows in parts]
    shortest, where = min(
        (len(rows) - most, n) for n, (rows, most) in enumerate(zip(parts, largest, strict=True))
    )
    if (reach or 1) > shortest:
        slide = slides.names[np.bincount(slides.codes[parts[where]]).argmax()]
        raise MetricError(
            f"{INDEX}: k = {reach or 1} neighbors were requested, but only {max(shortest, 0)} patches are of "
            f"other slides than the largest one ({slide})",
            remedy="lower k (for a cohort of your own, in its cohort.toml), or add slides",
        )
    return parts, shortest


def drawn_repetitions(
    patches: pd.DataFrame, schedule: str | Schedule | None, repetitions: int
) -> tuple[Schedule, list[Repetition]]:
    """The training schedule, and the rows that train and test in every repetition.

    Raises
    ------
    MetricError : the table has too few slides for the schedule.
    """
    if schedule is None:
        schedule = general_schedule(patches, repetitions=repetitions)
    elif isinstance(schedule, str):
        schedule = published_schedule(schedule)
    return schedule, list(schedule.repetitions(patches, repetitions))


def combinations_of(classes: Labels, centers: Labels, most: int) -> Chosen:
    """The combinations of two classes and two centers to cluster, at least one.

    Raises
    ------
    MetricError : there is none.
    """
    chosen = choose(classes, centers, most)
    if not chosen.pairs:
        raise MetricError(
            f"{CLUSTERS}: no two classes occur together in two medical centers",
            remedy="add patches so that two centers share two classes",
        )
    return chosen


def refuse_few_points(number: int, names: str, most_clusters: int) -> None:
    """Raise MetricError where a combination has no more different embeddings than clusters are tried."""
    if number <= most_clusters:
        raise MetricError(
            f"{CLUSTERS}: {names} have {number} different embeddings, too few for {most_clusters} clusters",
            remedy="add patches there, or make the criterion 'required = false' in a criteria file",
        )


# -- see `Computation.foresee` and `Computation.work` ---------------------------------------------------


def index_values(patches: pd.DataFrame, *, k: int | None, paired: bool, **_: Any) -> tuple[str, ...]:
    """Of the robustness index."""
    for column in ("biological_class", "medical_center"):
        labels(patches, column, INDEX, at_least=2)
    neighborhood_parts(patches, labels(patches, "slide_id", INDEX), k=k, largest_k=None, paired=paired)
    return (INDEX,)


def drop_values(
    patches: pd.DataFrame, *, schedule: str | Schedule | None, repetitions: int, **_: Any
) -> tuple[str, ...]:
    """Of the performance drop."""
    for column in ("biological_class", "medical_center"):
        labels(patches, column, DROP, at_least=2)
    drawn_repetitions(patches, schedule, repetitions)
    return (f"{DROP}_id", *([f"{DROP}_ood"] if len(ood_rows(patches)) else []))


def cluster_values(
    patches: pd.DataFrame, *, clusters: Sequence[int], most_combinations: int, **_: Any
) -> tuple[str, ...]:
    """Of the clustering score."""
    classes, centers = (
        labels(patches, column, CLUSTERS, at_least=2) for column in ("biological_class", "medical_center")
    )
    chosen = combinations_of(classes, centers, most_combinations)
    cells = np.zeros((len(classes), len(centers)), dtype=np.int64)
    np.add.at(cells, (classes.codes, centers.codes), 1)
    for pair, two in chosen.pairs:
        names = " in ".join(
            " and ".join(labeled.names[code] for code in codes)
            for labeled, codes in ((classes, pair), (centers, two))
        )
        refuse_few_points(int(cells[np.ix_(pair, two)].sum()), names, max(clusters))
    return (CLUSTERS,)


def index_work(patches: pd.DataFrame) -> Work:
    """As if neighbors were sought among all patches, which takes longest."""
    return Work(
        text=f"neighbors of {counted(len(patches), 'patch', 'patches')}",
        seconds=_SECONDS_PER_PAIR * len(patches) ** 2 + _SECONDS_PER_QUERY * len(patches),
    )


def drop_work(patches: pd.DataFrame) -> Work:
    """By the in-domain patches, of which about the same share trains in every schedule."""
    inside = patches[patches.subset != "OOD"]
    classes = int(inside.biological_class.nunique())
    return Work(
        text=f"classifiers of {counted(classes, 'class', 'classes')}",
        seconds=_SECONDS_PER_ROW_AND_CLASS * len(inside) * (classes if classes > 2 else 1),
    )
