"""Two probes of embeddings: a logistic regression, and the vote of the nearest neighbors.

Both answer for every patch whether it is put on its own side, and what the slides to learn from do to the
recalls: the neighbors by leaving out each slide, the logistic regression by how much more the recalls vary.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pathorob_checks.metrics.inputs import Float32, Int64
from pathorob_checks.metrics.neighbor_lists import unit_rows
from pathorob_checks.metrics.probe_tasks import Task
from pathorob_checks.metrics.slide_effects import spare_ranks
from pathorob_checks.numerics.logistic import best_classifiers
from pathorob_checks.numerics.neighbors import finish, nearest_neighbors

Float64 = npt.NDArray[np.float64]
_BLOCK = 4096  # rows


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a probe says of a task's patches.

    Attributes
    ----------
    right : (n,) float64, 1 where a patch is put on its own side, 0 where not, 0.5 where votes are equal.
    units : (U,) int64 codes of the units of the task.
    fall : (U, cells) float64, fall of the recall of each cell if the unit had not been there to learn from.
    variance_ratios : (cells,) variance of the recalls over what the tested units and `fall` show.
    """

    right: Float64
    units: Int64
    fall: Float64
    variance_ratios: Float64


def scaled(array: Float32) -> Float32:
    """(N, D) embeddings about their mean, with a mean squared length of 1.

    So neither an FM's scale nor its offset decides how strongly a given C regularizes.
    """
    blocks = [array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK)]
    mean = np.sum([block.sum(axis=0, dtype=np.float64) for block in blocks], axis=0) / len(array)
    square = sum(float(np.square(block - mean).sum()) for block in blocks) / len(array)
    length = square**0.5 or 1.0
    return np.concatenate([((block - mean) / length).astype(np.float32) for block in blocks])


Points = Sequence[tuple[torch.Tensor, Sequence[int]]]


def linear_answer(own: Points, task: Task) -> Answer:
    """A logistic regression for each fold, whose C the next fold chooses.

    Parameters
    ----------
    own : (n, D) float32 of the task's patches, scaled, and the folds that are tested by them.

    Notes
    -----
    Folds share training slides, so that their recalls vary together. With a share t of a cell's slides to
    test and r to train, the variance of the mean over F folds is 1 + F t / r times what the tested slides
    show (Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning 52, 239-281). To
    leave out slides one by one, by a step of Newton's method, overstates it several times: near the border
    many predictions change by chance.
    """
    from sklearn.exceptions import ConvergenceWarning

    right = np.zeros(len(task.rows))
    for points, those in own:
        folds = [fold for fold in those if fold < task.folds]
        training = [task.training(fold) for fold in folds]
        validation = [np.flatnonzero(task.fold == task.validation_fold(fold)) for fold in folds]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 100 iterations, as for the performance drop
            fitted = best_classifiers(points, task.side, training, validation)
        for fold, classifier in zip(folds, fitted, strict=True):
            test = np.flatnonzero(task.fold == fold)
            tested = points[torch.from_numpy(test).to(points.device)]
            right[test] = classifier.predict(tested) == task.side[test]
    units = np.unique(task.units)
    return Answer(
        right=right,
        units=units,
        fall=np.zeros((len(units), len(task.cells))),
        variance_ratios=1 + task.folds_of_cells / (task.folds_of_cells - 2),
    )


