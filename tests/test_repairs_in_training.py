"""Repairs inside metrics that train: fitted on the patches of each training set, and on no others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from planted import drop_table, embed
from planted_drops import DropDesign

from pathorob_checks.errors import MetricError
from pathorob_checks.methods.dann import Dann
from pathorob_checks.methods.repair import Repair
from pathorob_checks.methods.subspace import Subspace
from pathorob_checks.metrics import general_schedule, metrics, performance_drop, slide_prediction
from pathorob_checks.metrics.drop_result import PerformanceDrop
from pathorob_checks.metrics.repairing import FIXED
from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics import threads

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
TABLE = drop_table()
X = embed(TABLE, biology=0.3, center=1)
REPETITIONS = 2
MEASURED: dict[str, Callable[..., Any]] = {
    "performance_drop": performance_drop,
    "slide_prediction": slide_prediction,
}
measure = pytest.mark.parametrize("measured", MEASURED.values(), ids=MEASURED)


class Fitted:
    """A repair of the package with the labels of a table, and what it was fitted on."""

    def __init__(self, make: Callable[[], Repair], table: pd.DataFrame, *, see_all: bool = False) -> None:
        self._make, self._see_all = make, see_all
        self._centers, self._classes = (
            table[column].tolist() for column in ("medical_center", "biological_class")
        )
        self.fitted: list[Int64] = []

    def __call__(self, embeddings: Float32, training: Int64) -> Float32:
        self.fitted.append(training.copy())
        rows = range(len(embeddings)) if self._see_all else training.tolist()
        return (
            self._make()
            .fit(
                embeddings[rows],
                centers=[self._centers[row] for row in rows],
                classes=[self._classes[row] for row in rows],
            )
            .transform(embeddings, centers=self._centers)
        )


def dann() -> Dann:
    return Dann(hidden=8, steps=20)


def unchanged(embeddings: Float32, training: Int64) -> Float32:
    del training
    return embeddings


def same(one: PerformanceDrop, other: PerformanceDrop) -> bool:
    left, right = one.measurements(), other.measurements()
    return left.keys() == right.keys() and all(
        replace(left[name], interval_note="") == replace(right[name], interval_note="") for name in left
    )


# --- which metrics -------------------------------------------------------------------------------------


def test_a_computation_says_whether_its_function_takes_a_repair() -> None:
    computations = {one.computation.name: one.computation for one in metrics().values()}
    takes = {name for name, computation in computations.items() if computation.takes_repair}
    assert takes == {
        name
        for name, computation in computations.items()
        if "repair" in inspect.signature(computation.function).parameters
    }
    assert takes >= {"performance_drop", "slide_prediction"}


# --- a repair that changes nothing changes nothing --------------------------------------------------------


def test_a_repair_that_changes_nothing_leaves_every_drop_to_the_bit() -> None:
    plain = performance_drop(X, TABLE, repetitions=REPETITIONS)
    repaired = performance_drop(X, TABLE, repetitions=REPETITIONS, repair=unchanged)
    assert same(repaired, plain)
    np.testing.assert_array_equal(repaired.regularisation, plain.regularisation)
    assert not same(performance_drop(X, TABLE, repetitions=REPETITIONS, repair=Fitted(dann, TABLE)), plain)


def test_in_many_dimensions_only_sums_are_rounded_otherwise() -> None:
    """Splits are fitted one by one, those without a repair together."""
    design = DropDesign(centers=3, classes=3, home=8, away=4, dim=64, biology=2.0, patches=8, repetitions=2)
    x, table = design.embeddings(0), design.table
    plain, repaired = (performance_drop(x, table, repetitions=2, repair=one) for one in (None, unchanged))
    one_patch = 1 / min(len(draw.id_test) for draw in design.draws)
    assert np.mean(repaired.id_accuracies == plain.id_accuracies) >= 0.8
    np.testing.assert_allclose(repaired.id_accuracies, plain.id_accuracies, atol=1.01 * one_patch)


def test_a_repair_that_changes_nothing_leaves_slide_predictions_up_to_rounding() -> None:
    plain = slide_prediction(X, TABLE, repetitions=REPETITIONS)
    repaired = slide_prediction(X, TABLE, repetitions=REPETITIONS, repair=unchanged)
    np.testing.assert_allclose(repaired.inside.aucs, plain.inside.aucs, atol=1e-6)
    assert repaired.inside.interval == pytest.approx(plain.inside.interval, abs=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_threads_changes_nothing(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = performance_drop(X, TABLE, repetitions=REPETITIONS, repair=Fitted(dann, TABLE))
    monkeypatch.setattr(threads, "available", lambda: count)
    assert same(performance_drop(X, TABLE, repetitions=REPETITIONS, repair=Fitted(dann, TABLE)), expected)


def test_as_on_a_gpu_the_repair_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = performance_drop(X, TABLE, repetitions=REPETITIONS, repair=Fitted(Subspace, TABLE))
    monkeypatch.setattr(devices, "is_gpu", lambda device: True)
    measured = performance_drop(X, TABLE, repetitions=REPETITIONS, repair=Fitted(Subspace, TABLE))
    assert same(measured, expected)  # few dimensions: scikit-learn fits them on either


# --- what a repair sees -----------------------------------------------------------------------------------


@measure
def test_a_repair_sees_each_training_set_once_and_no_test_row(measured: Callable[..., Any]) -> None:
    repair = Fitted(Subspace, TABLE)
    measured(X, TABLE, repetitions=REPETITIONS, repair=repair)
    drawn = list(general_schedule(TABLE, repetitions=REPETITIONS).repetitions(TABLE, REPETITIONS))
    expected = [rows for draw in drawn for rows in draw.training]
    assert sorted(rows.tolist() for rows in repair.fitted) == sorted(rows.tolist() for rows in expected)
    for draw in drawn:
        tested = {*draw.id_test.tolist(), *draw.ood_test.tolist()}
        for training, validation in zip(draw.training, draw.validation, strict=True):
            (seen,) = {tuple(rows.tolist()) for rows in repair.fitted if np.array_equal(rows, training)}
            assert not tested & set(seen)
            assert not set(validation.tolist()) & set(seen)


@pytest.mark.slow
def test_rows_that_never_train_tell_a_repair_nothing() -> None:
    """Their classes and embeddings may change: the repair of the others stays, to the bit."""

    def inputs(table: pd.DataFrame, x: Float32, *, see_all: bool) -> list[Float32]:
        outputs = []
        repair = Fitted(dann, table, see_all=see_all)

        def kept(embeddings: Float32, training: Int64) -> Float32:
            outputs.append(repair(embeddings, training))
            return outputs[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threads, "available", lambda: 1)  # one after the other, in order
            performance_drop(x, TABLE, repetitions=REPETITIONS, repair=kept)
        return outputs

    draws = list(general_schedule(TABLE, repetitions=REPETITIONS).repetitions(TABLE, REPETITIONS))
    never = np.setdiff1d(np.arange(len(TABLE)), np.concatenate([rows for d in draws for rows in d.training]))
    assert len(never) > 20
    rng = np.random.default_rng(0)
    classes = TABLE.biological_class.to_numpy(copy=True)
    classes[never] = rng.permutation(classes[never])
    other_table = TABLE.assign(biological_class=classes)
    other_x = X.copy()
    other_x[never] = X[rng.permutation(never)]
    others = np.setdiff1d(np.arange(len(TABLE)), never)
    for see_all in (False, True):
        before, after = inputs(TABLE, X, see_all=see_all), inputs(other_table, other_x, see_all=see_all)
        assert len(before) == len(after) == len(draws) * len(draws[0].training)
        equal = [np.array_equal(one[others], other[others]) for one, other in zip(before, after, strict=True)]
        assert set(equal) == {not see_all}


@measure
def test_a_repair_cannot_change_the_embeddings(measured: Callable[..., Any]) -> None:
    def greedy(embeddings: Float32, training: Int64) -> Float32:
        embeddings -= embeddings[training].mean(axis=0)
        return embeddings

    with pytest.raises(ValueError, match="read-only"):
        measured(X, TABLE, repetitions=REPETITIONS, repair=greedy)


def broken(x: Float32) -> Float32:
    x = x.copy()
    x[3, 1] = np.nan
    return x


@measure
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda x: x[:-1], "the repair of 192 embeddings has the shape (191, 12)"),
        (lambda x: x[:, 0], "the repair of 192 embeddings has the shape (192,)"),
        (lambda x: x[:, :0], "the repair of 192 embeddings has the shape (192, 0)"),
        (broken, "the repair gives 1 embedding with NaN or infinity, the first in row 3"),
    ],
)
def test_what_a_repair_gives_is_checked(
    measured: Callable[..., Any], change: Callable[[Float32], Float32], problem: str
) -> None:
    with pytest.raises(MetricError) as error:
        measured(X, TABLE, repetitions=REPETITIONS, repair=lambda x, _: change(x))
    assert problem in error.value.problem


# --- what is said of it ------------------------------------------------------------------------------------


def test_the_notes_on_intervals_say_that_the_repair_counts_as_fixed() -> None:
    plain = performance_drop(X, TABLE, repetitions=REPETITIONS).measurements()
    repaired = performance_drop(X, TABLE, repetitions=REPETITIONS, repair=unchanged).measurements()
    for name, measurement in repaired.items():
        assert measurement.interval_note == f"{plain[name].interval_note} {FIXED}"
        assert "repair" not in measurement.protocol
    assert len(repaired) >= 5


def test_repetitions_are_reported_with_a_repair_as_without() -> None:
    shown: list[tuple[int, str]] = []

    def progress(items: Any, total: int, text: str) -> Any:
        shown.append((total, text))
        return items

    for repair in (None, unchanged):
        performance_drop(X, TABLE, repetitions=REPETITIONS, repair=repair, progress=progress)
    assert shown == [(REPETITIONS, "performance drop")] * 2
