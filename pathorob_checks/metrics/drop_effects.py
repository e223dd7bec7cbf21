"""By how much each slide moves a drop or another value of a test: as a test and as a training slide.

What is tested gives every test row a score at every split of the training slides (`Tested`): 1 where a
classifier is right, or what its prediction counts, or what a search finds. A test slide moves the mean scores
in which it is counted. A training slide moves the scores: it is left out of every training set, and the test
is scored again (for classifiers `numerics.deletions`). Both are first-order effects on the value of each
repetition.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.degradation import Degradation
from pathorob_checks.metrics.inputs import Int64, Labels, Units
from pathorob_checks.metrics.resampling import Scale

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Scores = npt.NDArray[Any]  # bool where a score is right or wrong, else float64
_QUARTER = 0.25


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
    members, unit = np.unique(units[rows], return_inverse=True)
    numbers, cell = np.unique(cells[rows], return_inverse=True)
    present = np.zeros((len(members), len(numbers)), dtype=bool)
    present[unit, cell] = True
    k = present.sum(axis=0)
    counts = present & (k > 1)  # in a cell of its own nothing takes a unit's place
    of_cells = np.where(counts, k / np.maximum(k - 1, 1), 1).astype(np.float32)
    multiplicity = of_cells[:, cell]
    multiplicity[unit, np.arange(len(rows))] = 0
    share = np.where(counts, (k - 1) / k, 1).min(axis=1)
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
class ScoresWithout:
    """Scores of a repetition's test rows with each training slide left out of one split.

    Attributes
    ----------
    units : (G,) int64 codes.
    share : (G,) float64, see `Deletions`.
    scores : (G, n) bool or float64.
    """

    units: Int64
    share: Float64
    scores: Scores


@dataclass(frozen=True, kw_only=True)
class Tested(ABC):
    """The test of one domain: a score of each test row at every split, as a result of its training slides.

    Attributes
    ----------
    rows : for each repetition the (n,) row numbers of its test.
    classes, centers, slides : labels of all rows of the table.
    units : what the interval draws anew: slides, or cases.
    trains : (units,) bool, whether the unit can train.
    scale : of its values, see `Resampling`.
    """

    rows: list[Int64]
    classes: Labels
    centers: Labels
    slides: Labels
    units: Units
    trains: Bool
    scale: Scale = "identity"

    @property
    def cells(self) -> Int64:
        """(N,) int64 cell (center x class) of every row of the table."""
        return self.centers.codes * len(self.classes.names) + self.classes.codes

    def least_error(self, weights: Float64) -> float:
        """Least standard error of a value: a quarter row of each cell, by the (cells,) weights of a row."""
        return _QUARTER * float(np.linalg.norm(weights))

    def weights(self, rows: Int64) -> Float64:
        """(n,) of the scores of these rows in a sum: a mean over classes, as in the balanced accuracy."""
        present, cls, count = np.unique(self.classes.codes[rows], return_inverse=True, return_counts=True)
        return np.asarray(1 / (len(present) * count[cls]))

    @abstractmethod
    def scores(self, number: int) -> Scores:
        """(splits, n) score of each test row of a repetition."""

    @abstractmethod
    def scores_without(self, number: int, split: int) -> ScoresWithout:
        """The same at one split, without each training slide."""


@dataclass(frozen=True, kw_only=True)
class Predictions(Tested):
    """What the classifiers of one domain predicted for their test rows; right predictions score 1, others 0.

    Attributes
    ----------
    predicted : for each repetition and split the (n,) classes.
    without : for each repetition and split.
    """

    predicted: list[list[Int64]]
    without: list[list[SlideDeletions]]

    def scores(self, number: int) -> Scores:
        """See `Tested`."""
        return self._scores(self.rows[number], np.stack(self.predicted[number]))

    def scores_without(self, number: int, split: int) -> ScoresWithout:
        """See `Tested`."""
        without = self.without[number][split]
        scores = self._scores(self.rows[number], without.predicted)
        return ScoresWithout(units=without.units, share=without.share, scores=scores)

    def _scores(self, rows: Int64, predicted: npt.NDArray[np.integer[Any]]) -> Scores:
        """Of (..., n) classes predicted for these rows."""
        return np.asarray(predicted == self.classes.codes[rows])

    def counted(self, counting: Counting) -> Counted:
        """The same predictions, of which something else counts."""
        return Counted(
            **{field.name: getattr(self, field.name) for field in fields(Predictions)}, counting=counting
        )


@dataclass(frozen=True, kw_only=True)
class Counting:
    """What a prediction counts, where it counts something else than whether it is right.

    Attributes
    ----------
    points : (cells, classes) float64, -1 to 1: of each predicted class for a patch of each cell.
    shares : (cells,) float64 with which the mean of each cell's patches counts in the sum.
    """

    points: Float64
    shares: Float64


@dataclass(frozen=True, kw_only=True)
class Counted(Predictions):
    """Predictions that score what they count."""

    counting: Counting

    def weights(self, rows: Int64) -> Float64:
        """See `Tested`; a mean over the rows of every cell."""
        _, cell, count = np.unique(self.cells[rows], return_inverse=True, return_counts=True)
        return np.asarray(self.counting.shares[self.cells[rows]] / count[cell])

    def _scores(self, rows: Int64, predicted: npt.NDArray[np.integer[Any]]) -> Scores:
        return np.asarray(self.counting.points[self.cells[rows], predicted])


@dataclass(frozen=True, kw_only=True)
class DropEffects:
    """A drop, or another value of the same kind, and what repetitions and slides add to it, to first order.

    Attributes
    ----------
    value : mean over repetitions.
    accuracies : (splits, R) weighted sums of the scores: balanced accuracies, unless something else counts.
    drops : (R,) of every repetition.
    test : (R, U) fall of the drop if a slide is left out of the test.
    training : (R, U) fall of the drop if a slide is left out of the training.
    through : (R, U, T) the part of `training` that comes through each test slide; None where test slides
        can train as well.
    tested : (T,) int64 the test slides.
    least_error : standard error that the value has at least: see `Tested.least_error`.
    """

    value: float
    accuracies: Float64
    drops: Float64
    test: Float64
    training: Float64
    through: Float64 | None
    tested: Int64
    least_error: float


def drop_effects(
    tested: Tested,
    chosen: Bool | None = None,
    *,
    factors: Float64 | None = None,
    counting: Counting | None = None,
    degradation: Degradation | None = None,
) -> DropEffects | None:
    """Effects on the drop in a domain, or in a group of its rows, or on a sum over the splits.

    In the domain the drop is the mean over repetitions of (mean accuracy of splits 1.. / accuracy of split
    0) - 1. In a group it is the ratio of the means over repetitions, since there an accuracy of 0 can occur.

    Parameters
    ----------
    tested : the test of the domain.
    chosen : (N,) bool, rows of the table that belong to the group; None for all.
    factors : (splits,) float64; the sum of the accuracies with these factors takes the place of the drop.
    counting : of predictions, takes the place of whether they are right.
    degradation : this takes the place of the drop.

    Returns
    -------
    The effects; None where fewer than two repetitions test the group, or where it has no accuracy at split 0;
    a degradation is None where that accuracy is not above chance.
    """
    if counting is not None:
        assert isinstance(tested, Predictions)  # noqa: S101 (scores of other kinds count as they are)
        tested = tested.counted(counting)
    of_repetition = []
    for number, rows in enumerate(tested.rows):
        here = np.ones(len(rows), dtype=bool) if chosen is None else chosen[rows]
        if here.any():
            of_repetition.append(_Repetition(tested, number, here))
    if len(of_repetition) < 2:
        return None
    accuracies = np.stack([one.scores @ one.weights for one in of_repetition])  # (R, splits)
    first, later = accuracies[:, 0], accuracies[:, 1:]
    scale = 1.0
    if degradation is not None:
        moved = degradation.drops_and_slopes(accuracies)
        if moved is None:
            return None
        drops, slopes = moved
        scale = float(slopes[0, 1:].sum())
    elif factors is not None:
        drops = accuracies @ factors
        slopes = np.tile(factors, (len(accuracies), 1))
    elif chosen is None:
        if (first == 0).any():
            return None
        drops = later.mean(axis=1) / first - 1
        slopes = slopes_of_ratio(-later.mean(axis=1) / first**2, first, later)
    else:
        if first.mean() == 0:
            return None
        ratio = float(later.mean() / first.mean())
        slopes = slopes_of_ratio(
            np.full(len(first), -ratio / first.mean()), np.full(len(first), first.mean()), later
        )
        drops = ratio - 1 + (slopes * accuracies).sum(axis=1)
    means = _means_of_cells(tested, of_repetition)
    units = len(tested.units.names)
    outside = np.unique(np.concatenate([one.units for one in of_repetition]))
    independent = not tested.trains[outside].any()
    test, training = np.zeros((len(first), units)), np.zeros((len(first), units))
    through = np.zeros((len(first), units, len(outside))) if independent else None
    for place, (one, slope) in enumerate(zip(of_repetition, slopes, strict=True)):
        deviation = (one.scores - means[:, one.cells]) * one.weights
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
        least_error=scale * tested.least_error(_weight_of_a_row(of_repetition, means.shape[1])),
    )


def slopes_of_ratio(of_first: Float64, first: Float64, later: Float64) -> Float64:
    """(R, splits) derivatives of the drop by the accuracies, from those by the accuracies at split 0."""
    of_later = 1 / (later.shape[1] * first)
    return np.column_stack([of_first, np.repeat(of_later[:, None], later.shape[1], axis=1)])


class _Repetition:
    """The test of one repetition, or a group of its rows.

    Attributes
    ----------
    scores : (splits, n) float64.
    weights : (n,) float64 of the scores.
    rows : (n,) int64 row numbers in the table.
    units, cells : (n,) int64 codes.
    """

    def __init__(self, tested: Tested, number: int, here: Bool) -> None:
        self.rows = rows = tested.rows[number][here]
        self._here, self._tested, self._number = here, tested, number
        self.scores = np.ascontiguousarray(tested.scores(number)[:, here], dtype=np.float64)
        self.weights = tested.weights(rows)
        self.units, self.cells = tested.units.codes[rows], tested.cells[rows]

    def fall_without(self, slope: Float64, units: int) -> Float64:
        """(U, n) by how much the drop falls through each row without each training slide."""
        effects = np.zeros((units, len(self.weights)))
        for split in np.flatnonzero(slope).tolist():
            without = self._tested.scores_without(self._number, split)
            fall = (self.scores[split] - without.scores[:, self._here]) * self.weights
            effects[without.units] += slope[split] * without.share[:, None] * fall
        return effects


def _weight_of_a_row(of_repetition: list[_Repetition], cells: int) -> Float64:
    """(cells,) weight of one row of each cell in the mean over all repetitions."""
    weight = sum(np.bincount(one.cells, one.weights, minlength=cells) for one in of_repetition)
    _, first = np.unique(np.concatenate([one.rows for one in of_repetition]), return_index=True)
    of_row = np.concatenate([one.cells for one in of_repetition])[first]
    count = np.bincount(of_row, minlength=cells)
    return np.asarray(weight / len(of_repetition) / np.maximum(count, 1))


def _means_of_cells(tested: Tested, of_repetition: list[_Repetition]) -> Float64:
    """(splits, cells) mean scores: means of slides over repetitions, weighted by rows."""
    splits, cells = len(of_repetition[0].scores), len(tested.centers.names) * len(tested.classes.names)
    units = len(tested.units.names)
    total, count, times = np.zeros((splits, units * cells)), np.zeros(units * cells), np.zeros(units * cells)
    for one in of_repetition:
        part = one.units * cells + one.cells
        rows = np.bincount(part, minlength=units * cells)
        some = rows > 0
        times += some
        count += rows
        for split, scores in enumerate(one.scores):
            total[split, some] += np.bincount(part, scores, minlength=units * cells)[some] / rows[some]
    mean = total / np.maximum(times, 1)
    mean_rows = count / np.maximum(times, 1)
    weight = mean_rows.reshape(units, cells)
    rows_of_cell = np.maximum(weight.sum(axis=0), 1e-30)
    return np.asarray((mean.reshape(splits, units, cells) * weight).sum(axis=1) / rows_of_cell)
