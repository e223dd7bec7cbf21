"""MaRI: the robustness index with near neighbors weighing more, equal to that of another library."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from croma import MaRI
from golden_margins import PAIRED, TABLES, design, golden_part, manifest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import embed, patch_table, swapped

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import NeighborSearch, margin_aware_index, metric, robustness_index

PATCHES = patch_table(slides=4, patches=6)
Float32 = npt.NDArray[np.float32]
seeds = st.integers(0, 10_000)
examples = settings(max_examples=15, deadline=None)


def mixed(seed: int = 0) -> Float32:
    return embed(PATCHES, biology=0.6, center=0.5, noise=0.3, seed=seed)


@pytest.mark.parametrize("table", TABLES)
def test_index_tau_and_support_agree_with_croma(table: str) -> None:
    x, patches = golden_part(table)
    theirs = MaRI.compute(
        x.astype(np.float64),
        manifest(patches),
        confounder_column="center",
        k_candidates=[11],
        evaluation_design=design(table),
    )
    ours = margin_aware_index(x, patches, k=11, paired=table == PAIRED, draws=0)
    assert ours.value == pytest.approx(theirs.value, abs=1e-6)
    assert ours.tau == pytest.approx(theirs.tau, abs=1e-6)
    assert ours.support == pytest.approx(theirs.support, abs=1e-12)
    index = robustness_index(x, patches, k=11, paired=table == PAIRED, draws=0)
    assert ours.value != pytest.approx(index.value, abs=1e-4)  # the weights make a difference


def test_pure_signals_are_at_the_ends_and_no_signal_is_balanced() -> None:
    best, worst = (
        margin_aware_index(embed(PATCHES, biology=one, center=1 - one), PATCHES, k=20) for one in (1, 0)
    )
    assert (best.value, worst.value) == (1, 0)
    assert best.interval == pytest.approx((0.025 ** (1 / 16), 1))
    patches = patch_table(slides=10, patches=10)
    neither = margin_aware_index(embed(patches, biology=0, center=0), patches, k=11)
    assert neither.value == pytest.approx(metric("mari").neutral, abs=0.05)
    assert neither.support > 0.9


@examples
@given(seed=seeds)
def test_the_value_is_that_of_its_effects_to_the_last_digit(seed: int) -> None:
    result = margin_aware_index(mixed(seed), PATCHES, k=11)
    assert result.resampling is not None
    assert result.value == result.resampling.value


@examples
@given(seed=seeds)
def test_rows_factors_and_rotations_do_not_change_it_and_swapped_labels_mirror_it(seed: int) -> None:
    x, rng = mixed(seed), np.random.default_rng(seed)
    value = margin_aware_index(x, PATCHES, k=9, draws=0).value
    assert 0.02 < value < 0.98
    order = rng.permutation(len(x))
    rotation = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    factors = np.exp(rng.uniform(-5, 5, (len(x), 1)))
    for other, patches in ((x[order], PATCHES.iloc[order]), (x @ rotation, PATCHES), (x * factors, PATCHES)):
        assert margin_aware_index(other, patches, k=9, draws=0).value == pytest.approx(value, abs=1e-4)
    mirrored = margin_aware_index(x, swapped(PATCHES), k=9, draws=0).value
    assert mirrored == pytest.approx(1 - value, abs=1e-6)


def test_where_all_informative_neighbors_are_equally_far_it_is_the_robustness_index() -> None:
    """At distance 0 there is no scale: tau is 0 and all weigh the same."""
    x = np.tile(np.array([[1, 2, 3]], dtype=np.float32), (len(PATCHES), 1))
    ours, index = margin_aware_index(x, PATCHES, k=30, draws=0), robustness_index(x, PATCHES, k=30, draws=0)
    assert ours.tau == 0
    assert ours.value == pytest.approx(index.value, abs=1e-12)
    assert 0 < index.value < 1


def test_the_interval_is_that_of_the_index_where_weights_differ_little() -> None:
    """All distances are about 1 in many dimensions."""
    x = np.random.default_rng(0).standard_normal((len(PATCHES), 6000)).astype(np.float32)
    ours, index = margin_aware_index(x, PATCHES, k=15), robustness_index(x, PATCHES, k=15)
    assert ours.interval is not None
    assert ours.value == pytest.approx(index.value, abs=0.005)
    assert ours.interval == pytest.approx(index.interval, abs=0.01)
    assert [group.name for group in ours.groups["medical_center"]]


def test_a_shared_search_gives_the_same_index() -> None:
    shared = NeighborSearch(ahead=11)
    robustness_index(mixed(), PATCHES, k=11, neighbors=shared)
    ours = margin_aware_index(mixed(), PATCHES, k=9, neighbors=shared)
    assert ours.measurements() == margin_aware_index(mixed(), PATCHES, k=9).measurements()


@pytest.mark.parametrize("k", [0, "best", 1.5, True])
def test_k_is_a_number_of_neighbors(k: object) -> None:
    with pytest.raises(MetricError, match="mari: k is"):
        margin_aware_index(mixed(), PATCHES, k=k)  # type: ignore[arg-type]
