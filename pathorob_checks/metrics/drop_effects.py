"""By how much each slide moves a performance drop: as a test slide, and as a training slide.

A test slide moves the accuracies in which it is counted. A training slide moves the classifiers: it is left
out of every training set, the other slides of its cell take its place, and the test is predicted again
(`numerics.deletions`). Both are first-order effects on the drop of each repetition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.degradation import Degradation
from pathorob_checks.metrics.inputs import Int64, Labels, Units

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Deletions:
    """The training slides of one split, each left out.

    Attributes
    ----------
    units : (G,) int64 codes of what is left out: slides, or the cases that they belong to.
    multiplicity : (G, n) float32, how often each of the n training rows counts without the slide: its own
        rows not at all, the others of its cells more often, so that the cells' weights stay.
    share : (G,) float64, by how much the effect of leaving a slide out is to be shrunk: in a cell of k slides
        the others take its place with weight k / (k - 1), which overstates its effect by this factor.
    """

    units: Int64
    multiplicity: npt.NDArray[np.float32]
    share: Float64


def deletions(rows: Int64, units: Int64, cells: Int64) -> Deletions:
    """Leave out each unit of a training set; `units` and `cells` are codes of all rows of the table."""
    unit, cell = units[rows], cells[rows]
    members = np.unique(unit)
    multiplicity = np.ones((len(members), len(rows)), dtype=np.float32)
    share = np.ones(len(members))
    in_cell = {number: np.unique(unit[cell == number]).size for number in np.unique(cell)}
    for place, member in enumerate(members):
        own = unit == member
        for number in np.unique(cell[own]):
            k = in_cell[number]
            if k > 1:
                multiplicity[place, cell == number] = k / (k - 1)
                share[place] = min(share[place], (k - 1) / k)
        multiplicity[place, own] = 0
    return Deletions(units=members, multiplicity=multiplicity, share=share)


@dataclass(frozen=True, kw_only=True)
class SlideDeletions:
    """Predictions for a repetition's test rows with each training slide left out of one split.

    Attributes
    ----------
    units : (G,) int64 codes.
    share : (G,) float64, see `Deletions`.
    predicted : (G, n) int16 classes.
    """

    units: Int64
    share: Float64
    predicted: npt.NDArray[np.int16]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the classifiers of one domain predicted for their test rows.

    Attributes
    ----------
    rows : for each repetition the (n,) row numbers of its test.
    predicted : for each repetition and split the (n,) classes.
    without : for each repetition and split.
    classes, centers, slides : labels of all rows of the table.
    units : what the interval draws anew: slides, or cases.
    trains : (units,) bool, whether the unit can train.
    """

    rows: list[Int64]
    predicted: list[list[Int64]]
    without: list[list[SlideDeletions]]
    classes: Labels
    centers: Labels
    slides: Labels
    units: Units
    trains: Bool

    @property
    def cells(self) -> Int64:
        """(N,) int64 cell (center x class) of every row of the table."""
        return self.centers.codes * len(self.classes.names) + self.classes.codes


@dataclass(frozen=True, kw_only=True)
class DropEffects:
    """A drop, and what repetitions and slides add to it, to first order.

    Attributes
    ----------
    value : mean over repetitions.
    accuracies : (splits, R) balanced accuracies.
    drops : (R,) of every repetition.
    test : (R, U) fall of the drop if a slide is left out of the test.
    training : (R, U) fall of the drop if a slide is left out of the training.
    through : (R, U, T) the part of `training` that comes through each test slide; None where test slides
        can train as well.
    tested : (T,) int64 the test slides.
    least_error : standard error that the value has at least: a quarter of one patch of each cell.
    """

    value: float
    accuracies: Float64
    drops: Float64
    test: Float64
    training: Float64
    through: Float64 | None
    tested: Int64
    least_error: float


_QUARTER = 0.25


