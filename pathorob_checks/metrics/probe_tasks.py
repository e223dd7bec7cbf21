"""What a probe has to tell apart: two medical centers of one class, or two classes of one or several centers.

With the class held fixed, a probe for the medical center gains nothing from knowing the class, however
unevenly the classes are spread over the centers. A probe for the class learns as much of both classes in
every center, so that it gains nothing from knowing the center. With two labels, chance is one half in every
cohort.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
_NO_TASK: Mapping[Predicted, str] = {
    "medical_center": "no biological class has {} in each of two medical centers",
    "biological_class": "no medical center has {} of each of two biological classes",
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """Patches of two labels in one or several blocks, each of one value of the other label.

    Attributes
    ----------
    cells : (2 blocks,) of (center, class) codes; the two cells of a block follow each other.
    rows : (n,) int64 where the patches are among the in-domain ones.
    part : (n,) int64, the place of each patch's cell among `cells`.
    units : (n,) int64 codes of slides, or of cases where those are known.
    fold : (n,) int64; all patches of a unit are in one fold, and those of a cell in at least three.
    """

    cells: tuple[tuple[int, int], ...]
    rows: Int64
    part: Int64
    units: Int64
    fold: Int64

    @property
    def side(self) -> Int64:
        """(n,) int64, 0 for the first of the two labels and 1 for the second."""
        return self.part % 2

    @property
    def folds(self) -> int:
        """The number of folds."""
        return int(self.fold.max()) + 1

    @property
    def folds_of_cells(self) -> Int64:
        """(2 blocks,) in how many folds each cell has patches."""
        there = np.unique(np.stack([self.part, self.fold]), axis=1)
        return np.bincount(there[0], minlength=len(self.cells))

    def training(self, test: int) -> Int64:
        """(m,) places of the training patches of a fold, in every block as many of either side."""
        apart = np.isin(self.fold, (test, self.validation_fold(test)))
        cells = [np.flatnonzero(~apart & (self.part == part)) for part in range(len(self.cells))]
        chosen = []
        for block in zip(cells[::2], cells[1::2], strict=True):
            least = min(map(len, block))
            chosen += [places[spread(self.units[places], least)] for places in block]
        return np.sort(np.concatenate(chosen))

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
    possible = []
    for within, two in islice(_pairs(units >= LEAST_UNITS), most):
        rows = np.concatenate([places[within, label] for label in two])
        side = np.repeat([0, 1], [len(places[within, label]) for label in two])
        unit = read.units.codes[rows]
        fold = _folds(unit, side, folds)
        cells = tuple((label, within) if predicted == "medical_center" else (within, label) for label in two)
        possible.append(Task(cells=cells, rows=rows, part=side, units=unit, fold=fold))
    return possible


def across_centers(within: Sequence[Task], folds: int) -> list[Task]:
    """Two classes in all the centers in which tasks tell them apart, where these are at least two.

    Every center trains whatever is tested. A case with slides in several centers counts in the first of them:
    a center takes part with three units of its own in either class.

    Parameters
    ----------
    within : tasks of two classes within one center.
    folds : most folds of a task.
    """
    by_classes: dict[tuple[int, ...], list[Task]] = {}
    for task in within:
        by_classes.setdefault(tuple(cls for _, cls in task.cells), []).append(task)
    joined = (_joined(those, folds) for those in by_classes.values())
    return [task for task in joined if task is not None]


def _joined(those: Sequence[Task], folds: int) -> Task | None:
    """One task of the blocks that have enough units of their own; None without two of them."""
    first_block: dict[int, int] = {}
    for block, task in enumerate(those):
        for unit in np.unique(task.units).tolist():
            first_block.setdefault(unit, block)
    blocks, homes, at_home = [], [], []
    for block, task in enumerate(those):
        home = np.array([first_block[unit] for unit in task.units.tolist()])
        own = np.unique(np.stack([task.side, task.units])[:, home == block], axis=1)
        if np.bincount(own[0], minlength=2).min() >= LEAST_UNITS:
            blocks.append(task)
            homes.append(home)
            at_home.append(home == block)
    if len(blocks) < 2:
        return None
    side = np.concatenate([task.side for task in blocks])
    units = np.concatenate([task.units for task in blocks])
    return Task(
        cells=tuple(cell for task in blocks for cell in task.cells),
        rows=np.concatenate([task.rows for task in blocks]),
        part=side + 2 * np.repeat(np.arange(len(blocks)), [len(task.rows) for task in blocks]),
        units=units,
        fold=_folds(units, side, folds, np.concatenate(homes), np.concatenate(at_home)),
    )


def required_tasks(
    read: PatchLabels, predicted: Predicted, metric: str, *, folds: int, patches: int, most: int
) -> list[Task]:
    """As `tasks`, at least one.

    Raises
    ------
    MetricError : there is none, or a setting is out of range.
    """
    if folds < LEAST_UNITS or patches < 1 or most < 1:
        raise MetricError(
            f"{metric}: {folds} folds, {patches} patches and {most} tasks give no test",
            remedy=f"ask for at least {LEAST_UNITS} folds, 1 patch and 1 task",
        )
    possible = tasks(read, predicted, folds=folds, patches=patches, most=most)
    if not possible:
        assert read.units is not None  # noqa: S101 (they are needed)
        raise MetricError(
            f"{metric}: {_NO_TASK[predicted].format(counted(LEAST_UNITS, read.units.noun))}",
            remedy=f"add {read.units.noun}s: one trains, one validates and one tests",
        )
    return possible


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


def _folds(
    units: Int64,
    side: Int64,
    most: int,
    home: Int64 | None = None,
    at_home: npt.NDArray[np.bool_] | None = None,
) -> Int64:
    """The fold of every patch: units by home, in it first those of one side, then the other's, then by name.

    So every fold has about as many units of either side, and a unit with patches of both sides is in one
    fold. The units of a home and a side follow each other, so that they are in as many folds as there are, or
    each in its own. Which home and side come first depends on the names of the units alone.

    Parameters
    ----------
    home : of each patch's unit, such as a block; None for one home of all.
    at_home : patches by which a unit belongs to a side; None for all.
    """
    members, first, place = np.unique(units, return_index=True, return_inverse=True)
    here = np.ones(len(side), dtype=bool) if at_home is None else at_home
    has = [np.bincount(place, here & (side == one), minlength=len(members)) > 0 for one in (0, 1)]
    folds = min(most, *(int(some.sum()) for some in has))
    kind = has[1].astype(np.int64) - has[0]
    alone = np.flatnonzero(kind)
    if alone.size and kind[alone[0]] > 0:
        kind = -kind
    homes = np.zeros_like(members) if home is None else home[first]
    _, earliest, of_home = np.unique(homes, return_index=True, return_inverse=True)
    fold = np.empty(len(members), dtype=np.int64)
    fold[np.lexsort((members, kind, earliest[of_home]))] = np.arange(len(members)) % folds
    return fold[place]
