"""Logistic regressions over a grid of regularization strengths, on many training sets of the same points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from pathorob_checks.numerics.lbfgs import MEMORY, minimize

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
REGULARIZATION_GRID: tuple[float, ...] = tuple(float(c) for c in 10 ** np.linspace(-8, 4, 15))
_FEW_DIMENSIONS = 64  # below that scikit-learn is as fast
_ALIGNMENT = 16  # row lengths are padded to a multiple of this, because other products are slower


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
        scores = points @ self.weights[:, :-1].T + self.weights[:, -1]
        best = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(dim=1)
        return np.asarray(self.classes[best.long().cpu().numpy()])


def balanced_accuracy(truth: Int64, predicted: Int64) -> float:
    """Mean recall over the classes that occur in `truth`."""
    correct = truth == predicted
    return float(np.mean([correct[truth == label].mean() for label in np.unique(truth)]))


def best_classifiers(
    points: Tensor, codes: Int64, training: Sequence[Int64], validation: Sequence[Int64]
) -> list[Classifier]:
    """For every training set the classifier whose C is the first with the best validation balanced accuracy.

    Every fit is that of scikit-learn's LogisticRegression (L-BFGS from zero, 100 iterations, tolerance
    1e-4) on unscaled data; stopping at 100 iterations is part of the protocol.

    Parameters
    ----------
    points : (N, D) float32.
    codes : (N,) class of every point.
    training, validation : row numbers of each set; sets may overlap.
    """
    fits = _by_scikit_learn if points.shape[1] < _FEW_DIMENSIONS else _in_lockstep
    best = []
    for candidates, rows in zip(fits(points, codes, training), validation, strict=True):
        held_out = points[torch.from_numpy(rows).to(points.device)]
        accuracies = [balanced_accuracy(codes[rows], candidate.predict(held_out)) for candidate in candidates]
        best.append(candidates[int(np.argmax(accuracies))])
    return best


def _in_lockstep(points: Tensor, codes: Int64, training: Sequence[Int64]) -> list[list[Classifier]]:
    """The grid's classifiers of every training set; sets with the same classes are fitted together."""
    classes = [tuple(np.unique(codes[rows]).tolist()) for rows in training]
    fits: dict[int, list[Classifier]] = {}
    for present in set(classes):
        sets = [s for s, own in enumerate(classes) if own == present]
        problem = _Regressions(points, codes, [training[s] for s in sets], np.array(present))
        minimize(problem)
        weights = iter(problem.weights)
        for s in sets:
            fits[s] = [Classifier(next(weights), np.array(present), c) for c in REGULARIZATION_GRID]
    return [fits[s] for s in range(len(training))]


def _by_scikit_learn(points: Tensor, codes: Int64, training: Sequence[Int64]) -> list[list[Classifier]]:
    """The same by scikit-learn, one fit after the other."""
    array, fits = points.cpu().numpy(), []
    for rows in training:
        models = [LogisticRegression(C=c).fit(array[rows], codes[rows]) for c in REGULARIZATION_GRID]
        fits.append([Classifier(_weights(model).to(points), model.classes_, model.C) for model in models])
    return fits


def _weights(model: LogisticRegression) -> Tensor:
    return torch.from_numpy(np.column_stack([model.coef_, model.intercept_]))


def memory(dimension: int, codes: Int64, training: Sequence[Int64]) -> int:
    """Bytes that `best_classifiers` takes beside the points."""
    classes = len(np.unique(codes))
    fits = len(training) * len(REGULARIZATION_GRID) * (1 if classes == 2 else classes)
    rows = len(np.unique(np.concatenate(training)))
    return 4 * (rows * (dimension + 4 * fits) + fits * dimension * 2 * (MEMORY + 4))


