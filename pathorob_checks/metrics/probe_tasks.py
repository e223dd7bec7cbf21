"""What a probe has to tell apart: two medical centers of one class, or two classes of one medical center.

With the class held fixed, a probe for the medical center gains nothing from knowing the class, however
unevenly the classes are spread over the centers. With two labels, chance is one half in every cohort.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.labelled import PatchLabels
from pathorob_checks.wording import counted

LEAST_UNITS = 3  # on each side: one to train, one to validate, one to test
FOLDS = 5
MOST_PATCHES = 6000  # of each side; Camelyon of the benchmark has 5,100
MOST_TASKS = 400
Predicted = Literal["medical_center", "biological_class"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Patches of two labels that share the other label.

    Attributes
    ----------
    within : code of the label that all patches share.
    labels : (a, b) codes of the two that are told apart.
    rows : (n,) int64 where the patches are among the in-domain ones.
    side : (n,) int64, 0 for a and 1 for b.
    units : (n,) int64 codes of slides, or of cases where those are known.
    fold : (n,) int64; all patches of a unit are in one fold.
    """

    within: int
    labels: tuple[int, int]
    rows: Int64
    side: Int64
    units: Int64
    fold: Int64

    @property
    def folds(self) -> int:
        """The number of folds."""
        return int(self.fold.max()) + 1

    def training(self, test: int) -> Int64:
        """(m,) places of the training patches of a fold, as many of either side."""
        apart = (test, self.validation_fold(test))
        sides = [np.flatnonzero(~np.isin(self.fold, apart) & (self.side == side)) for side in (0, 1)]
        least = min(map(len, sides))
        return np.sort(np.concatenate([places[spread(self.units[places], least)] for places in sides]))

    def validation_fold(self, test: int) -> int:
        """The fold that chooses the regularization while another one is tested."""
        return (test + 1) % self.folds


def tasks(read: PatchLabels, predicted: Predicted, *, folds: int, patches: int, most: int) -> list[Task]:
    """Every pair of labels within every value of the other label, as far as there are slides for it.

    Parameters
    ----------
    folds : most folds of a task; a side with fewer slides has fewer.
    patches : most patches of a side; of more, every slide gives about the same number.
    most : most tasks; of more, labels take part about equally often.
    """
    assert read.units is not None  # noqa: S101 (they are needed)
    own, other = (
        (read.centers, read.classes) if predicted == "medical_center" else (read.classes, read.centers)
    )
    standing = np.unique(np.stack([own.codes, other.codes, read.units.codes]), axis=1)
    units = np.zeros((len(other), len(own)), dtype=np.int64)
    np.add.at(units, (standing[1], standing[0]), 1)
    places: dict[tuple[int, int], Int64] = {}
    for within, label in np.argwhere(units >= LEAST_UNITS).tolist():
        cell = np.flatnonzero((other.codes == within) & (own.codes == label))
        places[within, label] = np.sort(cell[spread(read.units.codes[cell], patches)])
    found = []
    for within, two in islice(_pairs(units >= LEAST_UNITS), most):
        rows = np.concatenate([places[within, label] for label in two])
        side = np.repeat([0, 1], [len(places[within, label]) for label in two])
        unit = read.units.codes[rows]
        fold = _folds(unit, side, folds)
        found.append(Task(within=within, labels=two, rows=rows, side=side, units=unit, fold=fold))
    return found


def center_tasks(read: PatchLabels, metric: str, *, folds: int, patches: int, most: int) -> list[Task]:
    """The pairs of medical centers within each class.

    Raises
    ------
    MetricError : there is none, or a setting is out of range.
    """
    if folds < LEAST_UNITS or patches < 1 or most < 1:
        raise MetricError(
            f"{metric}: {folds} folds, {patches} patches and {most} tasks give no test",
            remedy=f"ask for at least {LEAST_UNITS} folds, 1 patch and 1 task",
        )
    found = tasks(read, "medical_center", folds=folds, patches=patches, most=most)
    if not found:
        assert read.units is not None  # noqa: S101 (they are needed)
        enough = counted(LEAST_UNITS, read.units.noun)
        raise MetricError(
            f"{metric}: no biological class has {enough} in each of two medical centers",
            remedy=f"add {read.units.noun}s: one trains, one validates and one tests",
        )
    return found


def spread(units: Int64, most: int) -> Int64:
    """At most so many places, of every unit about as many: first the first patch of each, then the second."""
    if len(units) <= most:
        return np.arange(len(units))
    order = np.argsort(units, kind="stable")
    begins = np.flatnonzero(np.diff(units[order], prepend=-1))
    rank = np.empty(len(units), dtype=np.int64)
    rank[order] = np.arange(len(units)) - np.repeat(begins, np.diff(begins, append=len(units)))
    return np.lexsort((units, rank))[:most]


def _pairs(there: npt.NDArray[np.bool_]) -> Iterator[tuple[int, tuple[int, int]]]:
    """A row and two of its true columns, every pair once, in rounds in which all columns take part.

    >>> import numpy as np
    >>> [two for _, two in _pairs(np.ones((1, 4), dtype=bool))]
    [(0, 1), (2, 3), (1, 2), (0, 3), (0, 2), (1, 3)]
    """
    present = [np.flatnonzero(row).tolist() for row in there]
    given: set[tuple[int, tuple[int, int]]] = set()
    for distance in range(1, max(map(len, present), default=0) // 2 + 1):
        for first in (*range(0, there.shape[1], 2), *range(1, there.shape[1], 2)):
            for within, labels in enumerate(present):
                if first >= len(labels) or distance > len(labels) // 2:
                    continue
                one, other = sorted((labels[first], labels[(first + distance) % len(labels)]))
                if (within, (one, other)) not in given:
                    given.add((within, (one, other)))
                    yield within, (one, other)


def _folds(units: Int64, side: Int64, most: int) -> Int64:
    """The fold of every patch: units in the order of their names, first those of one side, then the other's.

    So every fold has about as many units of either side, and a unit with patches of both sides is in one
    fold. Which side comes first depends on the names of the units alone.
    """
    members, place = np.unique(units, return_inverse=True)
    has = [np.bincount(place, side == one, minlength=len(members)) > 0 for one in (0, 1)]
    folds = min(most, *(int(some.sum()) for some in has))
    kind = has[1].astype(np.int64) - has[0]
    alone = np.flatnonzero(kind)
    if alone.size and kind[alone[0]] > 0:
        kind = -kind
    fold = np.empty(len(members), dtype=np.int64)
    fold[np.lexsort((members, kind))] = np.arange(len(members)) % folds
    return fold[place]
