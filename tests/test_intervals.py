"""Intervals: made of what leaving out slides really does, and what must and must not change them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import drop_table, embed, patch_table
from planted_slides import Design, paired_table
from sklearn.metrics import adjusted_rand_score

from pathorob_checks.errors import CacheError, MetricError
from pathorob_checks.metrics import clustering_score, performance_drop, robustness_index
from pathorob_checks.metrics.cluster_halves import HALVES, halves
from pathorob_checks.metrics.cluster_uncertainty import slide_scores
from pathorob_checks.metrics.drop_uncertainty import drop_resampling
from pathorob_checks.metrics.ends import end_interval
from pathorob_checks.metrics.inputs import labels
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.measurement import GroupValue, Measurement, worst_group
from pathorob_checks.metrics.neighbor_lists import neighbor_lists
from pathorob_checks.metrics.neighborhoods import RobustnessIndex
from pathorob_checks.metrics.rand_index import adjusted_rand, contingency
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.slide_effects import counts_without_slides
from pathorob_checks.metrics.strata import Strata
from pathorob_checks.numerics.device import choose

Float32 = npt.NDArray[np.float32]
seeds = st.integers(0, 10_000)
examples = settings(max_examples=10, deadline=None)
Cohort = tuple[Float32, pd.DataFrame]
DESIGN = Design(slides=4, patches=5, biology=0.8, center=0.8, slide=0.6)


def measured(
    seed: int, design: Design = DESIGN, **options: float
) -> tuple[Float32, pd.DataFrame, RobustnessIndex]:
    """Embeddings whose index is not at an end of the scale, their patches, and the index."""
    table = DESIGN.table()
    x = DESIGN.embeddings(table, seed)
    result = robustness_index(x, table, k=5)
    assert 0 < result.value < 1
    assert result.interval is not None
    return x, table, result


# --- leaving out a slide ------------------------------------------------------------------------------


def counts(x: Float32, table: pd.DataFrame, k: int, *, paired: bool) -> npt.NDArray[np.float64]:
    result = robustness_index(x, table, k=k, paired=paired)
    shares = result.neighborhoods
    return np.array([shares.so[-1], shares.os[-1]]) * len(table) * k


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("both_classes", [False, True])
def test_counts_without_a_slide_are_those_of_the_cohort_without_it(paired: bool, both_classes: bool) -> None:
    design = replace(DESIGN, centers=3 if paired else 2, both_classes=both_classes)
    whole = design.table()
    x = design.embeddings(whole, 3)
    table = paired_table(whole) if paired else whole.assign(row=whole.index)
    k, slides = 4, labels(table, "slide_id", "test")
    parts = [np.flatnonzero(table.subset == name) for name in table.subset.unique()]
    rows = np.concatenate(parts)
    lists = neighbor_lists(x[table.row], parts, slides.codes, k + 10, choose("cpu"), None)
    same = [
        column.to_numpy()[lists] == column.to_numpy()[rows, None]
        for column in (table.biological_class, table.medical_center)
    ]
    so, os_ = same[0] & ~same[1], ~same[0] & same[1]
    one = np.zeros(len(rows), dtype=np.int64)
    changes = counts_without_slides(so, os_, slides.codes[lists], slides.codes[rows], one, 1, k)[:, 0]
    before = counts(x[table.row], table, k, paired=paired)
    for slide, name in enumerate(slides.names):
        left = (table.slide_id != name).to_numpy()
        after = counts(x[table.row[left]], table[left], k, paired=paired)
        np.testing.assert_allclose(changes[slide], after - before, atol=1e-6)
    assert (changes != 0).any(axis=1).all()


def test_a_list_that_runs_out_is_scaled_to_k() -> None:
    slides = np.array([[1, 1, 2, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    so = np.zeros((3, 4), dtype=bool)
    so[0, [0, 2]] = True
    nobody, start = np.zeros((3, 4), dtype=bool), np.zeros(3, dtype=np.int64)
    changes = counts_without_slides(so, nobody, slides, np.arange(3), start, 1, 3)
    # Without slide 0 its query goes, and 2 SO with it. Without slide 1 one neighbor is left, SO: 3 of 3.
    # Without slide 2 one SO goes, and the next in the list is none.
    np.testing.assert_array_equal(changes[:, 0, 0], [-2, 1, -1])


def test_ari_without_a_slide_is_that_of_the_other_patches() -> None:
    rng = np.random.default_rng(0)
    slides, classes, centers = (rng.integers(0, n, 60) for n in (6, 2, 2))
    clusterings = [rng.integers(0, 3, 60) for _ in range(2)]
    found = slide_scores(slides, classes, centers, clusterings)
    for column, without in ((classes, found.class_without), (centers, found.center_without)):
        expected = [
            np.mean([adjusted_rand_score(column[slides != s], c[slides != s]) for c in clusterings])
            for s in found.slides
        ]
        np.testing.assert_allclose(without, expected, atol=1e-12)
        assert len(set(without)) == 6


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_the_adjusted_rand_index_is_scikit_learns(rows: list[tuple[int, int]]) -> None:
    labels, clusters = np.array(rows).T
    found = adjusted_rand(contingency(labels, clusters))
    assert found == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-12)


def test_the_adjusted_rand_index_of_equal_partitions_is_one() -> None:
    assert adjusted_rand(np.array([[7, 0], [0, 5]])) == 1
    assert adjusted_rand(np.array([[12]])) == 1


# --- strata -------------------------------------------------------------------------------------------


def test_residuals_of_units_in_one_cell_each_are_deviations_from_their_mean() -> None:
    effects = np.array([1.0, 2.0, 6.0, 10.0, 14.0])
    strata = Strata((("a",), ("a",), ("a",), ("b",), ("b",)))
    expected = np.concatenate([np.array([-2, -1, 3]) * 1.5**0.5, np.array([-2, 2]) * 2**0.5])
    np.testing.assert_allclose(strata.residuals(effects), expected)
    np.testing.assert_array_equal(strata.freedom, [2, 1])


def test_units_of_several_cells_keep_what_their_cells_do_not_explain() -> None:
    cells = (("a",), ("a", "b"), ("b",), ("a", "b"), ("a",), ("b",))
    strata = Strata(cells)
    explained = np.array([1.0 * ("a" in those) + 5.0 * ("b" in those) for those in cells])
    np.testing.assert_allclose(strata.residuals(explained), 0, atol=1e-12)
    assert strata.freedom.tolist() == [4]
    assert np.abs(strata.residuals(explained + np.eye(6)[0])).max() > 0.5


def test_draws_spread_as_the_residuals_say() -> None:
    strata = Strata((("a",),) * 6 + (("b",),) * 9)
    residuals = strata.residuals(np.random.default_rng(1).standard_normal((15, 1)))
    drawn = strata.draw(residuals, 20_000, np.random.default_rng(2))[:, 0]
    # Draws with replacement from n have (n - 1) / n of the variance; the residuals make up for it.
    assert drawn.std() == pytest.approx(np.sqrt((residuals**2).sum()), rel=0.02)
    assert drawn.mean() == pytest.approx(0, abs=0.05)


# --- intervals of the robustness index ----------------------------------------------------------------


@examples
@given(seed=seeds)
def test_an_interval_holds_its_value_and_grows_with_the_confidence(seed: int) -> None:
    x, table, result = measured(seed)
    narrow, wide = (robustness_index(x, table, k=5, confidence=level).interval for level in (0.8, 0.99))
    assert narrow is not None
    assert result.interval is not None
    assert wide is not None
    assert 0 <= wide[0] < result.interval[0] < narrow[0] < result.value
    assert result.value < narrow[1] < result.interval[1] < wide[1] <= 1
    middle, outer = (ends[1] - ends[0] for ends in (result.interval, wide))
    assert narrow[1] - narrow[0] < 0.75 * middle < 0.75 * 0.9 * outer


@examples
@given(seed=seeds)
def test_order_and_names_do_not_change_the_interval(seed: int) -> None:
    x, table, result = measured(seed)
    order = np.random.default_rng(seed).permutation(len(x))
    renamed = table.replace({"class 0": "z", "center 0": "y"})
    names = table.slide_id.unique()
    numbers = np.random.default_rng(seed + 1).permutation(len(names))
    renamed["slide_id"] = table.slide_id.map(dict(zip(names, numbers, strict=True)))
    for other in (
        robustness_index(x[order], table.iloc[order], k=5),
        robustness_index(x, renamed, k=5),
    ):
        assert other.interval == pytest.approx(result.interval, abs=1e-9)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    x, table, result = measured(0)
    again, other = (robustness_index(x, table, k=5, seed=seed) for seed in (17845, 1))
    assert again.interval == result.interval
    assert other.interval != result.interval
    assert other.interval == pytest.approx(result.interval, abs=0.05)


def test_without_two_slides_in_a_cell_there_is_no_interval() -> None:
    table = patch_table(slides=1, patches=8)
    result = robustness_index(embed(table, biology=0.6, center=0.5, noise=0.4), table, k=5)
    assert 0 < result.value < 1
    assert (result.interval, result.interval_note) == (None, "")


def test_without_draws_there_are_the_same_values_and_no_intervals() -> None:
    x, table, whole = measured(0)
    bare = robustness_index(x, table, k=5, draws=0)
    assert (bare.value, bare.support, bare.slides, bare.cells) == (
        whole.value,
        whole.support,
        whole.slides,
        whole.cells,
    )
    np.testing.assert_array_equal(bare.by_k, whole.by_k)
    assert (bare.interval, bare.interval_note, bare.resampling) == (None, "", None)
    assert whole.interval is not None
    for kind, groups in whole.groups.items():
        values = [replace(group, interval=None, simultaneous=None) for group in groups]
        assert list(bare.groups[kind]) == values
    assert bare.measurement().interval is None


def test_cells_of_one_slide_are_said_to_add_no_spread() -> None:
    x, table, _ = measured(0)
    kept = ~table.slide_id.isin(["0/0/1", "0/0/2", "0/0/3"]).to_numpy()
    result = robustness_index(x[kept], table[kept], k=5)
    assert "1 of the center x class cells have one slide" in result.interval_note
    assert "have one slide" not in measured(0)[2].interval_note


@pytest.mark.parametrize(("biology", "center"), [(1.0, 0.0), (0.0, 1.0)])
def test_an_index_at_an_end_has_the_interval_of_as_many_trials_as_slides(
    biology: float, center: float
) -> None:
    table = patch_table()
    result = robustness_index(embed(table, biology=biology, center=center), table, k=30)
    reach = 0.025 ** (1 / 16)
    assert result.interval == pytest.approx((reach, 1) if biology else (0, 1 - reach))
    assert "Clopper-Pearson" in result.interval_note


@pytest.mark.parametrize(("confidence", "draws"), [(0.0, 2000), (1.0, 2000), (0.95, 10)])
def test_settings_that_give_no_interval_are_refused(confidence: float, draws: int) -> None:
    table = patch_table()
    x = embed(table, biology=0.6, center=0.5)
    with pytest.raises(MetricError, match="no interval"):
        robustness_index(x, table, k=3, confidence=confidence, draws=draws)
    with pytest.raises(MetricError, match="no interval"):
        clustering_score(x, table, confidence=confidence, draws=draws)


def test_many_slides_do_without_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    x, table, result = measured(0)
    monkeypatch.setattr("pathorob_checks.metrics.index_uncertainty._PAIRS", 0)
    wider = robustness_index(x, table, k=5).interval
    assert wider is not None
    assert result.interval is not None
    assert wider[0] < result.interval[0] < result.interval[1] < wider[1]


# --- what it is owed to -------------------------------------------------------------------------------


def test_groups_have_the_values_of_their_cells() -> None:
    _, _, result = measured(1)
    for column, groups in result.groups.items():
        assert len(groups) == 2
        assert groups[0].value <= groups[1].value
        for group in groups:
            cells = [cell for cell in result.cells if getattr(cell, column) == group.name]
            assert min(c.value for c in cells) <= group.value <= max(c.value for c in cells)
            assert group.rows == 40
            assert group.interval is not None
            assert group.simultaneous is not None
            assert group.simultaneous[0] < group.interval[0] < group.value
            assert group.value < group.interval[1] < group.simultaneous[1]


def test_the_share_of_neighbors_of_the_same_center_is_counted_per_cell() -> None:
    _, _, result = measured(1)
    shares = result.neighborhoods
    whole = shares.ss[-1] + shares.os[-1]
    assert np.mean([cell.same_center for cell in result.cells]) == pytest.approx(whole)
    assert 0 < whole < 1


def test_the_slide_that_lies_with_the_wrong_class_is_named_first() -> None:
    design = replace(DESIGN, biology=1.5, center=0.3, slide=0.3)
    table = design.table()
    x = design.embeddings(table, 0)
    wrong, other = ((table.slide_id == name).to_numpy() for name in ("1/0/2", "1/1/0"))
    x[wrong] = x[other] + 0.1
    worst = robustness_index(x, table, k=5).slides[0]
    assert (worst.slide_id, worst.medical_center, worst.biological_class) == ("1/0/2", "center 1", "class 0")
    assert worst.value < 0.3
    assert "share the medical center instead of the class" in worst.meaning


def group(name: str, value: float, half: float) -> GroupValue:
    return GroupValue(
        name=name,
        value=value,
        interval=(value - half, value + half),
        simultaneous=(value - 2 * half, value + 2 * half),
        support=None,
        rows=1,
    )


def test_the_worst_group_allows_for_having_been_chosen() -> None:
    groups = (group("A", 0.4, 0.01), group("B", 0.5, 0.15), group("C", 0.9, 0.1))
    worst = worst_group(groups)
    assert (worst.name, worst.value) == ("A", 0.4)
    # B could be lower than A: the lower end is B's. The upper end is A's, for three groups together.
    assert worst.interval == pytest.approx((0.35, 0.42))
    assert worst_group((groups[0], replace(groups[1], interval=None))).interval is None


# --- clustering and drops -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clustered() -> Cohort:
    design = replace(DESIGN, patches=10, biology=1.5, center=0.8)
    table = design.table()
    return design.embeddings(table, 0), table


def test_the_clustering_score_has_an_interval_over_slides_trials_and_halves(
    clustered: Cohort,
) -> None:
    x, table = clustered
    result = clustering_score(x, table, trials=3, clusters=[2, 3])
    assert result.interval is not None
    assert result.interval[0] < result.value < result.interval[1]
    assert result.resampling is not None
    kinds = [cells[0] for cells in result.resampling.cells]
    assert (kinds.count("trials"), kinds.count("halves"), len(kinds)) == (3, HALVES, 16 + 3 + HALVES)
    assert {name: len(groups) for name, groups in result.groups.items()} == {
        "medical_center": 2,
        "biological_class": 2,
    }
    assert result.slides
    assert result.slides[0].value < 0
    renamed = table.replace({"class 0": "a class", "center 0": "a center"})
    renamed["slide_id"] = table.slide_id.str[::-1]
    other = clustering_score(x, renamed, trials=3, clusters=[2, 3])
    assert other.interval == pytest.approx(result.interval, abs=1e-9)


def test_clusters_without_slides_have_a_value_and_no_interval(
    clustered: Cohort,
) -> None:
    x, table = clustered
    whole = clustering_score(x, table, trials=2, clusters=[2])
    bare = clustering_score(x, table.drop(columns="slide_id"), trials=2, clusters=[2])
    assert bare.value == whole.value
    assert (bare.interval, bare.interval_note, bare.resampling) == (None, "", None)


def test_unstable_clusters_are_said_to_be_unstable() -> None:
    design = Design(slides=4, patches=12, biology=2.2, center=2.2, slide=0.5)
    table = design.table()
    results = [
        clustering_score(design.embeddings(table, seed), table, trials=2, clusters=[2]) for seed in range(4)
    ]
    unstable = [result for result in results if "unstable" in result.interval_note]
    assert unstable
    for result in unstable:
        assert result.interval is not None
        assert result.interval[1] - result.interval[0] > 0.5
    stable = replace(design, center=0.5)
    calm = clustering_score(stable.embeddings(table, 0), table, trials=2, clusters=[2])
    assert "unstable" not in calm.interval_note
    assert "halves of the slides" in calm.interval_note


def test_perfect_clusters_have_the_interval_of_as_many_trials_as_slides() -> None:
    reach = (2 * 0.025 ** (1 / 16) - 1) ** 2
    assert end_interval("clustering_score", 1.0, 16, 0.95) == pytest.approx((reach, 1))
    assert end_interval("clustering_score", -1.0, 1, 0.95) == (-1.0, 0.0)


def test_halves_take_half_of_the_slides_of_every_cell() -> None:
    slides = np.repeat(np.arange(12), 2)
    cells = np.repeat([0] * 5 + [1] * 6 + [2], 2)
    masks = halves(slides, cells, seed=1)
    assert len(masks) == HALVES
    for early, late in zip(masks[::2], masks[1::2], strict=True):
        taken = [[len(set(slides[mask & (cells == cell)])) for cell in range(3)] for mask in (early, late)]
        assert taken == [[3, 3, 1], [2, 3, 1]]
        assert not (early & late)[cells < 2].any()
    assert len({mask.tobytes() for mask in masks}) > HALVES / 2
    for mask, same in zip(masks, halves(11 - slides, cells, seed=1), strict=True):
        np.testing.assert_array_equal(mask, same)


def test_constant_repetitions_have_an_interval_of_no_width() -> None:
    these = drop_resampling("performance_drop_id", np.full(5, -0.1), {})
    assert interval_of(these) == pytest.approx((-0.1, -0.1))


@pytest.fixture(scope="module")
def dropped() -> Cohort:
    table = drop_table()
    return embed(table, biology=0.4, center=1.2, noise=0.25), table


def test_the_only_center_outside_has_the_drop_of_the_accuracies_outside(
    dropped: Cohort,
) -> None:
    x, table = dropped
    result = performance_drop(x, table, repetitions=4)
    assert result.ood_accuracies is not None
    (cologne,) = result.ood_groups["medical_center"]
    expected = result.ood_accuracies[1:].mean() / result.ood_accuracies[0].mean() - 1
    assert cologne.name == "Cologne"
    assert cologne.value == pytest.approx(expected, abs=1e-12)
    assert cologne.interval is not None
    assert cologne.interval[0] < cologne.value < cologne.interval[1]
    assert cologne.rows == (table.subset == "OOD").sum()
    assert [g.name for g in result.id_groups["medical_center"]] in (["Aachen", "Bonn"], ["Bonn", "Aachen"])


def test_the_slides_that_lose_most_recall_are_named(dropped: Cohort) -> None:
    x, table = dropped
    for measurement in performance_drop(x, table, repetitions=4).measurements().values():
        losses = [slide.value for slide in measurement.slides]
        assert losses == sorted(losses)
        assert losses[0] < 0
        assert "recall goes from" in measurement.slides[0].meaning
        assert "same" not in measurement.interval_note
        assert "share its slides" in measurement.interval_note


# --- in files -----------------------------------------------------------------------------------------


def every_measurement(clustered: Cohort) -> list[Measurement]:
    table = drop_table()
    drops = performance_drop(embed(table, biology=0.4, center=1.2), table, repetitions=2)
    return [
        measured(0)[2].measurement(),
        clustering_score(*clustered, trials=2, clusters=[2]).measurement(),
        *drops.measurements().values(),
    ]


def test_what_an_interval_was_drawn_from_survives_a_file(clustered: Cohort) -> None:
    for measurement in every_measurement(clustered):
        these = measurement.resampling
        assert these is not None
        text = json.dumps(these.to_dict(), allow_nan=False)
        assert Resampling.from_dict(json.loads(text)) == these
        assert interval_of(these) == pytest.approx(measurement.interval)
        assert measurement.confidence == 0.95
        assert measurement.interval_note
        assert these.value == measurement.value


@pytest.mark.parametrize(
    "damage",
    [{"units": [["a"]]}, {"scale": "cubic"}, {"drawn": "patches"}, {"value": "much"}, {"cells": []}],
)
def test_damaged_files_are_refused(damage: dict[str, object]) -> None:
    content = measured(0)[2].resampling.to_dict()
    with pytest.raises(CacheError, match="cannot be read"):
        Resampling.from_dict({**content, **damage})
    with pytest.raises(CacheError, match="cannot be read"):
        Resampling.from_dict({})
