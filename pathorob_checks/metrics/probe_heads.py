"""Linear probes of what a learned head makes of embeddings, as part of the classifier.

A head has parameters of its own and learns from biological classes. So it is fitted for each fold on the
slides of the other folds, and all tasks share one division into folds: a head for each fold is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import Float32, Int64
from pathorob_checks.metrics.probe_tasks import LEAST_UNITS, Task
from pathorob_checks.metrics.repairing import Repairing, repaired


def in_common_folds(groups: Sequence[Sequence[Task]], most: int, metric: str) -> list[list[Task]]:
    """Groups of tasks with one division of all slides (or cases) into folds.

    There are as many folds as the smallest cell has units, `most` at most, or fewer where that leaves more
    tasks: units that stand in several cells can leave a fold without a cell, and a task needs all of its
    cells in each fold, which tests, trains and chooses the regularization.

    Raises
    ------
    MetricError : no task of the first group is left.
    """
    members = {
        cell: np.unique(task.units[task.part == part])
        for tasks in groups
        for task in tasks
        for part, cell in enumerate(task.cells)
    }
    largest = max(LEAST_UNITS, min(most, *map(len, members.values())))
    divisions = [
        [[one for task in tasks if (one := _divided(task, fold_of, folds)) is not None] for tasks in groups]
        for folds in range(largest, LEAST_UNITS - 1, -1)
        if (fold_of := _dealt(members, folds))
    ]
    kept = max(divisions, key=lambda division: sum(map(len, division)))
    if not kept[0]:
        raise MetricError(
            f"{metric}: slides or cases that stand in several centers or classes leave too few folds to "
            "train a head",
            remedy="leave out the method that is part of a classifier",
        )
    return kept


def _dealt(members: Mapping[tuple[int, int], Int64], folds: int) -> dict[int, int]:
    """The fold of each unit: those of a cell in turn, first to the folds in which the cell has the fewest."""
    fold_of: dict[int, int] = {}
    for cell in sorted(members):
        units = members[cell].tolist()
        sizes = np.zeros(folds, dtype=np.int64)
        for unit in units:
            if unit in fold_of:
                sizes[fold_of[unit]] += 1
        for unit in units:
            if unit not in fold_of:
                turn = (np.arange(folds) - len(fold_of)) % folds
                fold_of[unit] = int(np.lexsort((turn, sizes))[0])
                sizes[fold_of[unit]] += 1
    return fold_of


def _divided(task: Task, fold_of: Mapping[int, int], folds: int) -> Task | None:
    """The task in these folds; None where a fold lacks one of its cells."""
    fold = np.array([fold_of[unit] for unit in task.units.tolist()], dtype=np.int64)
    divided = replace(task, fold=fold)
    return divided if divided.folds_of_cells.min() == folds else None


def head_features(
    head: Repairing, array: Float32, rows: Int64, units: Int64, tasks: Sequence[Task], metric: str
) -> list[tuple[Float32, tuple[int, ...]]]:
    """What a head makes of patches, for each fold fitted on the other folds, with that fold.

    Parameters
    ----------
    head : of all patches of the table.
    array : (N, D) float32 of these.
    rows : (n,) int64, those that the tasks number.
    units : (n,) int64, slide or case of each.
    tasks : in common folds.
    """
    fold_of: dict[int, int] = {}
    for task in tasks:
        fold_of.update(zip(task.units.tolist(), task.fold.tolist(), strict=True))
    folds = np.array([fold_of.get(unit, -1) for unit in units.tolist()])
    return [
        (repaired(head, array, rows[folds != fold], metric)[rows], (fold,)) for fold in range(folds.max() + 1)
    ]
