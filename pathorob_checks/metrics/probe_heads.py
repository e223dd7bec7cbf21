"""Linear probes of what a learned head makes of embeddings, as part of the classifier.

A head has parameters of its own and learns from biological classes. So it is fitted for each fold on the
slides of the other folds, and all tasks share one division into folds: a head for each fold is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import Float32, Int64
from pathorob_checks.metrics.probe_tasks import LEAST_UNITS, Task
from pathorob_checks.metrics.repairing import Repairing, repaired


def in_common_folds(groups: Sequence[Sequence[Task]], most: int, metric: str) -> list[list[Task]]:
    """Groups of tasks with one division of all slides (or cases) into folds.

    The units of each cell are dealt to the folds in turn, so that each fold has about as many of every cell.
    There are as many folds as the smallest cell has units, `most` at most. A task is left out if units that
    stand in several cells leave one of its cells with fewer than three folds.

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
    folds = max(LEAST_UNITS, min(most, *map(len, members.values())))
    fold_of: dict[int, int] = {}
    for cell in sorted(members):
        for unit in members[cell].tolist():
            fold_of.setdefault(unit, len(fold_of) % folds)

    def divided(task: Task) -> Task:
        fold = np.array([fold_of[unit] for unit in task.units.tolist()], dtype=np.int64)
        return replace(task, fold=fold)

    common = [map(divided, tasks) for tasks in groups]
    kept = [[task for task in tasks if task.folds_of_cells.min() >= LEAST_UNITS] for tasks in common]
    if not kept[0]:
        raise MetricError(
            f"{metric}: slides or cases that stand in several centers or classes leave too few folds to "
            "train a head",
            remedy="leave out the method that is part of a classifier",
        )
    return kept


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
