"""A learned head as part of the probes: fitted for each fold on the slides of the others."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from planted import embed, patch_table

from pathorob_checks.errors import MetricError
from pathorob_checks.evaluation.repairing import Repairing
from pathorob_checks.methods.chain import chain_of
from pathorob_checks.methods.dann import Dann
from pathorob_checks.metrics import center_prediction, class_prediction
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.probe_heads import in_common_folds
from pathorob_checks.metrics.probe_tasks import Task, across_centers, tasks
from pathorob_checks.metrics.registry import metrics

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
TABLE = patch_table(slides=6, patches=6)
X = embed(TABLE, biology=0.6, center=1.2)


class Seen:
    """A head that gives the embeddings as they are, and keeps what it was fitted on."""

    def __init__(self) -> None:
        self.fitted: list[Int64] = []

    def __call__(self, embeddings: Float32, training: Int64) -> Float32:
        self.fitted.append(training.copy())
        return embeddings


def erase(embeddings: Float32, training: Int64) -> Float32:
    del training
    return np.ones((len(embeddings), 3), dtype=np.float32)


class Dann20(Dann):
    def __init__(self) -> None:
        super().__init__(steps=20)


class Dann200(Dann):
    def __init__(self) -> None:
        super().__init__(steps=200)


def dann(table: pd.DataFrame, kind: type[Dann] = Dann20, *, unlabeled: bool = False) -> Repairing:
    head = chain_of("leace+dann").head
    assert head == chain_of("dann")
    return Repairing(replace(head, repairs=(kind,)), table, unlabeled=unlabeled)


def test_a_computation_says_whether_its_function_takes_a_head() -> None:
    computations = {one.computation.name: one.computation for one in metrics().values()}
    takes = {name for name, computation in computations.items() if computation.takes_head}
    assert takes == {
        name
        for name, computation in computations.items()
        if "head" in inspect.signature(computation.function).parameters
    }
    assert takes >= {"class_prediction", "center_prediction"}


@pytest.mark.parametrize("function", [class_prediction, center_prediction])
def test_a_head_sees_each_fold_s_training_slides_once_and_no_tested_one(function) -> None:  # type: ignore[no-untyped-def]
    head = Seen()
    function(X, TABLE, head=head)
    slides = TABLE.slide_id.to_numpy()
    assert len(head.fitted) == 5
    tested = [set(slides) - set(slides[rows]) for rows in head.fitted]
    assert set.union(*tested) == set(slides)
    assert sum(map(len, tested)) == len(set(slides))


def test_what_a_head_erases_is_gone_from_the_probes() -> None:
    assert class_prediction(X, TABLE).within.value > 0.7
    assert class_prediction(X, TABLE, head=erase).within.value == 0.5
    centers = center_prediction(X, TABLE, head=erase)
    assert centers.linear.value == 0.5
    assert centers.knn == center_prediction(X, TABLE).knn


@pytest.mark.slow
def test_dann_keeps_the_class_and_hides_a_weak_center_in_part() -> None:
    """A head that misleads its own adversary does not mislead every probe: a strong center stays readable."""
    x = embed(TABLE, biology=0.6, center=0.2)
    head = dann(TABLE, Dann200)
    before, after = (center_prediction(x, TABLE, head=one).linear.value for one in (None, head))
    assert after < before - 0.05
    kept, classes = (class_prediction(x, TABLE, head=one).within.value for one in (None, head))
    assert classes > kept - 0.03


def test_labels_of_tested_slides_tell_a_head_nothing() -> None:
    """The classes of one fold's slides, permuted, change that fold's features in nothing."""
    kept = Seen()
    class_prediction(X, TABLE, head=kept)
    training = kept.fitted[0]
    tested = np.setdiff1d(np.arange(len(TABLE)), training)
    swapped = TABLE.copy()
    values = swapped.biological_class.to_numpy(dtype=object, copy=True)
    values[tested] = np.where(values[tested] == values[0], "other", values[0])
    swapped["biological_class"] = values
    np.testing.assert_array_equal(dann(TABLE)(X, training), dann(swapped)(X, training))


def test_out_of_domain_patches_are_seen_without_classes_if_allowed() -> None:
    outside = TABLE.assign(
        subset=np.where(TABLE.medical_center == TABLE.medical_center.iloc[-1], "OOD", "ID")
    )
    more = pd.concat(
        [
            TABLE.assign(subset="ID"),
            outside[outside.subset == "OOD"].assign(
                medical_center="Far", slide_id=lambda rows: rows.slide_id + "-far"
            ),
        ],
        ignore_index=True,
    )
    x = np.concatenate([X, X[(outside.subset == "OOD").to_numpy()] + 1])
    unseen = class_prediction(x, more, head=dann(more)).within.value
    assert unseen == class_prediction(X, TABLE, head=dann(TABLE)).within.value
    seen = dann(more, unlabeled=True)(x, np.arange(len(TABLE)))
    assert not np.array_equal(seen, dann(more)(x, np.arange(len(TABLE))))


def test_all_tasks_have_one_division_into_folds() -> None:
    read = read_labels(TABLE, "test").in_domain("test")
    within = tasks(read, "biological_class", folds=5, patches=100, most=100)
    groups = in_common_folds((within, across_centers(within, 5)), 5, "test")
    assert [len(group) for group in groups] == [len(within), 1]
    fold_of: dict[int, int] = {}
    for task in (task for group in groups for task in group):
        assert task.folds_of_cells.min() == 5
        for unit, fold in zip(task.units.tolist(), task.fold.tolist(), strict=True):
            assert fold_of.setdefault(unit, fold) == fold


def test_cases_of_several_centers_leave_every_cell_in_every_fold() -> None:
    """The first cases of each center are those of another one: their folds are given by that one."""
    cells = {(0, 0): range(6), (0, 1): range(6, 12), (1, 0): (0, 4, 12, 13, 14), (1, 1): (6, 10, 15, 16, 17)}
    within = [
        Task(
            cells=tuple(pair),
            rows=np.arange(sum(len(cells[cell]) for cell in pair)),
            part=np.repeat([0, 1], [len(cells[cell]) for cell in pair]),
            units=np.concatenate([np.array(cells[cell]) for cell in pair]),
            fold=np.zeros(sum(len(cells[cell]) for cell in pair), dtype=np.int64),
        )
        for pair in (((0, 0), (0, 1)), ((1, 0), (1, 1)))
    ]
    (both,) = in_common_folds((within,), 5, "test")
    assert [task.folds_of_cells.tolist() for task in both] == [[5, 5], [5, 5]]


def test_fewer_folds_keep_more_tasks() -> None:
    """Two cases of one fold in another center: with five folds its cell would be in four of them."""
    first, second = np.arange(12), np.array([0, 5, 12, 13, 14, 15, 16, 17, 18, 19])
    within = [
        Task(
            cells=((center, 0), (center, 1)),
            rows=np.arange(len(units)),
            part=np.repeat([0, 1], len(units) // 2),
            units=units,
            fold=np.zeros(len(units), dtype=np.int64),
        )
        for center, units in enumerate((first, second))
    ]
    (both,) = in_common_folds((within,), 5, "test")
    assert [task.folds_of_cells.tolist() for task in both] == [[4, 4], [4, 4]]


def test_slides_that_stand_everywhere_leave_no_folds() -> None:
    """Slides with patches of both classes: dealt by one class, those of the other may share a fold."""
    read = read_labels(TABLE, "test").in_domain("test")
    task = tasks(read, "biological_class", folds=5, patches=100, most=1)[0]
    with pytest.raises(MetricError, match="too few folds to train a head"):
        in_common_folds(([_of_two_units(task)],), 5, "test")


def _of_two_units(task):  # type: ignore[no-untyped-def]
    return replace(task, units=task.units % 2)