def neighbor_answer(
    array: Float32, task: Task, *, neighbors: int, device: torch.device, effects: bool
) -> Answer:
    """The vote of the nearest patches of other units, each weighed by how rare its side is, in one block.

    Parameters
    ----------
    array : (N, D) float32, raw: rows are L2-normalised here.
    neighbors : most neighbors that vote; fewer where the smaller side has fewer patches on other units.
    """
    counts = np.zeros((int(task.units.max()) + 1, 2), dtype=np.int64)
    np.add.at(counts, (task.units, task.side), 1)
    others = counts.sum(axis=0) - counts  # patches of either side outside of each unit
    k = min(neighbors, int(others[task.units].min()))
    largest = int(counts.sum(axis=1).max())
    length = min(len(task.rows) - largest, k + (spare_ranks(k, largest) if effects else 0))
    nearest = _nearest(unit_rows(array[task.rows]), task.units, length, device)
    weights = (1 / others[task.units]).astype(np.float64)
    right = _votes(task.side[nearest[:, :k]], task.side, weights)
    units = np.unique(task.units)
    fall = np.zeros((len(units), 2))
    for place, unit in enumerate(units if effects else ()):
        asking = np.flatnonzero((task.units[nearest[:, :k]] == unit).any(axis=1))
        if not asking.size:
            continue
        away = task.units[nearest[asking]] == unit
        staying = np.argsort(away, axis=1, kind="stable")[:, :k]  # the next ones move up
        lists = np.take_along_axis(nearest[asking], staying, axis=1)
        without = _votes(task.side[lists], task.side[asking], weights[asking])
        fall[place] = _by_side((right[asking] - without)[None], task.side[asking])[0]
    return Answer(right=right, units=units, fall=fall / np.bincount(task.side), variance_ratios=np.ones(2))


def work_on(
    points: Points, array: Float32, neighbors: int, tasks: Sequence[tuple[Task, bool]]
) -> Iterable[tuple[Answer, Answer]]:
    """The answers of both for each task and whether its effects are wanted, in order, as they are ready.

    Parameters
    ----------
    points : (N, D) float32 for the logistic regression, scaled, and the folds that are tested by them.
    array : (N, D) float32 for the neighbors.
    """
    device = points[0][0].device

    def answer(given: tuple[Task, bool]) -> tuple[Answer, Answer]:
        task, effects = given
        rows = torch.from_numpy(task.rows).to(device)
        return (
            linear_answer([(those[rows], folds) for those, folds in points], task),
            neighbor_answer(array, task, neighbors=neighbors, device=device, effects=effects),
        )

    return _spread(answer, tasks, device)


def linear_answers(
    arrays: Sequence[tuple[Float32, Sequence[int]]], tasks: Sequence[Task], device: torch.device
) -> Iterable[Answer]:
    """The answers of the logistic regression, in order, as they are ready.

    Embeddings are scaled by those of a task alone: what happens to other patches does not change its answer.

    Parameters
    ----------
    arrays : (N, D) float32, and the folds that are tested by them.
    """

    def answer(task: Task) -> Answer:
        own = [(torch.from_numpy(scaled(array[task.rows])).to(device), folds) for array, folds in arrays]
        return linear_answer(own, task)

    return _spread(answer, tasks, device)


def _spread(work: Callable[[Any], Any], tasks: Sequence[Any], device: torch.device) -> Iterable[Any]:
    from pathorob_checks.numerics import threads

    return (threads.spread if device.type == "cpu" else map)(work, tasks)


def _nearest(directions: Float32, units: Int64, k: int, device: torch.device) -> Int64:
    """(n, k) places of the nearest patches of other units, nearest first, for (n, D) rows of length 1."""
    return finish(nearest_neighbors(directions, units, k, device, alone=False)).rows


def _votes(lists: Int64, side: Int64, weights: Float64) -> Float64:
    """(n,) whether the weighted vote of (n, k) sides is for a patch's own side; 0.5 where it is even."""
    second = lists.sum(axis=1) * weights[:, 1]
    first = (lists.shape[1] - lists.sum(axis=1)) * weights[:, 0]
    ahead = np.where(side == 1, second - first, first - second)
    return np.where(np.abs(ahead) < 1e-12 * (first + second), 0.5, ahead > 0).astype(np.float64)


def _by_side(values: Float64, side: Int64) -> Float64:
    """(G, n) values of patches -> (G, 2) sums of either side."""
    return np.stack([values[:, side == one].sum(axis=1) for one in (0, 1)], axis=1)
