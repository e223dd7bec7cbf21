"""Margins between biology elsewhere and the own center: what they mean, and that another library agrees."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from croma import CRoMa
from golden_margins import PAIRED, TABLES, design, golden_part, manifest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import embed, patch_table, swapped

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import NeighborSearch, metric, robustness_index, robustness_margin
from pathorob_checks.metrics.margin_statistics import STATISTICS
from pathorob_checks.metrics.margins import RobustnessMargin
from pathorob_checks.metrics.sums_without_units import sums_without_units

Float32 = npt.NDArray[np.float32]
NAMES = ("croma_median", "croma_f0", "croma_ltm10")
examples = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 10_000)


# --- agreement with the library of the paper's authors ------------------------------------------------


@cache
def theirs_and_ours(table_name: str) -> tuple[CRoMa, RobustnessMargin]:
    x, table = golden_part(table_name)
    theirs = CRoMa.compute(
        x.astype(np.float64),
        manifest(table),
        confounder_column="center",
        evaluation_design=design(table_name),
    )
    return theirs, robustness_margin(x, table, paired=table_name == PAIRED, draws=0)


@pytest.mark.parametrize("table", TABLES)
def test_every_margin_agrees_with_croma(table: str) -> None:
    theirs, ours = theirs_and_ours(table)
    order = np.argsort(theirs.occurrence_source_indices, kind="stable")
    np.testing.assert_array_equal(theirs.occurrence_source_indices[order], np.sort(ours.queries))
    expected = theirs.sample_values[order]
    np.testing.assert_allclose(ours.margins[np.argsort(ours.queries)], expected, rtol=0, atol=1e-6)
    assert expected.std() > 0.05


@pytest.mark.parametrize("table", TABLES)
def test_the_share_below_zero_and_the_lower_tail_agree_with_croma(table: str) -> None:
    theirs, ours = theirs_and_ours(table)
    assert ours.f0 == pytest.approx(theirs.f0, abs=1e-6)
    assert ours.ltm10 == pytest.approx(theirs.ltm_alpha, abs=1e-6)


@pytest.mark.parametrize("table", TABLES)
def test_the_median_agrees_with_croma_and_in_the_paired_design_with_that_of_its_pooled_margins(
    table: str,
) -> None:
    """There croma takes the median of the subsets' medians."""
    theirs, ours = theirs_and_ours(table)
    assert ours.median == pytest.approx(float(np.median(theirs.sample_values)), abs=1e-6)
    if table != PAIRED:
        assert ours.median == pytest.approx(theirs.value, abs=1e-6)


# --- planted signals ----------------------------------------------------------------------------------

PATCHES = patch_table(slides=4, patches=6)


def values(x: Float32, patches: pd.DataFrame = PATCHES) -> list[float]:
    measured = robustness_margin(x, patches, draws=0).measurements()
    assert all(one.support for one in measured.values())
    return [measured[name].value for name in NAMES]


def test_pure_biology_has_margins_close_to_one_and_the_pure_center_close_to_minus_one() -> None:
    best = values(embed(PATCHES, biology=1, center=0, noise=0.01))
    worst = values(embed(PATCHES, biology=0, center=1, noise=0.01))
    assert min(best[0], best[2]) > 0.99
    assert max(worst[0], worst[2]) < -0.99
    assert (best[1], worst[1]) == (0, 1)


def test_without_either_signal_margins_are_balanced() -> None:
    patches = patch_table(slides=10, patches=10)
    median, below, _ = values(embed(patches, biology=0, center=0), patches)
    assert median == pytest.approx(metric("croma_median").neutral, abs=0.02)
    assert below == pytest.approx(metric("croma_f0").neutral, abs=0.06)


def test_a_tail_that_the_median_hides_is_seen() -> None:
    """One slide in eight is only its center."""
    x = embed(PATCHES, biology=1, center=0, noise=0.05)
    other = embed(PATCHES, biology=0, center=1, noise=0.05)
    lost = PATCHES.slide_id.isin(["Aachen/normal/0", "Bonn/tumor/0"]).to_numpy()
    for_all = robustness_margin(x, PATCHES, draws=0)
    hidden = robustness_margin(np.where(lost[:, None], other, x), PATCHES, draws=0)
    assert hidden.median == pytest.approx(for_all.median, abs=0.02)
    assert hidden.ltm10 < for_all.ltm10 - 0.5
    named = {slide.slide_id for slide in hidden.measured["croma_ltm10"].slides[:2]}
    assert named == {"Aachen/normal/0", "Bonn/tumor/0"}


# --- what must and must not change them ---------------------------------------------------------------


