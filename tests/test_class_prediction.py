"""Class prediction: chance without biology, however the centers look; what a repair destroys lowers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import Float32, embed, patch_table
from planted_slides import Design, paired_table

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import ClassPrediction, Difference, class_prediction, difference, metric
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.probe_tasks import Task, across_centers, tasks

PLANTED = Design(slides=6, patches=6, biology=1.5, center=0.8, slide=0.4)
CLEAR = replace(PLANTED, slides=10, biology=2.5)  # where rounding moves few patches over a border
FEW = settings(max_examples=5, deadline=None)
ACROSS, WITHIN = "class_prediction", "class_prediction_within"


def values(result: ClassPrediction) -> tuple[float, float]:
    assert result.across is not None
    return result.across.value, result.within.value


def of(design: Design, seed: int = 0) -> ClassPrediction:
    table = design.table()
    return class_prediction(design.embeddings(table, seed), table)


def tasks_of(table: pd.DataFrame, folds: int = 5) -> tuple[list[Task], list[Task]]:
    within = tasks(read_labels(table, "m"), "biological_class", folds=folds, patches=1000, most=400)
    return within, across_centers(within, folds)


def changes(table: pd.DataFrame, new: Float32, base: Float32) -> dict[str, Difference]:
    one, other = (class_prediction(x, table).measurements() for x in (new, base))
    return {name: difference(one[name], other[name]) for name in one}


def upper(change: Difference) -> float:
    assert change.interval is not None
    return change.interval[1]


def confounded_table(most: int = 18, least: int = 4, patches: int = 6) -> pd.DataFrame:
    """Class 'a' is mostly at center 0, class 'b' mostly at center 1."""
    rows = [
        (f"{center}/{cls}/{slide}", f"center {center}", cls)
        for center, cls in product((0, 1), "ab")
        for slide in range(most if (center == 0) == (cls == "a") else least)
        for _ in range(patches)
    ]
    return pd.DataFrame(rows, columns=["slide_id", "medical_center", "biological_class"])


def confounded(table: pd.DataFrame, *, biology: float, center: float, seed: int = 0) -> Float32:
    x = np.random.default_rng(seed).normal(size=(len(table), 8))
    x[:, 0] += biology * (table.biological_class == "b")
    x[:, 1] += center * (table.medical_center == "center 1")
    return x.astype(np.float32)


def at_the_common_mean(x: Float32, table: pd.DataFrame) -> Float32:
    """Each center's mean moved to that of all patches."""
    moved = x.astype(np.float64)
    for rows in table.groupby("medical_center").indices.values():
        moved[rows] += x.mean(axis=0) - x[rows].mean(axis=0)
    return moved.astype(np.float32)


# --- what the values say -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("center", [0.0, 8.0])
def test_without_biology_both_values_are_at_chance(center: float) -> None:
    measured = [values(of(replace(PLANTED, biology=0.0, center=center), seed)) for seed in range(5)]
    assert np.mean(measured, axis=0) == pytest.approx([0.5, 0.5], abs=0.08)


def test_separate_classes_are_always_told_apart() -> None:
    result = of(replace(PLANTED, biology=8.0, center=8.0, classes=3, centers=3))
    assert values(result) == (1.0, 1.0)
    assert (result.pairs, result.pairs_within) == (3, 9)
    for measured in result.measurements().values():
        assert measured.interval is not None
        assert 0.5 < measured.interval[0] < measured.interval[1] == 1.0
        assert {group.value for groups in measured.groups.values() for group in groups} == {1.0}


def test_classes_that_another_center_has_the_other_way_round_are_worst_across_centers() -> None:
    """In every center the class is plain to see, but no border suits both of them."""
    table = PLANTED.table()
    x = np.random.default_rng(0).normal(size=(len(table), 6))
    x[:, 0] += 8 * np.where(
        (table.biological_class == "class 1") == (table.medical_center == "center 1"), 1, -1
    )
    across, within = values(class_prediction(x, table))
    assert within == 1.0
    assert across < 0.6


