"""What each metric needs of a table, known before anything is embedded; the numbers are the metrics' own."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.cluster_combinations import choose
from pathorob_checks.metrics.labelled import PatchLabels, read_labels
from pathorob_checks.metrics.neighborhood_size import lists_of, refuse_certain_index
from pathorob_checks.metrics.strata import Strata
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    import pandas as pd


# What a cohort lacks, and a remedy that is true of any cohort.
NO_OUTSIDE = (
    "has no out-of-domain patches",
    "add slides of a medical center that never trains, with subset OOD, or see what 'pathorob-checks doctor' "
    "says of the cohort",
)
NO_OUTSIDE_CLASSES = ("has no out-of-domain patches of two biological classes", NO_OUTSIDE[1])


def index_needs(patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool) -> None:
    """Raise MetricError where the robustness index has no value, or with `interval` none with an interval."""
    metric = "robustness_index"
    read = _in_domain(patches, metric)
    paired = settings.get("paired")
    lists = lists_of(read, read.slides, read.are_paired if paired is None else paired)
    lists.reach(settings.get("k"), settings.get("largest_k"))
    refuse_certain_index(read, lists)
    if interval:
        _need_two_units(read, metric)


def margin_needs(patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool) -> None:
    """Raise MetricError where no patch can have a margin, or with `interval` none has an interval."""
    metric, m = "croma", settings["m"]
    read = _in_domain(patches, metric)
    paired = settings.get("paired")
    lists = lists_of(read, read.slides, read.are_paired if paired is None else paired, metric)
    for part in lists.parts:
        counts = np.zeros((len(read.classes), len(read.centers)), dtype=np.int64)
        np.add.at(counts, (read.classes.codes[part], read.centers.codes[part]), 1)
        elsewhere, others = (counts.sum(axis=axis, keepdims=True) - counts for axis in (1, 0))
        if ((counts > 0) & (elsewhere >= m) & (others >= m)).any():
            break
    else:
        raise MetricError(
            f"{metric}: no patch has {counted(m, 'neighbor')} of its class in other centers and of other "
            "classes in its own center",
            remedy="lower m, or add patches so that two centers share two classes",
        )
    if interval:
        _need_two_units(read, metric)


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
        _need_two_units(read, metric)


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


def drop_needs(patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool) -> None:
    """Raise MetricError where no performance drop has a value, or with `interval` none with an interval."""
    _need_drops(read_labels(patches, "performance_drop").in_domain("performance_drop"), interval=interval)
    _need_schedule(patches, settings)


def outside_needs(
    name: str, patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool, classes: int = 1
) -> None:
    """As `drop_needs` with the out-of-domain patches, of which there must be some.

    With `classes=2` they are of two classes, as an AUC tells one from another.
    """
    read = read_labels(patches, "performance_drop")
    if len(np.unique(read.classes.codes[read.outside])) < classes:
        from pathorob_checks.metrics.any_cohort_remedies import out_of_domain_remedy

        lacking = NO_OUTSIDE if classes == 1 else NO_OUTSIDE_CLASSES
        remedy = lacking[1]
        if settings.get("schedule") is None:
            remedy = out_of_domain_remedy(patches, repetitions=settings["repetitions"])
        raise MetricError(f"{name}: the cohort {lacking[0]}", remedy=remedy)
    _need_drops(read, interval=interval)
    _need_schedule(patches, settings)


def retrieval_needs(patches: pd.DataFrame, settings: Mapping[str, Any], *, interval: bool) -> None:
    """Raise MetricError where slides cannot be searched, or with `interval` where no value has one."""
    metric = "case_retrieval"
    _need_drops(read_labels(patches, metric).in_domain(metric), metric, interval=interval)
    _need_schedule(patches, settings)


def _need_drops(read: PatchLabels, metric: str = "performance_drop", *, interval: bool) -> None:
    if interval:
        _need_two_units(read, metric, of_every_cell=True)


def _need_schedule(patches: pd.DataFrame, settings: Mapping[str, Any]) -> None:
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


def _need_two_units(read: PatchLabels, metric: str, *, of_every_cell: bool = False) -> None:
    """Refuse where a class has one slide (or case) in a center: nothing says how such ones differ.

    The metrics that count neighbors and clusters do without some cells, a drop tests every one.
    """
    assert read.units is not None  # noqa: S101 (they are needed)
    cell = read.centers.codes * len(read.classes) + read.classes.codes
    standing = np.unique(np.stack([read.units.codes, cell]), axis=1)
    cells: list[list[str]] = [[] for _ in read.units.names]
    for unit, number in standing.T:
        cells[unit].append(str(number))
    alone = Strata(tuple(map(tuple, cells))).alone
    if not (alone.any() if of_every_cell else alone.all()):
        return
    noun = read.units.noun
    if alone.all():
        where = f"every biological class has only 1 {noun} in each medical center"
    else:
        center, cls = divmod(int(cells[int(np.flatnonzero(alone)[0])][0]), len(read.classes))
        where = f"{read.classes.names[cls]} of {read.centers.names[center]} has only 1 {noun}"
    raise MetricError(
        f"{metric}: {where}, 2 are needed for an interval",
        remedy=f'add {noun}s, or judge the value alone with rule = "point"',
    )