@examples
@given(seed=seeds)
def test_rows_names_factors_and_rotations_do_not_change_the_margins(seed: int) -> None:
    x = embed(PATCHES, biology=0.6, center=0.5, noise=0.3, seed=seed)
    rng = np.random.default_rng(seed)
    expected = values(x)
    assert -0.9 < expected[0] < 0.9
    order = rng.permutation(len(x))
    np.testing.assert_allclose(values(x[order], PATCHES.iloc[order]), expected, atol=1e-12)
    names = PATCHES.replace({"normal": "z", "Aachen": "y"})
    np.testing.assert_allclose(values(x, names), expected, atol=1e-12)
    factors = np.exp(rng.uniform(-5, 5, (len(x), 1)))
    np.testing.assert_allclose(values((x * factors).astype(np.float32)), expected, atol=2e-6)
    rotation = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    rotated = robustness_margin(x @ rotation, PATCHES, draws=0)
    np.testing.assert_allclose(rotated.margins, robustness_margin(x, PATCHES, draws=0).margins, atol=1e-5)


@examples
@given(seed=seeds)
def test_class_and_center_swapped_have_the_opposite_margins(seed: int) -> None:
    x = embed(PATCHES, biology=0.6, center=0.5, noise=0.3, seed=seed)
    ours, other = (robustness_margin(x, patches, draws=0).margins for patches in (PATCHES, swapped(PATCHES)))
    np.testing.assert_allclose(other, -ours, atol=1e-12)
    assert np.abs(ours).max() > 0.05


@examples
@given(seed=seeds)
def test_every_patch_twice_has_the_margins_of_twice_as_many_neighbors(seed: int) -> None:
    x = embed(PATCHES, biology=0.6, center=0.5, noise=0.3, seed=seed)
    twice = robustness_margin(
        np.repeat(x, 2, axis=0), PATCHES.loc[PATCHES.index.repeat(2)], m=6, draws=0
    ).margins
    once = robustness_margin(x, PATCHES, m=3, draws=0).margins
    np.testing.assert_allclose(twice, np.repeat(once, 2), atol=1e-12)


def test_patches_without_a_neighbor_of_a_type_have_no_margin_and_lower_the_support() -> None:
    """A class that is in one center only."""
    rare = PATCHES.copy()
    rare.loc[rare.slide_id.isin(["Aachen/normal/0", "Aachen/normal/1"]), "biological_class"] = "rare"
    result = robustness_margin(embed(PATCHES, biology=0.6, center=0.5), rare, draws=0)
    assert result.support == pytest.approx(1 - 12 / 96)
    np.testing.assert_array_equal(np.isnan(result.margins), (rare.biological_class == "rare").to_numpy())
    classes = {group.name for group in result.measured["croma_f0"].groups["biological_class"]}
    assert classes == {"normal", "tumor"}


def test_patches_at_distance_zero_have_no_margin() -> None:
    x = np.ones((len(PATCHES), 3), dtype=np.float32)
    with pytest.raises(MetricError, match="no patch has 5 neighbors at a distance"):
        robustness_margin(x, PATCHES)
    x[::6] = [[1, 2, 3]]  # each slide's first patch: two of 18 OS neighbors are equal to it
    result = robustness_margin(x, PATCHES, draws=0, m=7)
    assert 0 < result.support < 1


@pytest.mark.parametrize("m", [0, -1, True, 1.5, "5"])
def test_m_is_a_whole_number_of_one_or_more(m: object) -> None:
    with pytest.raises(MetricError, match="give a whole number of 1 or more"):
        robustness_margin(embed(PATCHES, biology=1, center=1), PATCHES, m=m)  # type: ignore[arg-type]


def test_a_shared_search_gives_the_same_margins_and_intervals() -> None:
    x, shared = embed(PATCHES, biology=0.6, center=0.5, noise=0.3), NeighborSearch(ahead=11)
    robustness_index(x, PATCHES, k=11, neighbors=shared)
    ours = robustness_margin(x, PATCHES, neighbors=shared).measurements()
    assert ours == robustness_margin(x, PATCHES).measurements()
    again = robustness_margin(x, PATCHES, m=3, neighbors=shared).measurements()
    assert again == robustness_margin(x, PATCHES, m=3).measurements()


def test_the_needs_of_a_table_are_known_before_anything_is_embedded() -> None:
    needs = metric("croma_median").needs
    assert needs is not None
    needs(PATCHES, {"m": 5}, interval=True)
    with pytest.raises(MetricError, match="no patch has 60 neighbors of its class in other centers"):
        needs(PATCHES, {"m": 60}, interval=False)
    one_each = patch_table(slides=1, patches=6)
    with pytest.raises(MetricError, match="2 are needed for an interval"):
        needs(one_each, {"m": 5}, interval=True)


