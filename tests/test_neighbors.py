"""Blocked nearest neighbors are what sorting all distances gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pathorob_checks.metrics import neighbor_lists
from pathorob_checks.numerics import neighbors

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
CPU = torch.device("cpu")


def nearest(points: Float32, groups: Int64, k: int) -> Int64:
    return neighbors.finish(neighbors.nearest_neighbors(points, groups, k, CPU))


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


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(12, 120),
    block=st.integers(5, 60),
    places=st.integers(1, 99),
    many=st.sampled_from([0, 100]),
)
def test_neighbors_do_not_depend_on_blocks_and_places(
    seed: int, count: int, block: int, places: int, many: int
) -> None:
    points, groups = unit(count, 8, seed), np.random.RandomState(seed).randint(0, 6, count)
    most = count - int(np.bincount(groups).max())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(neighbors._BLOCK, "cpu", block)
        patch.setattr(neighbors, "_PLACES", places)
        patch.setattr(neighbors, "_MANY", many)  # 0: rows are taken whole, whatever k
        patch.setattr(neighbors, "_WHOLE_ROWS", block * count)
        for k in {1, most // 2, most} - {0}:
            np.testing.assert_array_equal(nearest(points, groups, k), by_sorting(points, groups, k))
        pauses = sum(1 for _ in neighbors.nearest_neighbors(points, groups, most, CPU))
        assert pauses == neighbors.block_products(count, most, CPU)


def test_equal_distances_stand_in_the_order_of_the_rows() -> None:
    points = np.repeat(unit(5, 8, seed=0), 6, axis=0)
    groups = np.arange(30)
    found = nearest(points, groups, 29)
    np.testing.assert_array_equal(found, by_sorting(points, groups, 29))
    np.testing.assert_array_equal(found[7, :5], [6, 8, 9, 10, 11])


def test_distances_that_float32_products_cannot_tell_apart_are_ordered() -> None:
    rng = np.random.RandomState(1)
    points = unit(1, 512, seed=1) + (rng.standard_normal((300, 512)) * 2e-5).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    products = points @ points.T
    assert (np.diff(np.sort(products, axis=1), axis=1) == 0).mean() > 0.5
    groups = np.arange(300) % 7
    np.testing.assert_array_equal(nearest(points, groups, 257), by_sorting(points, groups, 257))


def test_more_equal_neighbors_than_candidates_stand_in_the_order_of_the_rows() -> None:
    # 40 rows are equal up to rounding, more than there are candidates: chance must not pick among them.
    rng = np.random.RandomState(2)
    near = unit(1, 64, seed=2) + (rng.standard_normal((40, 64)) * 3e-7).astype(np.float32)
    points = np.concatenate([near, unit(200, 64, seed=3)])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points = points[rng.permutation(len(points))].astype(np.float32)
    groups = np.arange(len(points))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(neighbors._BLOCK, "cpu", 64)
        np.testing.assert_array_equal(nearest(points, groups, 5), by_sorting(points, groups, 5))


@pytest.mark.parametrize("count", [640, 650])
def test_groups_of_products_hide_no_neighbor(count: int) -> None:
    """Wide enough that only group maxima are looked at first; 650 leaves rows over that no group holds."""
    points, groups = unit(count, 16, seed=4), np.arange(count) // 3
    assert count // neighbors._MEMBERS > 2 * (7 + neighbors._SPARE)
    np.testing.assert_array_equal(nearest(points, groups, 7), by_sorting(points, groups, 7))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(neighbors._BLOCK, "cpu", 500)
        np.testing.assert_array_equal(nearest(points, groups, 7), by_sorting(points, groups, 7))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_parts_with_rows_in_common_have_the_neighbors_that_each_has_alone(seed: int) -> None:
    rng = np.random.RandomState(seed)
    different = rng.standard_normal((40, 8)).astype(np.float32)
    which = np.concatenate([rng.permutation(40)[:30] for _ in range(6)])
    array, slides = different[which], which // 4
    parts = [np.arange(start, start + 30) for start in range(0, 180, 30)]
    shared = neighbor_lists.neighbor_lists(array, parts, slides, 9, CPU, None)
    assert neighbor_lists._shared(array, parts, CPU) is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbor_lists, "_MATRIX_BYTES", 0)
        assert neighbor_lists._shared(array, parts, CPU) is None
        alone = neighbor_lists.neighbor_lists(array, parts, slides, 9, CPU, None)
    np.testing.assert_array_equal(shared, alone)


def test_equal_rows_are_found_and_rows_that_only_look_equal_are_not() -> None:
    rows = np.random.RandomState(0).standard_normal((5, 40)).astype(np.float32)
    which = np.array([3, 1, 1, 0, 3])
    first, code = neighbor_lists.equal_rows(rows[which])
    assert len(first) == 3
    np.testing.assert_array_equal(rows[which][first][code], rows[which])
    alike = np.repeat(rows[:1], 2, axis=0)
    alike[1, 1] += 1  # a column that is not looked at first
    first, code = neighbor_lists.equal_rows(alike)
    assert first.tolist() == code.tolist() == [0, 1]
