"""What a fitted logistic regression would predict without a group of its training points: one Newton step.

To refit without each group would take many times as long as all fits. A step of Newton's method from the
fitted weights comes close to the refit (Pregibon 1981, for two classes) and needs only products. Its linear
systems are solved for many groups at the same time by conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics.logistic import Classifier

Int64 = npt.NDArray[np.int64]
_STEPS = 20
_BETWEEN_CHECKS = 4  # steps on a GPU, which waits at every check; a step of a solved system changes nothing
_TOLERANCE = 0.02  # of the residual, relative to the gradient, both divided by the curvature
_LEAST = 1e-30
_NUMBERS = 1 << 26  # of groups x columns x points that are worked on at a time


def predictions_without(
    points: Tensor,
    codes: Int64,
    training: Int64,
    classifier: Classifier,
    multiplicity: npt.NDArray[np.float32],
    tested: Int64,
) -> Int64:
    """Predicted classes of test points if the training points had counted another number of times.

    Parameters
    ----------
    points : (N, D) float32.
    codes : (N,) class of every point.
    training : (n,) row numbers that the classifier was fitted to.
    classifier : the fit in which every training point counts once.
    multiplicity : (G, n) float32, for each group that is left out how often each training point counts.
    tested : (m,) row numbers.

    Returns
    -------
    (G, m) int64 codes.
    """
    x, test = _with_intercept(points, training), _with_intercept(points, tested)
    place = torch.from_numpy(np.searchsorted(classifier.classes, codes[training])).to(points.device)
    columns = len(classifier.weights)
    targets = place[:, None] if columns == 1 else torch.nn.functional.one_hot(place, columns)
    at_once = max(1, _NUMBERS // (columns * len(training)))
    predicted = []
    for start in range(0, len(multiplicity), at_once):
        counts = torch.from_numpy(multiplicity[start : start + at_once]).to(points.device)
        scores = scores_without(x, targets.to(x), classifier.weights, classifier.c, counts, test)
        best = scores[:, 0] > 0 if columns == 1 else scores.argmax(dim=1)
        predicted.append(classifier.classes[best.long().cpu().numpy()])
    return np.concatenate(predicted)


def scores_without(
    training: Tensor, targets: Tensor, weights: Tensor, c: float, multiplicity: Tensor, tested: Tensor
) -> Tensor:
    """Scores of test points after one Newton step towards the fit with other counts of the training points.

    Parameters
    ----------
    training : (n, D + 1) float32 points, the last column 1.
    targets : (n, columns) float32, one column of 0 and 1 for two classes, else one per class.
    weights : (columns, D + 1) float32 of the fit in which every point counts once.
    c : inverse regularization strength of the fit.
    multiplicity : (G, n) float32.
    tested : (m, D + 1) float32 points, the last column 1.

    Returns
    -------
    (G, columns, m) float32.

    Notes
    -----
    The loss of point i in class y is -log p_iy; its gradient by the scores is p_i - e_y and its Hessian
    diag(p_i) - p_i p_i^T (p(1 - p) with one column). The step is -H^-1 g, H with the new counts. A fit may
    have been stopped before its gradient was zero, so g is only what the new counts add to it.
    """
    scores = training @ weights.T
    probability = scores.sigmoid() if scores.shape[1] == 1 else scores.softmax(dim=1)
    change = ((multiplicity - 1)[:, :, None] * (probability - targets)).transpose(1, 2)
    gradient = _into_weights(change, training)
    strength = torch.full_like(weights[0], 1 / c)
    strength[-1] = 0

    def hessian(direction: Tensor) -> Tensor:
        z = (direction.flatten(0, 1) @ training.T).view(*direction.shape[:2], -1).transpose(1, 2)
        if z.shape[2] == 1:
            curved = probability * (1 - probability) * z
        else:
            curved = probability * (z - (probability * z).sum(dim=2, keepdim=True))
        curved *= multiplicity[:, :, None]
        return _into_weights(curved.transpose(1, 2), training) + strength * direction

    diagonal = (probability * (1 - probability)).T @ training.square() + strength
    step = _conjugate_gradients(hessian, gradient, diagonal.clamp_min(_LEAST))
    return ((weights - step).flatten(0, 1) @ tested.T).view(len(step), len(weights), -1)


def _with_intercept(points: Tensor, rows: Int64) -> Tensor:
    taken = points[torch.from_numpy(rows).to(points.device)]
    return torch.cat([taken, taken.new_ones(len(taken), 1)], dim=1)


def _into_weights(of_points: Tensor, training: Tensor) -> Tensor:
    """(G, columns, n) values of points -> (G, columns, D + 1)."""
    return (of_points.flatten(0, 1) @ training).view(*of_points.shape[:2], -1)


def _conjugate_gradients(matrix: Callable[[Tensor], Tensor], right: Tensor, diagonal: Tensor) -> Tensor:
    """Solutions of a linear system for each of the first axis, preconditioned with its diagonal."""
    solution, residual = torch.zeros_like(right), right.clone()
    direction = residual / diagonal
    square = (residual * direction).sum(dim=(1, 2))
    enough = _TOLERANCE**2 * square
    between = _BETWEEN_CHECKS if devices.is_gpu(right.device) else 1
    for step in range(_STEPS):
        working = square > enough
        if step % between == 0 and not bool(working.any()):
            break
        product = matrix(direction)
        curvature = (direction * product).sum(dim=(1, 2))
        length = torch.where(working, square / curvature.clamp_min(_LEAST), 0)[:, None, None]
        solution += length * direction
        residual -= length * product
        scaled = residual / diagonal
        before, square = square, torch.where(working, (residual * scaled).sum(dim=(1, 2)), square)
        direction = scaled + (square / before.clamp_min(_LEAST))[:, None, None] * direction
    return solution