# --- intervals and pictures ---------------------------------------------------------------------------


def test_the_sums_without_a_unit_are_those_of_lists_without_it() -> None:
    rng = np.random.default_rng(0)
    lists, units, k = rng.random((50, 12)), rng.integers(0, 5, (50, 12)), 4
    lengths = rng.integers(4, 13, 50)
    lists[np.arange(12) >= lengths[:, None]] = 0
    query, unit, changes = sums_without_units((lists,), units, lengths, k)
    seen = set()
    for q, u, change in zip(query, unit, changes[0], strict=True):
        length = lengths[q]
        left = [lists[q, n] for n in range(length) if units[q, n] != u]
        expected = lists[q, :k].sum()
        assert u in units[q, :k]
        if left:
            # A member beyond the place to which the list is read counts neither way.
            taken, others = 0, 0
            for n in range(length):
                taken += units[q, n] == u and others < k
                others += units[q, n] != u
            first = left[:k]
            if len(first) < k:
                first = [value * k / (length - taken) for value in left]
            assert change == pytest.approx(sum(first) - expected, abs=1e-12)
        else:
            assert change == 0
        seen.add((q, u))
    assert seen == {(q, u) for q in range(50) for u in units[q, : min(k, lengths[q])]}


@pytest.mark.parametrize("statistic", STATISTICS, ids=lambda one: one.metric)
def test_the_influence_predicts_what_a_few_more_patches_change(statistic: object) -> None:
    rng = np.random.default_rng(1)
    margins = np.clip(rng.normal(0.1, 0.2, 20_000), -1, 1)
    for level in (-0.3, 0.05, 0.4):
        more = np.full(200, level)
        influence = statistic.influence(margins)(more)[0]
        slope = statistic.slope(margins, 0.02) if statistic.slope else 1.0
        change = statistic.value(np.concatenate([margins, more])) - statistic.value(margins)
        assert change == pytest.approx(influence * slope * 200 / 20_200, rel=0.1)
        assert abs(change) > 5e-5


@pytest.mark.parametrize("name", NAMES)
def test_an_interval_encloses_the_value_and_is_wider_for_fewer_slides(name: str) -> None:
    width = {}
    for slides in (3, 24):
        patches = patch_table(slides=slides, patches=6)
        x = embed(patches, biology=0.6, center=0.5, noise=0.3)
        one = robustness_margin(x, patches).measured[name]
        assert one.interval is not None
        assert one.interval[0] < one.value < one.interval[1]
        assert len(one.groups["medical_center"]) == 2
        assert {group.interval is not None for group in one.groups["medical_center"]} == {True}
        width[slides] = one.interval[1] - one.interval[0]
    assert width[24] < 0.8 * width[3]


def test_an_interval_is_made_of_cases_where_they_are_known() -> None:
    x = embed(PATCHES, biology=0.6, center=0.5, noise=0.3)
    cases = PATCHES.assign(
        case_id=PATCHES.slide_id.str[:-1] + (PATCHES.slide_id.str[-1].astype(int) // 2).astype(str)
    )
    resampling = robustness_margin(x, cases).measured["croma_median"].resampling
    assert resampling is not None
    assert (resampling.noun, len(resampling.units)) == ("case", 8)


def test_a_share_of_zero_has_the_interval_of_as_many_trials_as_slides() -> None:
    one = robustness_margin(embed(PATCHES, biology=1, center=0, noise=0.01), PATCHES).measured["croma_f0"]
    assert one.value == 0
    assert one.interval == pytest.approx((0, 1 - 0.025 ** (1 / 16)))


def test_the_distribution_is_the_share_below_zero_at_zero_and_goes_from_none_to_all() -> None:
    result = robustness_margin(embed(PATCHES, biology=0.6, center=0.5, noise=0.3), PATCHES, draws=0)
    (curve,) = result.measured["croma_ltm10"].curves
    assert curve.at(0.0) == pytest.approx(result.f0, abs=1e-6)
    assert (curve.y[0], curve.y[-1]) == (pytest.approx(0, abs=0.05), 1)
    assert list(curve.y) == sorted(curve.y)
    worst = result.measured["croma_ltm10"].nearest[0]
    assert result.margins[worst.row] == np.nanmin(result.margins)
    other_class = PATCHES.biological_class[list(worst.neighbors)] != PATCHES.biological_class[worst.row]
    assert other_class.all()