def drop_effects(
    tested: Predictions,
    chosen: Bool | None = None,
    *,
    split: int | None = None,
    degradation: Degradation | None = None,
) -> DropEffects | None:
    """Effects on the drop in a domain, or in a group of its rows.

    In the domain the drop is the mean over repetitions of (mean accuracy of splits 1.. / accuracy of split
    0) - 1. In a group it is the ratio of the means over repetitions, since there an accuracy of 0 can occur.

    Parameters
    ----------
    tested : the predictions.
    chosen : (N,) bool, rows of the table that belong to the group; None for all.
    split : the balanced accuracy at this split takes the place of the drop.
    degradation : this takes the place of the drop.

    Returns
    -------
    The effects; None where fewer than two repetitions test the group, or where it has no accuracy at split 0;
    a degradation is None where that accuracy is not above chance.
    """
    of_repetition = []
    for number, rows in enumerate(tested.rows):
        here = np.ones(len(rows), dtype=bool) if chosen is None else chosen[rows]
        if here.any():
            of_repetition.append(_Repetition(tested, number, here))
    if len(of_repetition) < 2:
        return None
    accuracies = np.stack([one.right @ one.weights for one in of_repetition])  # (R, splits)
    first, later = accuracies[:, 0], accuracies[:, 1:]
    least = _QUARTER
    if degradation is not None:
        moved = degradation.drops_and_slopes(accuracies)
        if moved is None:
            return None
        drops, slopes = moved
        least *= float(slopes[0, 1:].sum())
    elif split is not None:
        drops = accuracies[:, split]
        slopes = np.zeros_like(accuracies)
        slopes[:, split] = 1.0
    elif chosen is None:
        if (first == 0).any():
            return None
        drops = later.mean(axis=1) / first - 1
        slopes = _slopes(-later.mean(axis=1) / first**2, first, later)
    else:
        if first.mean() == 0:
            return None
        ratio = float(later.mean() / first.mean())
        slopes = _slopes(np.full(len(first), -ratio / first.mean()), np.full(len(first), first.mean()), later)
        drops = ratio - 1 + (slopes * accuracies).sum(axis=1)
    means = _means_of_cells(tested, of_repetition)
    units = len(tested.units.names)
    outside = np.unique(np.concatenate([one.units for one in of_repetition]))
    independent = not tested.trains[outside].any()
    test, training = np.zeros((len(first), units)), np.zeros((len(first), units))
    through = np.zeros((len(first), units, len(outside))) if independent else None
    for place, (one, slope) in enumerate(zip(of_repetition, slopes, strict=True)):
        deviation = (one.right - means[:, one.cells]) * one.weights
        test[place] = np.bincount(one.units, slope @ deviation, minlength=units)
        effects = one.fall_without(slope, units)
        training[place] = effects.sum(axis=1)
        if through is not None:
            member = one.units[:, None] == outside
            through[place] = effects @ member
    return DropEffects(
        value=float(drops.mean()),
        accuracies=accuracies.T,
        drops=drops,
        test=test,
        training=training,
        through=through,
        tested=outside,
        least_error=least * float(np.linalg.norm(_weight_of_a_row(of_repetition, means.shape[1]))),
    )


def _slopes(of_first: Float64, first: Float64, later: Float64) -> Float64:
    """(R, splits) derivatives of the drop by the accuracies."""
    of_later = 1 / (later.shape[1] * first)
    return np.column_stack([of_first, np.repeat(of_later[:, None], later.shape[1], axis=1)])


class _Repetition:
    """The test of one repetition, or a group of its rows.

    Attributes
    ----------
    right : (splits, n) float64, 1 where the prediction is right.
    weights : (n,) float64 with which rows count in the balanced accuracy.
    rows : (n,) int64 row numbers in the table.
    units, cells : (n,) int64 codes.
    """

    def __init__(self, tested: Predictions, number: int, here: Bool) -> None:
        self.rows = rows = tested.rows[number][here]
        self._truth = tested.classes.codes[rows]
        self._here, self._without = here, tested.without[number]
        self.right = np.stack([split[here] == self._truth for split in tested.predicted[number]]).astype(
            float
        )
        present, count = np.unique(self._truth, return_counts=True)
        self.weights = 1 / (len(present) * count[np.searchsorted(present, self._truth)])
        self.units, self.cells = tested.units.codes[rows], tested.cells[rows]

    def fall_without(self, slope: Float64, units: int) -> Float64:
        """(U, n) by how much the drop falls through each row without each training slide."""
        effects = np.zeros((units, len(self.weights)))
        for split, (factor, without) in enumerate(zip(slope, self._without, strict=True)):
            right = without.predicted[:, self._here] == self._truth
            fall = (self.right[split] - right) * self.weights
            effects[without.units] += factor * without.share[:, None] * fall
        return effects


def _weight_of_a_row(of_repetition: list[_Repetition], cells: int) -> Float64:
    """(cells,) weight of one row of each cell in the mean accuracy of all repetitions."""
    weight = sum(np.bincount(one.cells, one.weights, minlength=cells) for one in of_repetition)
    _, first = np.unique(np.concatenate([one.rows for one in of_repetition]), return_index=True)
    of_row = np.concatenate([one.cells for one in of_repetition])[first]
    count = np.bincount(of_row, minlength=cells)
    return np.asarray(weight / len(of_repetition) / np.maximum(count, 1))


def _means_of_cells(tested: Predictions, of_repetition: list[_Repetition]) -> Float64:
    """(splits, cells) share of right predictions: means of slides over repetitions, weighted by rows."""
    splits, cells = len(of_repetition[0].right), len(tested.centers.names) * len(tested.classes.names)
    units = len(tested.units.names)
    share, count, times = np.zeros((splits, units * cells)), np.zeros(units * cells), np.zeros(units * cells)
    for one in of_repetition:
        part = one.units * cells + one.cells
        rows = np.bincount(part, minlength=units * cells)
        some = rows > 0
        times += some
        count += rows
        for split, right in enumerate(one.right):
            share[split, some] += np.bincount(part, right, minlength=units * cells)[some] / rows[some]
    mean_share = share / np.maximum(times, 1)
    mean_rows = count / np.maximum(times, 1)
    weight = mean_rows.reshape(units, cells)
    total = np.maximum(weight.sum(axis=0), 1e-30)
    return np.asarray((mean_share.reshape(splits, units, cells) * weight).sum(axis=1) / total)
