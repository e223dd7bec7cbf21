"""Blocked nearest neighbors are those that sorting all distances gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import normalize

from pathorob_checks.metrics import neighbor_lists
from pathorob_checks.numerics import candidates, neighbors, screens
from pathorob_checks.numerics.screens import Float32Screen, Int8Screen, Screen

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
CPU = torch.device("cpu")


def nearest(points: Float32, groups: Int64, k: int) -> Int64:
    return neighbors.finish(neighbors.nearest_neighbors(points, groups, k, CPU)).rows


def by_sorting(points: Float32, groups: Int64, k: int) -> Int64:
    x = points.astype(np.float64)
    rows = []
    for query, group in zip(x, groups, strict=True):
        distance = ((x - query) ** 2).sum(axis=1)
        distance[groups == group] = np.inf
        rows.append(np.argsort(distance, kind="stable")[:k])
    return np.array(rows)


def unit(count: int, dim: int, seed: int) -> Float32:
    x = np.random.RandomState(seed).standard_normal((count, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(12, 120),
    block=st.integers(5, 60),
    by_int8=st.booleans(),
)
def test_neighbors_depend_neither_on_blocks_nor_on_the_screen(
    seed: int, count: int, block: int, by_int8: bool
) -> None:
    points, groups = unit(count, 8, seed), np.random.RandomState(seed).randint(0, 6, count)
    most = count - int(np.bincount(groups).max())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(neighbors._ROWS, "cpu", (block, block))
        patch.setattr(screens, "choose", screen_of(by_int8))
        patch.setattr(neighbors, "_CROWDED", 0)  # among so few rows many are candidates
        for k in {1, most // 2, most} - {0}:
            np.testing.assert_array_equal(nearest(points, groups, k), by_sorting(points, groups, k))
        pauses = sum(1 for _ in neighbors.nearest_neighbors(points, groups, most, CPU))
        assert pauses == neighbors.block_products(count, CPU)


def screen_of(by_int8: bool) -> Callable[..., Screen]:
    return lambda x, k, run: Int8Screen(x, run) if by_int8 else Float32Screen(x)


@pytest.mark.parametrize("spectrum", ["even", "falling", "one place", "constant"])
def test_errors_of_integer_products_stay_within_their_bound(spectrum: str) -> None:
    """Clearly: the bound must hold for every pair, and the typical error is a tenth of it."""
    rng = np.random.RandomState(0)
    scale = {"even": np.ones(300), "falling": np.arange(1, 301) ** -1.0}.get(spectrum, np.full(300, 1e-3))
    x = rng.standard_normal((2000, 300)) * scale
    if spectrum == "one place":
        x[:, 7] += 1
    if spectrum == "constant":
        x += 0.1
    unit_rows = torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)).float()
    screen, out = Int8Screen(unit_rows, map), torch.empty((2000, 2000), dtype=torch.int32)
    screen(slice(None), slice(None), out)
    off = (out.double() * screen.unit + screen.zero - unit_rows.double() @ unit_rows.double().T).abs()
    assert 0.02 < float(off.max()) / (screen.bound * screen.unit) < 0.7
    assert screen.bound * screen.unit < 0.06


def test_after_an_error_above_the_bound_float32_is_used() -> None:
    """As on a processor that adds up integers wrongly."""
    points, groups = unit(200, 64, seed=5), np.arange(200) // 2

    class Wrong(Int8Screen):
        def __call__(self, rows: slice, columns: slice, out: torch.Tensor) -> None:
            super().__call__(rows, columns, out)
            out += 10 * int(self.bound)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screens, "choose", lambda x, k, run: Wrong(x, run))
        np.testing.assert_array_equal(nearest(points, groups, 9), by_sorting(points, groups, 9))


@pytest.mark.parametrize("by_int8", [False, True])
@pytest.mark.parametrize("count", [70, 700])
def test_neighbors_are_the_same_without_the_code_for_cpus(count: int, by_int8: bool) -> None:
    """The code for GPUs, on the CPU."""
    points, groups = unit(count, 32, seed=9), np.arange(count) // 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "_by_numpy", lambda tensor: False)
        patch.setattr(neighbors, "_samples", lambda device: False)
        patch.setattr(screens, "choose", screen_of(by_int8))
        patch.setattr(neighbors, "_CROWDED", 0)  # among so few rows many are candidates
        patch.setitem(neighbors._ROWS, "cpu", (50, 200))
        for k in (1, 11, 60):
            expected = by_sorting(points, groups, k)
            np.testing.assert_array_equal(nearest(points, groups, k), expected)
            some = np.arange(0, count, 7)
            lists = neighbors.nearest_to(some, points, groups, k, CPU)
            np.testing.assert_array_equal(lists.rows, expected[some])


def test_rows_are_normalized_as_by_scikit_learn() -> None:
    """To the bit: it decides which of two nearly equal neighbors is first in the published values."""
    rows = (np.random.RandomState(10).standard_normal((500, 77)) * 30).astype(np.float32)
    expected = normalize(rows)
    np.testing.assert_array_equal(neighbor_lists.unit_rows(rows.copy()), expected)


def test_rows_that_hardly_differ_are_screened_in_float32() -> None:
    """Otherwise nearly all of them would be candidates."""
    x = unit(1200, 64, seed=11) * 0.01 + unit(1, 64, seed=12)
    x[:8] = unit(8, 64, seed=14)  # a few differ, so that subtracting the mean does not separate the others
    points = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    groups, used = np.arange(1200) // 4, []

    def counted(x: torch.Tensor, k: int, run: screens.Run) -> Screen:
        used.append(Int8Screen(x, run))
        return used[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screens, "choose", counted)
        patch.setattr(neighbors, "Float32Screen", lambda x: used.append(Float32Screen(x)) or used[-1])
        np.testing.assert_array_equal(nearest(points, groups, 5), by_sorting(points, groups, 5))
    assert [type(screen) for screen in used] == [Int8Screen, Float32Screen]


def test_one_neighbor_in_parts_that_share_patches() -> None:
    array, slides = unit(60, 8, seed=13), np.tile(np.arange(30) // 3, 2)
    array[30:] = array[:30]
    parts = [np.arange(30), np.arange(30, 60)]
    assert neighbor_lists._shared(array, parts, slides) is not None
    lists = neighbor_lists.neighbor_lists(array, parts, slides, 1, CPU, None).rows
    expected = by_sorting(array[:30], slides[:30], 1)
    np.testing.assert_array_equal(lists, np.concatenate([expected, expected + 30]))


def test_the_int8_screen_is_used_for_few_neighbors_of_many_rows() -> None:
    x = torch.from_numpy(unit(5000, 16, seed=6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screens, "_int8_is_fast", lambda: True)
        assert isinstance(screens.choose(x, 10, map), Int8Screen)
        assert isinstance(screens.choose(x, 500, map), Float32Screen)
        assert isinstance(screens.choose(x[:1000], 10, map), Float32Screen)
        patch.setattr(screens, "_int8_is_fast", lambda: False)
        assert isinstance(screens.choose(x, 10, map), Float32Screen)


def test_neighbors_of_some_rows_equal_those_of_all_rows() -> None:
    points, groups = unit(300, 16, seed=7), np.arange(300) // 4
    some = np.array([5, 250, 17])
    for k in (1, 12, 296):
        lists = neighbors.nearest_to(some, points, groups, k, CPU)
        np.testing.assert_array_equal(lists.rows, by_sorting(points, groups, k)[some])
    assert [each.shape for each in neighbors.nearest_to(some[:0], points, groups, 3, CPU)] == [(0, 3), (0, 3)]


def test_equal_distances_are_in_the_order_of_the_rows() -> None:
    points = np.repeat(unit(5, 8, seed=0), 6, axis=0)
    groups = np.arange(30)
    lists = nearest(points, groups, 29)
    np.testing.assert_array_equal(lists, by_sorting(points, groups, 29))
    np.testing.assert_array_equal(lists[7, :5], [6, 8, 9, 10, 11])


def test_distances_that_are_equal_as_float32_products_are_ordered() -> None:
    rng = np.random.RandomState(1)
    points = unit(1, 512, seed=1) + (rng.standard_normal((300, 512)) * 2e-5).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    products = points @ points.T
    assert (np.diff(np.sort(products, axis=1), axis=1) == 0).mean() > 0.5
    groups = np.arange(300) % 7
    np.testing.assert_array_equal(nearest(points, groups, 257), by_sorting(points, groups, 257))


def test_more_equal_neighbors_than_candidates_are_in_the_order_of_the_rows() -> None:
    # 40 rows are equal up to rounding, more than there are candidates: chance must not choose among them.
    rng = np.random.RandomState(2)
    near = unit(1, 64, seed=2) + (rng.standard_normal((40, 64)) * 3e-7).astype(np.float32)
    points = np.concatenate([near, unit(200, 64, seed=3)])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points = points[rng.permutation(len(points))].astype(np.float32)
    groups = np.arange(len(points))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(neighbors._ROWS, "cpu", (64, 64))
        np.testing.assert_array_equal(nearest(points, groups, 5), by_sorting(points, groups, 5))


@pytest.mark.parametrize("count", [640, 650])
def test_no_neighbor_is_lost_by_the_groups_of_the_first_floor(count: int) -> None:
    """Wide enough that group maxima set the first floor; with 650 some rows are in no group."""
    points, groups = unit(count, 16, seed=4), np.arange(count) // 3
    assert count // candidates._MEMBERS > 4 * 7
    np.testing.assert_array_equal(nearest(points, groups, 7), by_sorting(points, groups, 7))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), depth=st.sampled_from([0.2, 0.7, 5]))
def test_parts_with_common_rows_have_the_neighbors_that_each_has_alone(seed: int, depth: float) -> None:
    rng = np.random.RandomState(seed)
    different = rng.standard_normal((40, 8)).astype(np.float32)
    which = np.concatenate([rng.permutation(40)[:30] for _ in range(6)])
    array, slides = different[which], which // 4
    parts = [np.arange(start, start + 30) for start in range(0, 180, 30)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbor_lists, "_DEPTH", depth)
        shared = neighbor_lists.neighbor_lists(array, parts, slides, 9, CPU, None)
        assert neighbor_lists._shared(array, parts, slides) is not None
        patch.setattr(neighbor_lists, "_shared", lambda *_: None)
        alone = neighbor_lists.neighbor_lists(array, parts, slides, 9, CPU, None)
    np.testing.assert_array_equal(shared.rows, alone.rows)
    np.testing.assert_allclose(shared.products, alone.products, atol=screens.ROUNDING)


def test_parts_share_a_search_only_if_it_costs_less_and_patches_are_distinguished() -> None:
    array, slides = unit(40, 8, seed=8), np.arange(40) // 4
    apart = [np.arange(20), np.arange(20, 40)]
    assert neighbor_lists._shared(array, apart, slides) is None
    doubled = np.concatenate([array, array])
    again = [np.arange(40), np.arange(40, 80)]
    first, code = neighbor_lists._shared(doubled, again, np.tile(slides, 2)) or (None, None)
    np.testing.assert_array_equal(first, np.arange(40))
    np.testing.assert_array_equal(code, np.tile(np.arange(40), 2))
    # One embedding under two slides is two patches.
    first, _ = neighbor_lists._shared(doubled, [*again, *again], np.arange(80) // 4) or (None, None)
    np.testing.assert_array_equal(first, np.arange(80))
    # Twice in a part: one order of patches does not decide which of the two is a neighbor.
    twice = [np.concatenate([part, part[:1] + 40]) for part in (again[0], again[0])]
    assert neighbor_lists._shared(doubled, twice, np.tile(slides, 2)) is None


def test_equal_rows_are_grouped_and_rows_with_equal_keys_are_compared_whole() -> None:
    rows = np.random.RandomState(0).standard_normal((5, 40)).astype(np.float32)
    which = np.array([3, 1, 1, 0, 3])
    first, code = neighbor_lists.equal_rows(rows[which])
    assert len(first) == 3
    np.testing.assert_array_equal(rows[which][first][code], rows[which])
    alike = np.repeat(rows[:1], 3, axis=0)
    alike[1, 1] += 1  # a column that is not part of the key
    first, code = neighbor_lists.equal_rows(alike)
    assert first.tolist() == [0, 1]
    assert code.tolist() == [0, 1, 0]