def test_the_center_alone_gives_no_class_away_however_confounded_they_are() -> None:
    table = confounded_table()
    read_off_the_center = (table.medical_center == "center 0") == (table.biological_class == "a")
    assert read_off_the_center.mean() > 0.8
    measured = [
        values(class_prediction(confounded(table, biology=0, center=8, seed=seed), table))
        for seed in range(4)
    ]
    assert np.mean(measured, axis=0) == pytest.approx([0.5, 0.5], abs=0.08)


def test_embeddings_that_are_all_alike_give_chance() -> None:
    table = patch_table(slides=4, patches=3)
    assert values(class_prediction(np.ones((len(table), 4)), table)) == (0.5, 0.5)


def test_the_worst_comes_first() -> None:
    table = replace(PLANTED, classes=3).table()
    x = replace(PLANTED, classes=3, biology=6.0).embeddings(table, 0)
    mixed = table.biological_class.isin(["class 0", "class 1"]) & (table.medical_center == "center 1")
    x[mixed, :3] = x[mixed, :3].mean(axis=0)
    for measured in class_prediction(x, table).measurements().values():
        assert measured.groups["medical_center"][0].name == "center 1"
        assert measured.groups["biological_class"][-1].name == "class 2"
        worst = {(cell.medical_center, cell.biological_class) for cell in measured.cells[:2]}
        assert worst == {("center 1", "class 0"), ("center 1", "class 1")}
        assert {(slide.medical_center, slide.biological_class) for slide in measured.slides[:3]} <= worst


def test_the_confusions_are_those_of_classes() -> None:
    [grid] = of(PLANTED).within.grids
    assert grid.name == "decisions between two biological classes, linear probe"
    assert grid.rows == ("class 0", "class 1")
    assert grid.values[0] == pytest.approx((1 - grid.values[0][1], grid.values[0][1]))  # type: ignore[operator]


def test_the_meaning_says_where_the_probe_learned_and_what_chance_is() -> None:
    assert metric(ACROSS).meaning(0.93) == (
        "with all medical centers together in its training, a linear probe tells which of two biological "
        "classes a patch has for 93 % of the patches, on slides that it has not seen (chance: 50 %)"
    )
    for name in (ACROSS, WITHIN):
        assert metric(name).neutral == 0.5
        assert "does not tell two biological classes apart better than chance" in metric(name).meaning(0.5)
        assert metric(name).meaning(0.4).endswith("only 40 % of the patches, fewer than by chance (50 %)")


# --- what a repair does --------------------------------------------------------------------------------


def test_a_common_mean_of_all_centers_destroys_a_class_that_is_confounded_with_them() -> None:
    table = confounded_table()
    x = confounded(table, biology=4, center=2)
    changed_by_repair = changes(table, at_the_common_mean(x, table), x)
    assert changed_by_repair[ACROSS].value < -0.1
    assert upper(changed_by_repair[ACROSS]) < 0
    low, high = changed_by_repair[WITHIN].interval or (None, None)
    assert low <= 0 <= high  # type: ignore[operator]


def test_a_common_mean_of_balanced_centers_destroys_nothing() -> None:
    table = confounded_table(most=10, least=10)
    x = confounded(table, biology=2.5, center=2)
    change = changes(table, at_the_common_mean(x, table), x)[ACROSS]
    assert change.interval is not None
    assert change.interval[0] <= 0 <= change.interval[1]


def test_damaged_embeddings_have_lower_values() -> None:
    table = replace(PLANTED, slides=12).table()
    x = replace(PLANTED, slides=12).embeddings(table, 0)
    damaged = x + 2.5 * np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    changed_by_repair = changes(table, damaged, x)
    assert list(changed_by_repair) == [ACROSS, WITHIN]
    for change in changed_by_repair.values():
        assert upper(change) < 0


