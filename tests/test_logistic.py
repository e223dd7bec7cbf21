"""Fits in lockstep are scikit-learn's logistic regressions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from scalar_line_search import LineSearch
from scipy.optimize import minimize as by_scipy
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from pathorob_checks.numerics import lbfgs, logistic
from pathorob_checks.numerics.line_search import DECREASE, FLATNESS, LineSearches
from pathorob_checks.numerics.logistic import REGULARIZATION_GRID, best_classifiers
from pathorob_checks.numerics.training_rows import GatheredSets, SharedBlocks, TrainingRows

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
ARRANGEMENTS = (SharedBlocks, GatheredSets)


def planted(count: int, dim: int, classes: int, seed: int, signal: float = 0.7) -> tuple[Float32, Int64]:
    rng = np.random.RandomState(seed)
    y = np.arange(count) % classes
    x = rng.standard_normal((count, dim)) + signal * rng.standard_normal((classes, dim))[y]
    return (x * np.arange(1, dim + 1) ** -0.3).astype(np.float32), y


def relative(ours: npt.NDArray[np.floating], expected: npt.NDArray[np.floating]) -> float:
    return float(np.linalg.norm(ours - expected) / np.linalg.norm(expected))


def fitted(x: npt.NDArray[np.floating], y: Int64, rows: Int64, c: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=c).fit(x[rows], y[rows])


@pytest.mark.skipif(
    Version(sklearn.__version__) < Version("1.9"), reason="fits of earlier versions end elsewhere"
)
@pytest.mark.parametrize(
    ("classes", "signal"),
    [
        (2, 0.05),
        (2, 0.4),
        (3, 0.05),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((3, 0.4), (6, 0.05), (6, 0.4))),
    ],
)
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_every_fit_of_the_grid_predicts_as_scikit_learns(
    classes: int, signal: float, arrangement: type[TrainingRows]
) -> None:
    # Enough test rows that a share of 0.005 is more than a single one of them.
    x, y = planted(4600, 80, classes, seed=classes, signal=signal)
    # Equally many of each class: else float32 ends scikit-learn's fits with the least C too early.
    training = [np.arange(300), np.arange(120, 570), np.arange(0, 600, 7)[: 84 // classes * classes]]
    fits, clear = logistic._in_lockstep(torch.from_numpy(x), y, training, arrangement), 0
    for rows, grid in zip(training, fits, strict=True):
        for place, c in enumerate(REGULARIZATION_GRID):
            ours, theirs = grid[place], fitted(x, y, rows, c)
            assert ours.c == c
            np.testing.assert_array_equal(ours.classes, theirs.classes_)
            differ = ours.predict(torch.from_numpy(x[600:])) != theirs.predict(x[600:])
            # A fit of scikit-learn that depends on the precision of its loss is not compared.
            if relative(theirs.coef_, fitted(x.astype(np.float64), y, rows, c).coef_) > 1e-4:
                continue
            clear += 1
            assert differ.mean() <= 0.005, c
            assert relative(ours.weights[:, :-1].numpy(), theirs.coef_) < 0.01, c
    assert clear > 30


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_the_first_best_c_on_the_validation_rows_is_chosen(arrangement: type[TrainingRows]) -> None:
    x, y = planted(800, 64, 3, seed=4, signal=0.2)
    training, validation = [np.arange(300), np.arange(100, 499)], [np.arange(500, 650), np.arange(650, 800)]
    for chosen, train, validate in zip(
        best_classifiers(torch.from_numpy(x), y, training, validation, arrangement=arrangement),
        training,
        validation,
        strict=True,
    ):
        accuracies = [
            balanced_accuracy_score(y[validate], fitted(x, y, train, c).predict(x[validate]))
            for c in REGULARIZATION_GRID
        ]
        assert len(set(accuracies)) > 2
        assert chosen.c == REGULARIZATION_GRID[int(np.argmax(accuracies))]


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_training_sets_may_lack_classes_that_others_have(arrangement: type[TrainingRows]) -> None:
    x, y = planted(600, 64, 4, seed=5)
    training = [np.arange(300), np.flatnonzero(y[:300] != 2), np.flatnonzero(np.isin(y[:300], [1, 3]))]
    validation = [np.arange(300, 450)] * 3
    chosen = best_classifiers(torch.from_numpy(x), y, training, validation, arrangement=arrangement)
    assert [c.classes.tolist() for c in chosen] == [[0, 1, 2, 3], [0, 1, 3], [1, 3]]
    assert [len(c.weights) for c in chosen] == [4, 3, 1]
    for classifier in chosen:
        assert set(classifier.predict(torch.from_numpy(x[450:]))) == set(classifier.classes.tolist())


@pytest.mark.parametrize("dim", [63, 64])
def test_few_dimensions_and_many_give_the_same_choice(dim: int) -> None:
    x, y = planted(700, 64, 2, seed=6)
    x = x[:, :dim]
    (chosen,) = best_classifiers(torch.from_numpy(x), y, [np.arange(400)], [np.arange(400, 550)])
    theirs = fitted(x, y, np.arange(400), chosen.c)
    assert (chosen.predict(torch.from_numpy(x[550:])) == theirs.predict(x[550:])).all()


# --- the optimizer ------------------------------------------------------------------------------------


class Functions:
    """Plain functions of a few parameters as problems of the optimizer."""

    def __init__(self, function: Callable[[Tensor], Tensor], starts: Tensor) -> None:
        self.function, self.x = function, starts.clone()
        self.result = starts.clone()
        self.numbers = torch.arange(len(starts))
        self.evaluations = 0

    @property
    def count(self) -> int:
        return len(self.x)

    def _gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        value = self.function(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    def begin(self) -> tuple[Float64, Tensor]:
        value, gradient = self._gradient(self.x)
        return value.numpy(), gradient

    def aim(self, directions: Tensor) -> None:
        self.d = directions

    def values(self, steps: Float64, which: Int64, *, exact: bool) -> tuple[Float64, Float64]:
        self.evaluations += 1
        rows = torch.from_numpy(which)
        d = self.d[rows]
        value, gradient = self._gradient(self.x[rows] + torch.from_numpy(steps)[:, None] * d)
        return value.numpy(), (gradient * d).sum(dim=1).numpy()

    def move(self, steps: Float64) -> Tensor:
        self.x = self.x + torch.from_numpy(steps)[:, None] * self.d
        return self._gradient(self.x)[1]

    def drop(self, ended: npt.NDArray[np.bool_], keep: npt.NDArray[np.bool_] | None) -> None:
        rows = torch.from_numpy(ended)
        self.result[self.numbers[rows]] = self.x[rows]
        if keep is not None:
            kept = torch.from_numpy(keep)
            self.x, self.numbers = self.x[kept], self.numbers[kept]


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(dim=1)


@pytest.mark.parametrize("factor", [1.0, 1e-3])  # first gradients longer and shorter than 1
def test_the_optimizer_follows_the_path_of_l_bfgs_b(factor: float) -> None:
    starts = torch.from_numpy(np.random.RandomState(0).uniform(-1.5, 1.5, (12, 8)))

    def function(x: Tensor) -> Tensor:
        return factor * rosenbrock(x)

    def at(x: Float64) -> tuple[Float64, Float64]:
        value, gradient = Functions(function, starts)._gradient(torch.from_numpy(x)[None])
        return value.numpy()[0], gradient.numpy()[0]

    for most in (1, 2, 5, 20):
        problems = Functions(function, starts)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lbfgs, "MAX_ITERATIONS", most)
            lbfgs.minimize(problems)
        for start, ours in zip(starts, problems.result, strict=True):
            theirs = by_scipy(
                at,
                start.numpy(),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": most, "maxls": 50, "gtol": 1e-4},
            )
            np.testing.assert_allclose(ours, theirs.x, rtol=1e-5, atol=1e-6)


def test_a_start_at_the_minimum_stays_there() -> None:
    problems = Functions(lambda x: x.square().sum(dim=1), torch.zeros((3, 4), dtype=torch.float64))
    lbfgs.minimize(problems)
    assert problems.evaluations == 0
    assert (problems.result == 0).all()


def test_a_function_without_a_minimum_ends() -> None:
    problems = Functions(lambda x: -x.sum(dim=1), torch.zeros((1, 2), dtype=torch.float64))
    lbfgs.minimize(problems)
    assert torch.isfinite(problems.result).all()


Line = tuple[list[float], float]  # coefficients, and the first step


def on_the_line(coefficients: list[float], t: float) -> tuple[float, float]:
    a, b, c, d, e = coefficients
    wave = a * math.sin(b * t)
    bowl = 0.05 * (t - c) ** 2 + abs(d) * math.sqrt(1 + (t - e) ** 2)
    slope = a * b * math.cos(b * t) + 0.1 * (t - c) + abs(d) * (t - e) / math.sqrt(1 + (t - e) ** 2)
    return wave + bowl, slope


lines = st.tuples(st.lists(st.floats(-3, 3), min_size=5, max_size=5), st.floats(1e-3, 1e3)).filter(
    lambda line: on_the_line(line[0], 0.0)[1] < -1e-3
)


def searched(
    starts: list[tuple[float, float, float]], at: Callable[[int, int, float], tuple[float, float]]
) -> list[tuple[list[float], bool]]:
    """Trials of every search along lines with (value, slope, first step), and whether it failed."""
    trials: list[list[float]] = [[] for _ in starts]
    failed = np.zeros(len(starts), dtype=bool)
    searches, which = LineSearches(*np.array(starts).T), np.arange(len(starts))
    while len(which):
        for line, step in zip(which, searches.step, strict=True):
            trials[line].append(float(step))
        points = [at(line, len(trials[line]), trials[line][-1]) for line in which]
        ended, without_end = searches.advance(*np.array(points).T)
        failed[which] = without_end
        which = which[~ended]
    return list(zip(trials, failed.tolist(), strict=True))


def searched_alone(
    start: tuple[float, float, float], at: Callable[[int, float], tuple[float, float]]
) -> tuple[list[float], bool]:
    search = LineSearch(*(np.float64(number) for number in start))
    trials = [float(search.step)]
    with np.errstate(all="ignore"):
        while not search.advance(*map(np.float64, at(len(trials), trials[-1]))):
            trials.append(float(search.step))
    return trials, bool(search.failed)


@settings(max_examples=200)
@given(lines)
def test_a_line_search_ends_with_enough_decrease_and_a_flat_slope(line: Line) -> None:
    coefficients, first = line
    value, slope = on_the_line(coefficients, 0.0)
    search = LineSearch(value, slope, first)
    trials = 1
    while not search.advance(*on_the_line(coefficients, search.step)):
        trials += 1
    assert trials <= 50
    assert not search.failed
    end, flat = on_the_line(coefficients, search.step)
    assert end <= value + DECREASE * search.step * slope + 1e-9
    # Without a flat slope it ends only if the interval is as small as its limit, as MINPACK's does.
    small = search._bracketed and search._high - search._low <= 0.1 * search._high
    assert abs(flat) <= FLATNESS * abs(slope) + 1e-9 or small


@settings(max_examples=200)
@given(st.lists(lines, min_size=1, max_size=5))
def test_line_searches_together_are_those_one_by_one(some: list[Line]) -> None:
    starts = [(*on_the_line(line, 0.0), first) for line, first in some]
    assert searched(starts, lambda line, _, step: on_the_line(some[line][0], step)) == [
        searched_alone(start, lambda _, step, line=line: on_the_line(line, step))
        for start, (line, _) in zip(starts, some, strict=True)
    ]


nasty = st.one_of(
    st.floats(-1e3, 1e3),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 1e-300, math.inf, -math.inf, math.nan]),
)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.tuples(st.floats(-10, 10), st.floats(-1e3, -1e-6), st.floats(1e-6, 1e6)),
            st.lists(st.tuples(nasty, nasty), min_size=50, max_size=50),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_line_searches_decide_alike_on_any_values(
    some: list[tuple[tuple[float, float, float], list[tuple[float, float]]]],
) -> None:
    # Values of no function at all: plateaus, overflows, what is not a number.
    starts = [start for start, _ in some]
    together = searched(starts, lambda line, trial, _: some[line][1][trial - 1])
    alone = [
        searched_alone(start, lambda trial, _, derivatives=derivatives: derivatives[trial - 1])
        for start, derivatives in some
    ]
    np.testing.assert_equal(together, alone)
