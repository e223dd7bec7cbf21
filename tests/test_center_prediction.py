"""Center prediction: chance without a center signal, 1 with a clear one, and nothing between by mistake."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import embed, patch_table
from planted_slides import Design, paired_table

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import center_prediction, difference, metric
from pathorob_checks.metrics.center_prediction_result import CenterPrediction
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.probe_tasks import Task, spread, tasks

PLANTED = Design(slides=6, patches=6, biology=1.5, center=0.8, slide=0.4)
# What changes nothing does so in any cohort: in a small one, whose values are at no end of the scale.
SMALL = replace(PLANTED, slides=3, patches=4)
FEW = settings(max_examples=3, deadline=None)
ALL = {"folds": 5, "patches": 1000, "most": 400}


def values(result: CenterPrediction) -> tuple[float, float]:
    return result.linear.value, result.knn.value


def of(design: Design, seed: int = 0) -> CenterPrediction:
    table = design.table()
    return center_prediction(design.embeddings(table, seed), table)


def tasks_of(table: pd.DataFrame, predicted: str = "medical_center", **changed: int) -> list[Task]:
    return tasks(read_labels(table, "m"), predicted, **(ALL | changed))  # type: ignore[arg-type]


# --- what the value says -------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_a_center_signal_both_probes_are_at_chance() -> None:
    measured = [values(of(replace(PLANTED, center=0.0), seed)) for seed in range(5)]
    assert np.mean(measured, axis=0) == pytest.approx([0.5, 0.5], abs=0.08)


def test_a_value_clearly_below_chance_is_no_sign_of_robustness() -> None:
    for name in ("center_prediction", "center_prediction_knn"):
        meaning = metric(name).meaning
        assert "26 % of the patches, less often than chance (50 %)" in meaning(0.264)
        assert "no sign of robustness" in meaning(0.264)
        assert all("50 %" in meaning(value) for value in (0.0, 0.48, 0.5, 0.52, 0.98))
        assert all("no sign" not in meaning(value) for value in (0.48, 0.5, 0.98))


def test_separate_centers_are_always_recognized() -> None:
    result = of(replace(PLANTED, center=8.0))
    assert values(result) == (1.0, 1.0)
    assert result.linear.interval is not None
    assert 0.5 < result.linear.interval[0] < result.linear.interval[1] == 1.0
    assert {group.value for groups in result.linear.groups.values() for group in groups} == {1.0}


def test_class_accuracy_stands_beside_that_of_the_center() -> None:
    result = of(replace(PLANTED, biology=8.0, center=0.0))
    assert (result.linear.class_accuracy, result.knn.class_accuracy) == (1.0, 1.0)
    beside, confusions = result.measurements()["center_prediction"].grids
    assert beside.values[0] == pytest.approx(values(result), abs=1e-6)
    assert beside.values[1] == (1.0, 1.0)
    assert confusions.values[0] == pytest.approx(
        (1 - confusions.values[0][1], confusions.values[0][1])  # type: ignore[operator]
    )


def test_embeddings_that_are_all_alike_give_chance() -> None:
    table = patch_table(slides=4, patches=3)
    assert center_prediction(np.ones((len(table), 4)), table).linear.value == 0.5


def test_classes_spread_unevenly_over_the_centers_do_not_give_the_center_away() -> None:
    """The class is plain to see and nearly tells the center; the center itself leaves no trace."""
    rows = [
        (f"{center}/{cls}/{slide}", center, cls)
        for center, cls in product("AB", "nt")
        for slide in range(14 if (center == "A") == (cls == "n") else 3)
        for _ in range(6)
    ]
    table = pd.DataFrame(rows, columns=["slide_id", "medical_center", "biological_class"])
    rng = np.random.default_rng(1)
    x = rng.normal(size=(len(table), 6))
    x[:, 0] += 8 * (table.biological_class == "t")
    read_off_the_class = (table.medical_center == "A") == (table.biological_class == "n")
    assert read_off_the_class.mean() > 0.8
    result = center_prediction(x, table)
    assert max(values(result)) < 0.62
    assert result.linear.class_accuracy == 1.0


@pytest.mark.slow
def test_patches_of_one_patient_do_not_recognize_each_other() -> None:
    """Slides of a case look alike and centers do not differ: known cases leave nothing to recognize."""
    design = replace(PLANTED, slides=12, slides_per_case=3, center=0.0, slide=0.0, case=3.0)
    table = design.table()
    by_slide, by_case = [], []
    for seed in range(3):
        x = design.embeddings(table, seed)
        by_case.append(center_prediction(x, table).knn.value)
        by_slide.append(center_prediction(x, table.drop(columns="case_id")).knn.value)
    assert np.mean(by_slide) > 0.95
    assert np.mean(by_case) < 0.7


def test_a_rare_center_is_no_more_overlooked_than_a_frequent_one() -> None:
    """Balanced training and votes: the recall of 4 slides is that of 24, as neither has a signal."""
    table = pd.concat(
        [patch_table(slides=24, patches=4, centers=("A",)), patch_table(slides=4, patches=4, centers=("B",))],
        ignore_index=True,
    )
    rng = np.random.default_rng(0)
    results = [center_prediction(rng.normal(size=(len(table), 4)), table) for _ in range(4)]
    assert 0.4 < np.mean([result.linear.value for result in results]) < 0.6
    rare = [result.knn.confusions.values[1][1] for result in results]
    assert 0.2 < np.mean(rare) < 0.8  # type: ignore[arg-type]


# --- what does not change it ---------------------------------------------------------------------------


@pytest.mark.slow
@FEW
@given(seed=st.integers(0, 99))
def test_other_names_of_the_centers_change_nothing(seed: int) -> None:
    table = SMALL.table()
    x = SMALL.embeddings(table, seed)
    swapped = table.assign(medical_center=table.medical_center.map({"center 0": "z", "center 1": "a"}))
    one, other = center_prediction(x, table), center_prediction(x, swapped)
    assert values(one) == pytest.approx(values(other), abs=0.01)
    assert one.knn.interval == pytest.approx(other.knn.interval, abs=0.01)


@FEW
@given(seed=st.integers(0, 99), factor=st.sampled_from([0.25, 1000.0, 2.0**-60]))
def test_a_positive_factor_changes_nothing(seed: int, factor: float) -> None:
    table = SMALL.table()
    x = SMALL.embeddings(table, seed)
    one, other = center_prediction(x, table), center_prediction(x * np.float32(factor), table)
    assert values(one) == pytest.approx(values(other), abs=0.01)


@pytest.mark.slow
@FEW
@given(seed=st.integers(0, 99))
def test_the_order_of_the_rows_changes_nothing(seed: int) -> None:
    table = SMALL.table()
    x = SMALL.embeddings(table, seed)
    order = np.random.default_rng(seed).permutation(len(table))
    one, other = center_prediction(x, table), center_prediction(x[order], table.iloc[order])
    assert other.knn.value == pytest.approx(one.knn.value)
    # Where a fit ends depends on rounding, and with it the strength that is chosen (docs/metrics.md).
    assert other.linear.value == pytest.approx(one.linear.value, abs=0.03)


@FEW
@given(seed=st.integers(0, 99), copies=st.integers(2, 3))
def test_copies_of_every_patch_leave_the_vote_of_as_many_times_the_neighbors(seed: int, copies: int) -> None:
    table = SMALL.table()
    x = SMALL.embeddings(table, seed)
    many = center_prediction(np.tile(x, (copies, 1)), pd.concat([table] * copies), neighbors=11 * copies)
    assert many.knn.value == pytest.approx(center_prediction(x, table).knn.value)


def test_the_embeddings_that_are_given_stay_as_they_are() -> None:
    table = PLANTED.table()
    x = PLANTED.embeddings(table, 0)
    before = x.copy()
    center_prediction(x, table)
    assert np.array_equal(x, before)


def test_a_patch_of_several_paired_subsets_counts_once() -> None:
    table = replace(SMALL, classes=3).table()
    x = replace(SMALL, classes=3).embeddings(table, 0)
    paired = paired_table(table)
    assert len(paired) == 2 * len(table)
    by_pairs, plain = center_prediction(x[paired.row], paired), center_prediction(x, table)
    assert by_pairs.rows == len(table)
    assert values(by_pairs) == pytest.approx(values(plain))


def test_out_of_domain_patches_are_not_read() -> None:
    table = replace(PLANTED, outside_slides=4).table()
    result = center_prediction(replace(PLANTED, outside_slides=4).embeddings(table, 0), table)
    assert (result.rows, result.left_out) == (144, 48)
    assert result.linear.confusions.rows == ("center 0", "center 1")


# --- tasks and folds -----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(3, 9), min_size=2, max_size=4),
    both=st.booleans(),
    seed=st.integers(0, 99),
)
def test_no_slide_trains_and_tests(counts: list[int], both: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        (f"{center}/{'' if both else cls}{slide}", f"c{center}", cls)
        for center, number in enumerate(counts)
        for cls in "nt"
        for slide in range(number)
        for _ in range(int(rng.integers(1, 5)))
    ]
    table = pd.DataFrame(rows, columns=["slide_id", "medical_center", "biological_class"])
    for task in (*tasks_of(table), *tasks_of(table, "biological_class")):
        assert 3 <= task.folds <= 5
        for fold in range(task.folds):
            parts = [
                task.training(fold),
                np.flatnonzero(task.fold == task.validation_fold(fold)),
                np.flatnonzero(task.fold == fold),
            ]
            slides = [set(task.units[part]) for part in parts]
            assert not slides[0] & slides[1]
            assert not slides[0] & slides[2]
            assert not slides[1] & slides[2]
            sides = np.bincount(task.side[parts[0]], minlength=2)
            assert sides[0] == sides[1] > 0


def test_every_two_centers_of_every_class_are_told_apart() -> None:
    table = patch_table(slides=3, patches=2, centers=("A", "B", "C", "D"))
    pairs = {task.cells for task in tasks_of(table)}
    assert pairs == {((a, cls), (b, cls)) for cls in (0, 1) for a in range(4) for b in range(a + 1, 4)}
    assert len(tasks_of(table, "biological_class")) == 4


def test_every_center_takes_part_in_a_sample_of_tasks() -> None:
    table = patch_table(slides=3, patches=1, centers=tuple("ABCDEFGHIJ"))
    some = tasks_of(table, most=20)
    taken = np.bincount([code for task in some for code, _ in task.cells])
    assert (len(tasks_of(table)), len(some), taken.tolist()) == (90, 20, [4] * 10)


def test_a_class_with_too_few_slides_in_a_center_is_no_task_and_lowers_the_support() -> None:
    table = patch_table(slides=4, patches=3)
    few = table[
        (table.medical_center != "Bonn")
        | (table.biological_class != "tumor")
        | (table.slide_id.str.endswith(("0", "1")))
    ].reset_index(drop=True)
    result = center_prediction(embed(few, biology=1, center=1), few)
    assert (result.pairs, result.rows, result.support) == (1, 42, 24 / 42)
    assert [group.name for group in result.linear.groups["biological_class"]] == ["normal"]


def test_of_many_patches_every_slide_gives_as_many() -> None:
    units: Int64 = np.repeat([0, 1, 2], [100, 3, 50])
    assert np.bincount(units[spread(units, 30)]).tolist() == [14, 3, 13]
    table = patch_table(slides=3, patches=40)
    result = center_prediction(embed(table, biology=1, center=1), table, most_patches=30)
    assert result.support == 0.25


@pytest.mark.parametrize(
    ("slides", "changed", "message"),
    [
        (2, {}, "no biological class has 3 slides in each of two medical centers; add slides"),
        (3, {"folds": 2}, "2 folds, 6000 patches and 400 tasks give no test; ask for at least 3 folds"),
        (3, {"neighbors": 0}, "0 neighbors have no vote; ask for at least 1"),
        (3, {"confidence": 1.0}, "confidence 1.0 gives no interval"),
    ],
)
def test_what_gives_no_test_is_refused(slides: int, changed: dict[str, int], message: str) -> None:
    table = patch_table(slides=slides, patches=2)
    with pytest.raises(MetricError, match=f"center_prediction: {message}"):
        center_prediction(embed(table, biology=1, center=1), table, **changed)  # type: ignore[arg-type]


def test_too_few_slides_are_known_before_anything_is_embedded() -> None:
    needs = metric("center_prediction").needs
    assert needs is not None
    chosen = metric("center_prediction").computation.settings
    needs(patch_table(slides=3, patches=1), chosen, interval=True)
    with pytest.raises(MetricError, match="no biological class has 3 slides"):
        needs(patch_table(slides=2, patches=1), chosen, interval=False)


# --- uncertainty ---------------------------------------------------------------------------------------


def test_what_slides_teach_the_neighbors_is_part_of_their_effects() -> None:
    """As test slides alone, those of a center x class have effects that add up to nothing."""
    resampling = of(PLANTED).knn.resampling
    of_cell = pd.Series(resampling.effects).groupby([cells[0] for cells in resampling.cells]).sum()
    assert of_cell.abs().max() > 1e-3


def test_what_slides_teach_the_regression_widens_their_effects() -> None:
    """Five folds, three of which train, multiply the variance by 1 + 5 / 3; 4 sides, 6 slides each."""
    linear = of(PLANTED).linear
    effects = dict(zip(linear.resampling.units, linear.resampling.effects, strict=True))
    recalls = {(cell.medical_center, cell.biological_class): cell.value for cell in linear.cells}
    assert linear.slides
    for slide in linear.slides:
        above = slide.value - recalls[slide.medical_center, slide.biological_class]
        assert effects[slide.slide_id] == pytest.approx((8 / 3) ** 0.5 * above / (4 * 6))


def test_a_better_fm_has_a_lower_value_with_a_paired_interval() -> None:
    table = PLANTED.table()
    x = PLANTED.embeddings(table, 3)
    marked = x.copy()
    marked[:, 5] += 4 * (table.medical_center == "center 1")
    change = difference(
        center_prediction(x, table).measurements()["center_prediction"],
        center_prediction(marked, table).measurements()["center_prediction"],
    )
    assert change.value < 0
    assert change.interval is not None
    assert change.interval[1] < 0


def test_the_slides_named_are_those_that_give_their_center_away() -> None:
    table = replace(PLANTED, center=0.0).table()
    x = replace(PLANTED, center=0.0).embeddings(table, 0)
    recognizable = table.slide_id.isin(["0/0/0", "0/0/1", "0/0/2", "1/0/0", "1/0/1", "1/0/2"]).to_numpy()
    x[:, 7] += 9 * recognizable * np.where(table.medical_center == "center 0", 1, -1)
    worst = {slide.slide_id for slide in center_prediction(x, table).linear.slides[:6]}
    assert len(worst & set(table.slide_id[recognizable])) >= 5