@pytest.mark.slow
@FEW
@given(
    seed=st.integers(0, 99),
    factors=st.lists(st.sampled_from([0.001, 0.5, 3.0, 1000.0]), min_size=2, max_size=2),
    offset=st.floats(-20, 20),
)
def test_shifting_and_scaling_a_center_changes_nothing_within_centers(
    seed: int, factors: list[float], offset: float
) -> None:
    table = CLEAR.table()
    x = CLEAR.embeddings(table, seed)
    place = table.medical_center.str[-1].astype(int).to_numpy()
    moved = x * np.array(factors)[place][:, None] + offset * place[:, None]
    change = changes(table, moved.astype(np.float32), x)[WITHIN]
    assert change.value == pytest.approx(0, abs=0.02)
    assert change.interval is not None
    assert change.interval[0] <= 0 <= change.interval[1]


# --- what does not change them -------------------------------------------------------------------------


def renamed(x: Float32, table: pd.DataFrame) -> tuple[Float32, pd.DataFrame]:
    return x, table.replace({"center 0": "z", "center 1": "a", "class 0": "y", "class 1": "b"})


def reordered(x: Float32, table: pd.DataFrame) -> tuple[Float32, pd.DataFrame]:
    order = np.random.default_rng(len(table)).permutation(len(table))
    return x[order], table.iloc[order]


def rotated(x: Float32, table: pd.DataFrame) -> tuple[Float32, pd.DataFrame]:
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((x.shape[1], x.shape[1])))[0]
    return (3 * x @ turn + 1).astype(np.float32), table


@pytest.mark.slow
@FEW
@given(seed=st.integers(0, 99))
@pytest.mark.parametrize("changed", [renamed, reordered, rotated])
def test_names_order_rotation_and_scale_change_nothing(
    changed: Callable[[Float32, pd.DataFrame], tuple[Float32, pd.DataFrame]], seed: int
) -> None:
    table = CLEAR.table()
    x = CLEAR.embeddings(table, seed)
    one, other = class_prediction(x, table), class_prediction(*changed(x, table))
    # Where a fit ends depends on rounding, and with it the strength that is chosen (docs/metrics.md).
    assert values(one) == pytest.approx(values(other), abs=0.02)


@pytest.mark.slow
def test_a_patch_of_several_paired_subsets_counts_once() -> None:
    table = replace(PLANTED, classes=3).table()
    x = replace(PLANTED, classes=3).embeddings(table, 0)
    paired = paired_table(table)
    by_pairs, plain = class_prediction(x[paired.row], paired), class_prediction(x, table)
    assert by_pairs.rows == len(table)
    assert values(by_pairs) == pytest.approx(values(plain))


def test_out_of_domain_patches_are_not_read() -> None:
    design = replace(PLANTED, outside_slides=4)
    result = of(design)
    assert (result.rows, result.left_out, result.within.support) == (144, 48, 1.0)


