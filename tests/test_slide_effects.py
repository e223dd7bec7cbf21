"""What leaving out a slide does to a value, and how effects are pooled over cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_slides import DESIGN, paired_table
from sklearn.metrics import adjusted_rand_score

from pathorob_checks.metrics import robustness_index
from pathorob_checks.metrics.cluster_uncertainty import scores_without
from pathorob_checks.metrics.inputs import labels
from pathorob_checks.metrics.neighbor_lists import neighbor_lists
from pathorob_checks.metrics.rand_index import adjusted_rand, contingency
from pathorob_checks.metrics.slide_effects import counts_without_slides
from pathorob_checks.metrics.strata import Strata
from pathorob_checks.numerics.device import choose

Float32 = npt.NDArray[np.float32]


# --- leaving out a slide ------------------------------------------------------------------------------


def counts(x: Float32, table: pd.DataFrame, k: int, *, paired: bool) -> npt.NDArray[np.float64]:
    result = robustness_index(x, table, k=k, paired=paired)
    shares = result.neighborhoods
    return np.array([shares.so[-1], shares.os[-1]]) * len(table) * k


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("both_classes", [False, True])
@pytest.mark.parametrize("column", ["slide_id", "case_id"])
def test_counts_without_a_slide_or_case_are_those_of_the_cohort_without_it(
    paired: bool, both_classes: bool, column: str
) -> None:
    design = replace(DESIGN, centers=3 if paired else 2, both_classes=both_classes)
    whole = design.table()
    whole["case_id"] = whole.slide_id.str.replace("/3", "/0")  # the first and the last slide of a cell
    x = design.embeddings(whole, 3)
    table = paired_table(whole) if paired else whole.assign(row=whole.index)
    k, slides, units = 4, labels(table, "slide_id", "test"), labels(table, column, "test")
    parts = [np.flatnonzero(table.subset == name) for name in table.subset.unique()]
    rows = np.concatenate(parts)
    lists = neighbor_lists(x[table.row], parts, slides.codes, k + 20, choose("cpu"), None).rows
    same = [
        column.to_numpy()[lists] == column.to_numpy()[rows, None]
        for column in (table.biological_class, table.medical_center)
    ]
    so, os_ = same[0] & ~same[1], ~same[0] & same[1]
    one = np.zeros(len(rows), dtype=np.int64)
    changes = counts_without_slides(so, os_, units.codes[lists], units.codes[rows], one, 1, k)[:, 0]
    before = counts(x[table.row], table, k, paired=paired)
    for unit, name in enumerate(units.names):
        left = (table[column] != name).to_numpy()
        after = counts(x[table.row[left]], table[left], k, paired=paired)
        np.testing.assert_allclose(changes[unit], after - before, atol=1e-6)
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
    scores = scores_without(slides, classes, centers, clusterings)
    for column, without in ((classes, scores.class_without), (centers, scores.center_without)):
        expected = [
            np.mean([adjusted_rand_score(column[slides != s], c[slides != s]) for c in clusterings])
            for s in scores.units
        ]
        np.testing.assert_allclose(without, expected, atol=1e-12)
        assert len(set(without)) == 6


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_the_adjusted_rand_index_is_scikit_learns(rows: list[tuple[int, int]]) -> None:
    labels, clusters = np.array(rows).T
    ours = adjusted_rand(contingency(labels, clusters))
    assert ours == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-12)


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
