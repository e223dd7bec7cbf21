"""Logistic regression over a grid of regularisation strengths."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

REGULARISATION_GRID: tuple[float, ...] = tuple(float(c) for c in 10 ** np.linspace(-8, 4, 15))


def balanced_accuracy(truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]) -> float:
    """Mean recall over the classes that occur in `truth`."""
    correct = truth == predicted
    return float(np.mean([correct[truth == label].mean() for label in np.unique(truth)]))


def fit_best(
    training: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]],
    validation: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]],
) -> tuple[LogisticRegression, float]:
    """The classifier whose C is the first with the best validation balanced accuracy, and that C.

    Every fit has the defaults of scikit-learn's LogisticRegression (L-BFGS, 100 iterations, tolerance 1e-4)
    on the data as they are; stopping at 100 iterations is part of the protocol, hence no warning.
    """
    best: tuple[float, LogisticRegression, float] | None = None
    # One thread: these problems are small, and threads that wait for each other cost several times the work.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for c in REGULARISATION_GRID:
            model = LogisticRegression(C=c).fit(*training)
            accuracy = balanced_accuracy(validation[1], model.predict(validation[0]))
            if best is None or accuracy > best[0]:
                best = (accuracy, model, c)
    if best is None:
        raise ValueError("the grid of regularisation strengths is empty")
    return best[1], best[2]