class _Regressions:
    """All fits of all training sets with the same classes: mean log loss + |w|^2 / (2 C n).

    The points are ordered in blocks that occur in the same training sets, so that one product serves every
    fit that needs the block.

    Attributes
    ----------
    weights : (fits, columns, D + 1) float32, the results; ordered by training set, then by C.
    """

    def __init__(self, points: Tensor, codes: Int64, training: Sequence[Int64], classes: Int64) -> None:
        device = points.device
        member = np.zeros((len(codes), len(training)), dtype=bool)
        for s, rows in enumerate(training):
            member[rows, s] = True
        used = np.flatnonzero(member.any(axis=1))
        kinds, kind = np.unique(member[used], axis=0, return_inverse=True)
        order = used[np.argsort(kind.ravel(), kind="stable")]
        ends = np.concatenate([[0], np.cumsum(np.bincount(kind.ravel()))])
        self._blocks = [(slice(a, b), torch.from_numpy(kinds[n])) for n, (a, b) in enumerate(pairwise(ends))]
        dimension = points.shape[1]
        width = -(-(dimension + 1) // _ALIGNMENT) * _ALIGNMENT
        self._x = torch.zeros((len(order), width), device=device)
        self._x[:, :dimension] = points[torch.from_numpy(order).to(device)]
        self._x[:, dimension] = 1
        self._dimension = dimension
        target = torch.from_numpy(np.searchsorted(classes, codes[order])).to(device)
        self._columns = 1 if len(classes) == 2 else len(classes)
        self._binary = self._columns == 1
        self._target = (target[None] if self._binary else one_hot(target, len(classes)).T).to(self._x)
        sizes = np.array([len(rows) for rows in training])
        grid = len(REGULARIZATION_GRID)
        self._share = torch.from_numpy(member[order].T / sizes[:, None]).to(self._x)
        self._set = torch.arange(len(training)).repeat_interleave(grid).to(device)
        strength = 1 / (np.tile(REGULARIZATION_GRID, len(training)) * np.repeat(sizes, grid))
        self._strength = torch.from_numpy(strength).to(device)
        self._fit = torch.arange(len(self._set), device=device)
        self.weights = torch.zeros((len(self._set), self._columns, dimension + 1), device=device)
        self._w = self._x.new_zeros((len(self._set), self._columns, width))
        self._z = self._x.new_zeros((len(self._set), self._columns, len(order)))
        self._dz = torch.zeros_like(self._z)

    @property
    def count(self) -> int:
        """The number of fits that are not dropped."""
        return len(self._fit)

    def begin(self) -> tuple[Float64, Tensor]:
        """See `Problems`."""
        every_fit = np.arange(self.count)
        self.aim(self._w.flatten(1))
        value, _ = self.values(np.zeros(self.count), every_fit, exact=True)
        return value, self.move(np.zeros(self.count))

    def aim(self, directions: Tensor) -> None:
        """See `Problems`."""
        self._d = directions.view(self._w.shape)
        for rows, sets in self._blocks:
            fits = sets.to(self._set.device)[self._set]
            block = self._x[rows]
            product = self._d[fits].flatten(0, 1) @ block.T
            self._dz[fits, :, rows] = product.view(-1, self._columns, len(block))
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
        loss, residual = self._losses(z + t.to(z)[:, None, None] * dz)
        share = self._share[self._set[fits]]
        value = (loss * share).sum(dim=1, dtype=torch.float64)
        if not exact:
            # scikit-learn's mean loss is a float32. With the least C its spacing ends a fit before the
            # intercept has moved, which decides the predictions of that classifier.
            value = value.float().double()
        slope = ((residual * dz).sum(dim=1) * share).sum(dim=1, dtype=torch.float64)
        a, b, c = self._quadratic[fits].unbind(dim=1)
        value += a + t * (b + t * c)
        slope += b + 2 * t * c
        return value.cpu().numpy(), slope.cpu().numpy()

    def move(self, steps: Float64) -> Tensor:
        """See `Problems`."""
        t = torch.from_numpy(steps).to(self._x)[:, None, None]
        self._w += t * self._d
        self._z += t * self._dz
        _, residual = self._losses(self._z)
        residual *= self._share[self._set][:, None]
        gradient = self._w * self._strength.to(self._x)[:, None, None]
        gradient[..., self._dimension :] = 0
        for rows, sets in self._blocks:
            fits = sets.to(self._set.device)[self._set]
            product = residual[fits, :, rows].flatten(0, 1) @ self._x[rows]
            gradient[fits] += product.view(-1, *gradient.shape[1:])
        return gradient.flatten(1)

    def drop(self, ended: npt.NDArray[np.bool_], keep: Tensor | None) -> None:
        """See `Problems`."""
        if ended.any():
            rows = torch.from_numpy(ended).to(self._set.device)
            self.weights[self._fit[rows]] = self._w[rows, :, : self._dimension + 1].float()
        if keep is not None:
            for name in ("_fit", "_set", "_strength", "_w", "_z", "_dz"):
                setattr(self, name, getattr(self, name)[keep])

    def _losses(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(A, n) losses of (A, columns, n) scores, and their derivatives by the scores."""
        if self._binary:
            return (softplus(z) - self._target * z)[:, 0], z.sigmoid() - self._target
        loss = z.logsumexp(dim=1) - (z * self._target).sum(dim=1)
        return loss, z.softmax(dim=1) - self._target
