"""Logistic regressions over a grid of regularization strengths, on many training sets of the same points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import softplus

from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics.lbfgs import MEMORY, minimize
from pathorob_checks.numerics.training_rows import GatheredSets, SharedBlocks, TrainingRows, padded_width

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
REGULARIZATION_GRID: tuple[float, ...] = tuple(float(c) for c in 10 ** np.linspace(-8, 4, 15))
_FEW_DIMENSIONS = 64  # below that scikit-learn is as fast


@dataclass(frozen=True)
class Classifier:
    """A fitted logistic regression.

    Attributes
    ----------
    weights : (columns, D + 1) float32, the intercept last; one column for two classes, else one per class.
    classes : (K,) int64 codes, ascending.
    c : inverse regularisation strength.
    """

    weights: Tensor
    classes: Int64
    c: float

    def predict(self, points: Tensor) -> Int64:
        """(N,) int64 codes for (N, D) float32 points."""
        return np.asarray(_predicted(self.weights[None], self.classes, points)[0])


def _predicted(weights: Tensor, classes: Int64, points: Tensor) -> Int64:
    """(F, N) int64 codes for (N, D) points by each of the (F, columns, D + 1) weights, in one product."""
    rows = weights.flatten(0, 1)
    scores = (points @ rows[:, :-1].T + rows[:, -1]).view(len(points), *weights.shape[:2])
    best = scores[..., 0] > 0 if weights.shape[1] == 1 else scores.argmax(dim=2)
    return np.asarray(classes[best.T.cpu().numpy().astype(np.int64)])


@dataclass(frozen=True)
class _Grid:
    """The classifiers of a training set: (grid, columns, D + 1) weights in the order of the grid."""

    weights: Tensor
    classes: Int64

    def best(self, points: Tensor, truth: Int64) -> Classifier:
        """The first with the best balanced accuracy on (N, D) points of these classes."""
        accuracy = balanced_accuracies(truth, _predicted(self.weights, self.classes, points))
        return self[int(np.argmax(accuracy))]

    def __getitem__(self, place: int) -> Classifier:
        return Classifier(self.weights[place].clone(), self.classes, REGULARIZATION_GRID[place])


def balanced_accuracies(truth: Int64, predicted: Int64) -> Float64:
    """(F,) mean recall over the classes that occur in the (N,) `truth`, of (F, N) predictions."""
    correct = predicted == truth
    if len(truth) == 0:
        return np.zeros(len(predicted))
    recall = [correct[:, truth == label].mean(axis=1) for label in np.unique(truth)]
    return np.asarray(np.ascontiguousarray(np.stack(recall, axis=1)).mean(axis=1))


def arrangement_for(device: torch.device) -> type[TrainingRows]:
    """How the rows of training sets are arranged, for the fewest seconds on this device."""
    return GatheredSets if devices.is_gpu(device) else SharedBlocks


def best_classifiers(
    points: Tensor,
    codes: Int64,
    training: Sequence[Int64],
    validation: Sequence[Int64],
    *,
    arrangement: type[TrainingRows] | None = None,
) -> list[Classifier]:
    """For every training set the classifier whose C is the first with the best validation balanced accuracy.

    Every fit is that of scikit-learn's LogisticRegression (L-BFGS from zero, 100 iterations, tolerance
    1e-4) on unscaled data; stopping at 100 iterations is part of the protocol.

    Parameters
    ----------
    points : (N, D) float32.
    codes : (N,) class of every point.
    training, validation : row numbers of each set; sets may overlap.
    arrangement : of the training rows; None for that of the points' device. Fits differ in the rounding of
        sums only.
    """
    if points.shape[1] < _FEW_DIMENSIONS:
        grids: Iterable[_Grid] = _by_scikit_learn(points, codes, training)
    else:
        grids = _in_lockstep(points, codes, training, arrangement or arrangement_for(points.device))
    return [
        grid.best(points[torch.from_numpy(rows).to(points.device)], codes[rows])
        for grid, rows in zip(grids, validation, strict=True)
    ]


def _in_lockstep(
    points: Tensor, codes: Int64, training: Sequence[Int64], arrangement: type[TrainingRows]
) -> list[_Grid]:
    """The grid's classifiers of every training set; sets with the same classes are fitted together."""
    classes = [tuple(np.unique(codes[rows]).tolist()) for rows in training]
    fits: dict[int, _Grid] = {}
    for present in sorted(set(classes)):
        sets = [s for s, own in enumerate(classes) if own == present]
        rows = arrangement(points, codes, [training[s] for s in sets], np.array(present))
        problem = _Regressions(rows, [len(training[s]) for s in sets], points.shape[1], len(present))
        minimize(problem)
        of_sets = problem.weights.view(len(sets), -1, *problem.weights.shape[1:])
        for s, weights in zip(sets, of_sets, strict=True):
            fits[s] = _Grid(weights, np.array(present))
    return [fits[s] for s in range(len(training))]


def _by_scikit_learn(points: Tensor, codes: Int64, training: Sequence[Int64]) -> Iterator[_Grid]:
    """The same by scikit-learn, one fit after the other."""
    array = points.cpu().numpy()
    for rows in training:
        models = [LogisticRegression(C=c).fit(array[rows], codes[rows]) for c in REGULARIZATION_GRID]
        weights = np.stack([np.column_stack([model.coef_, model.intercept_]) for model in models])
        yield _Grid(torch.from_numpy(weights).to(points), models[0].classes_)


