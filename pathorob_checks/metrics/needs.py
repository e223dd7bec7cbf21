"""What each metric needs of a table, known before anything is embedded; the numbers are the metrics' own."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.cluster_combinations import choose
from pathorob_checks.metrics.labelled import PatchLabels, read_labels
from pathorob_checks.metrics.neighborhood_size import lists_of
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    import pandas as pd


def index_needs(patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool) -> None:
    """Raise MetricError where the robustness index has no value, or with `interval` none with an interval."""
    metric = "robustness_index"
    read = _in_domain(patches, metric)
    paired = settings.get("paired")
    lists = lists_of(read, read.slides, read.are_paired if paired is None else paired)
    lists.reach(settings.get("k"), settings.get("largest_k"))
    if interval:
        _need_two_slides(read, metric)


def clustering_needs(patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool) -> None:
    """Raise MetricError where the clustering score has no value, or with `interval` none with an interval."""
    metric = "clustering_score"
    read = _in_domain(patches, metric)
    chosen = choose(read.classes, read.centers, settings["most_combinations"])
    refuse_no_combination(chosen.pairs)
    counts = np.zeros((len(read.classes), len(read.centers)), dtype=np.int64)
    np.add.at(counts, (read.classes.codes, read.centers.codes), 1)
    for classes, centers in chosen.pairs:
        there = int(sum(counts[cell] for cell in product(classes, centers)))
        names = " in ".join(
            " and ".join(labels.names[code] for code in codes)
            for labels, codes in ((read.classes, classes), (read.centers, centers))
        )
        refuse_few_patches(there, names, max(settings["clusters"]))
    if interval:
        _need_two_slides(read, metric)


def refuse_few_patches(patches: int, names: str, most_clusters: int) -> None:
    """Raise MetricError where a combination has no more different patches than clusters are tried."""
    if patches <= most_clusters:
        raise MetricError(
            f"clustering_score: {names} have {counted(patches, 'different patch', 'different patches')}, "
            f"{most_clusters + 1} are needed for up to {most_clusters} clusters",
            remedy="add patches there",
        )


def refuse_no_combination(pairs: object) -> None:
    """Raise MetricError where no two classes are together in two centers."""
    if not pairs:
        raise MetricError(
            "clustering_score: no two classes occur together in two medical centers",
            remedy="add patches so that two centers share two classes",
        )


def drop_needs(patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool) -> None:  # noqa: ARG001
    """Raise MetricError where no performance drop has a value; repetitions always give an interval."""
    from pathorob_checks.metrics.any_cohort_schedule import general_schedule
    from pathorob_checks.metrics.schedules import published_schedule

    repetitions, schedule = settings["repetitions"], settings.get("schedule")
    if schedule is None:
        general_schedule(patches, repetitions=repetitions)
        return
    if isinstance(schedule, str):
        schedule = published_schedule(schedule)
    next(iter(schedule.repetitions(read_labels(patches, "performance_drop").table(), repetitions)))


def _in_domain(patches: pd.DataFrame, metric: str) -> PatchLabels:
    read = read_labels(patches, metric).in_domain(metric)
    read.need_two(metric)
    return read


def _need_two_slides(read: PatchLabels, metric: str) -> None:
    """Refuse one slide per class and center: nothing says how much slides differ."""
    assert read.slides is not None  # noqa: S101 (they are needed)
    codes = (read.slides.codes, read.classes.codes, read.centers.codes)
    standing = np.unique(np.stack(codes, axis=1), axis=0)
    cells = np.unique(standing[:, 1:], axis=0)
    if len(cells) == len(standing) == len(read.slides):
        raise MetricError(
            f"{metric}: every biological class has only 1 slide in each medical center, 2 are needed for an "
            "interval",
            remedy='add slides, or judge the value alone with rule = "point"',
        )
