"""Intervals of the robustness index: what must and must not change them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import embed, patch_table
from planted_slides import DESIGN, measured

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import clustering_score, robustness_index
from pathorob_checks.metrics.measurement import GroupValue, worst_group

Float32 = npt.NDArray[np.float32]
seeds = st.integers(0, 10_000)
examples = settings(max_examples=10, deadline=None)


# --- intervals ----------------------------------------------------------------------------------------


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
    assert "1 cell with a single slide cannot show how slides vary" in result.interval_note
    assert "single slide" not in measured(0)[2].interval_note


@pytest.mark.parametrize(("biology", "center"), [(1.0, 0.0), (0.0, 1.0)])
def test_an_index_at_an_end_has_the_interval_of_as_many_trials_as_slides(
    biology: float, center: float
) -> None:
    table = patch_table()
    result = robustness_index(embed(table, biology=biology, center=center), table, k=30)
    reach = 0.025 ** (1 / 16)
    assert result.interval == pytest.approx((reach, 1) if biology else (0, 1 - reach))
    assert "Clopper and Pearson" in result.interval_note


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