def memory(
    dimension: int, codes: Int64, training: Sequence[Int64], arrangement: type[TrainingRows] = SharedBlocks
) -> int:
    """Bytes that `best_classifiers` takes beside the points, at its peaks up to twice as many."""
    classes = len(np.unique(codes))
    fits = len(training) * len(REGULARIZATION_GRID) * (1 if classes == 2 else classes)
    rows, places = arrangement.size(training)
    return 4 * (rows * dimension + fits * (4 * places + 2 * (MEMORY + 4) * dimension))


class _Regressions:
    """All fits of all training sets with the same classes: mean log loss + |w|^2 / (2 C n).

    Attributes
    ----------
    weights : (fits, columns, D + 1) float32, the results; ordered by training set, then by C.
    """

    def __init__(self, rows: TrainingRows, sizes: Sequence[int], dimension: int, classes: int) -> None:
        device = rows.share.device
        self._rows = rows
        self._dimension = dimension
        self._columns = 1 if classes == 2 else classes
        self._binary = self._columns == 1
        grid = len(REGULARIZATION_GRID)
        self._sets = np.arange(len(sizes)).repeat(grid)  # of the fits that are not dropped
        rows.use(self._sets)
        strength = 1 / (np.tile(REGULARIZATION_GRID, len(sizes)) * np.repeat(sizes, grid))
        self._strength = torch.from_numpy(strength).to(device)
        self._fit = torch.arange(self.count, device=device)
        self._set = torch.from_numpy(self._sets).to(device)
        shape = (self.count, self._columns)
        self.weights = torch.zeros((*shape, dimension + 1), device=device)
        self._w = torch.zeros((*shape, padded_width(dimension)), device=device)
        self._z = torch.zeros((*shape, rows.places), device=device)
        self._dz = torch.zeros_like(self._z)

    @property
    def count(self) -> int:
        """The number of fits that are not dropped."""
        return len(self._sets)

    def begin(self) -> tuple[Float64, Tensor]:
        """See `Problems`."""
        every_fit = np.arange(self.count)
        self.aim(self._w.flatten(1))
        value, _ = self.values(np.zeros(self.count), every_fit, exact=True)
        return value, self.move(np.zeros(self.count))

    def aim(self, directions: Tensor) -> None:
        """See `Problems`."""
        self._d = directions.view(self._w.shape)
        self._rows.scores(self._d, self._dz)
        penalized = slice(0, self._dimension)
        w, d = self._w[..., penalized].flatten(1).double(), self._d[..., penalized].flatten(1).double()
        self._quadratic = torch.stack([w.square().sum(1), 2 * (w * d).sum(1), d.square().sum(1)], dim=1)
        self._quadratic *= self._strength[:, None] / 2

    def values(self, steps: Float64, which: Int64, *, exact: bool) -> tuple[Float64, Float64]:
        """See `Problems`."""
        fits = torch.from_numpy(which).to(self._set.device)
        t = torch.from_numpy(steps).to(self._set.device)
        every_fit = len(which) == self.count
        z, dz = (self._z, self._dz) if every_fit else (self._z[fits], self._dz[fits])
        loss, residual = self._losses(z + t.to(z)[:, None, None] * dz, self._rows.targets(fits))
        share = self._rows.share[self._set[fits]]
        value = (loss * share).sum(dim=1, dtype=torch.float64)
        if not exact:
            # scikit-learn's mean loss is a float32. With the least C its spacing ends a fit before the
            # intercept has moved, which decides the predictions of that classifier.
            value = value.float().double()
        slope = ((residual * dz).sum(dim=1) * share).sum(dim=1, dtype=torch.float64)
        a, b, c = self._quadratic[fits].unbind(dim=1)
        value += a + t * (b + t * c)
        slope += b + 2 * t * c
        value_and_slope = torch.stack([value, slope]).cpu().numpy()
        return value_and_slope[0], value_and_slope[1]

    def move(self, steps: Float64) -> Tensor:
        """See `Problems`."""
        t = torch.from_numpy(steps).to(self._w)[:, None, None]
        self._w += t * self._d
        self._z += t * self._dz
        every_fit = torch.arange(self.count, device=self._set.device)
        _, residual = self._losses(self._z, self._rows.targets(every_fit))
        residual *= self._rows.share[self._set][:, None]
        gradient = self._w * self._strength.to(self._w)[:, None, None]
        gradient[..., self._dimension :] = 0
        gradient += self._rows.sums(residual)
        return gradient.flatten(1)

    def drop(self, ended: Bool, keep: Bool | None) -> None:
        """See `Problems`."""
        if ended.any():
            rows = torch.from_numpy(np.flatnonzero(ended)).to(self._set.device)
            self.weights[self._fit[rows]] = self._w[rows, :, : self._dimension + 1]
        if keep is not None and keep.any():
            kept = torch.from_numpy(np.flatnonzero(keep)).to(self._set.device)
            for name in ("_fit", "_set", "_strength", "_w", "_z", "_dz"):
                setattr(self, name, getattr(self, name)[kept])
            self._sets = self._sets[keep]
            self._rows.use(self._sets)

    def _losses(self, z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """(A, n) losses of (A, columns, n) scores, and their derivatives by the scores."""
        if self._binary:
            return (softplus(z) - target * z)[:, 0], z.sigmoid() - target
        loss = z.logsumexp(dim=1) - (z * target).sum(dim=1)
        return loss, z.softmax(dim=1) - target