# --- tasks and folds -----------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    counts=st.lists(st.tuples(st.integers(3, 9), st.integers(3, 9)), min_size=2, max_size=4),
    shared=st.sampled_from(["none", "slides", "cases"]),
    folds=st.integers(3, 8),
    seed=st.integers(0, 99),
)
def test_every_center_trains_and_tests_and_no_slide_does_both(
    counts: list[tuple[int, int]], shared: str, folds: int, seed: int
) -> None:
    """Also where slides have both classes, or cases have slides in several centers."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(1000)  # in an order that has nothing to do with centers and classes
    rows = [
        (
            f"{names[100 * center + slide + 50 * (cls == 't' and shared != 'slides')]:03}",
            f"c{center}",
            cls,
            f"p{rng.integers(6 * len(counts)):02}",
        )
        for center, numbers in enumerate(counts)
        for cls, number in zip("nt", numbers, strict=True)
        for slide in range(number)
        for _ in range(int(rng.integers(1, 4)))
    ]
    table = pd.DataFrame(rows, columns=["slide_id", "medical_center", "biological_class", "case_id"])
    if shared == "cases":
        table["case_id"] = table.groupby("slide_id").case_id.transform("first")
    else:
        table = table.drop(columns="case_id")
    within, across = tasks_of(table, folds)
    if shared != "cases":
        assert len(across) == 1
        assert across[0].cells == tuple(cell for task in within for cell in task.cells)
    for task in across:
        places = range(len(task.cells))
        assert set(np.unique(task.part)) == set(places)
        assert (task.folds_of_cells >= 3).all()
        for fold in range(task.folds):
            parts = [
                task.training(fold),
                np.flatnonzero(task.fold == task.validation_fold(fold)),
                np.flatnonzero(task.fold == fold),
            ]
            units = [set(task.units[part]) for part in parts]
            assert not units[0] & units[1]
            assert not units[2] & (units[0] | units[1])
            trained = np.bincount(task.part[parts[0]], minlength=len(task.cells))
            assert (trained[::2] == trained[1::2]).all()
            assert (trained > 0).all()


def test_a_case_of_two_centers_counts_in_its_first_one_and_leaves_every_cell_its_folds() -> None:
    """In center 0 each third case has class 'a', and the same cases have the other class in center 1."""
    rows = [
        (f"{case}/{center}", f"c{center}", "a" if (case % 3 == 0) == (center == 0) else "b", f"p{case}")
        for case in range(9)
        for center in (0, 1)
    ]
    rows += [(f"{case}", "c1", "ab"[case % 2], f"q{case}") for case in range(6)]
    table = pd.DataFrame(rows, columns=["slide_id", "medical_center", "biological_class", "case_id"])
    [task] = tasks_of(table, folds=3)[1]
    assert len(task.rows) == len(table)
    assert task.folds_of_cells.tolist() == [3, 3, 3, 3]
    assert pd.Series(task.fold).groupby(task.units).nunique().max() == 1


def test_a_pair_of_one_center_only_has_a_value_within_it() -> None:
    table = patch_table(slides=4, patches=3)
    alone = table[(table.medical_center == "Aachen") | (table.biological_class == "normal")]
    alone = alone.reset_index(drop=True)
    result = class_prediction(embed(alone, biology=1, center=1), alone)
    assert result.across is None
    assert list(result.measurements()) == [WITHIN]
    assert (result.within.value, result.within.support) == (1.0, 24 / 36)
    chosen = metric(ACROSS).computation.settings
    metric(WITHIN).needs(alone, chosen, interval=True)  # type: ignore[misc]
    with pytest.raises(MetricError, match="no two medical centers with three slides of each of the same two"):
        metric(ACROSS).needs(alone, chosen, interval=True)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("slides", "changed", "message"),
    [
        (2, {}, "no medical center has 3 slides of each of two biological classes; add slides"),
        (3, {"folds": 2}, "2 folds, 6000 patches and 400 tasks give no test; ask for at least 3 folds"),
        (3, {"confidence": 1.0}, "confidence 1.0 gives no interval"),
    ],
)
def test_what_gives_no_test_is_refused(slides: int, changed: dict[str, int], message: str) -> None:
    table = patch_table(slides=slides, patches=2)
    with pytest.raises(MetricError, match=f"class_prediction: {message}"):
        class_prediction(embed(table, biology=1, center=1), table, **changed)  # type: ignore[arg-type]


def test_a_cell_of_few_slides_widens_the_effects_more() -> None:
    """Of 3 slides one trains at worst: 1 + 3 / 1 times the variance; of 5 or more 1 + 5 / 3 times."""
    table = confounded_table(most=9, least=3)
    [task] = tasks_of(table)[1]
    assert task.folds_of_cells.tolist() == [5, 3, 3, 5]


def test_the_slides_named_are_those_whose_class_is_not_recognized() -> None:
    table = PLANTED.table()
    x = replace(PLANTED, biology=6.0).embeddings(table, 0)
    wrong = ["0/0/0", "1/1/3"]
    there = table.slide_id.isin(wrong).to_numpy()
    x[there, 0], x[there, 1] = x[there, 1], x[there, 0].copy()
    for measured in class_prediction(x, table).measurements().values():
        assert {slide.slide_id for slide in measured.slides[:2]} == set(wrong)
        assert measured.slides[0].meaning.endswith("between its biological class and another are right")
