"""What a matrix of embeddings must show by itself, tried on matrices with one defect each."""

from __future__ import annotations

import numpy as np
import pytest
from color_models import keys, matrix

from pathorob_checks.embeddings import matrix_checks
from pathorob_checks.errors import EmbeddingError


def test_a_sound_matrix_passes_clearly() -> None:
    values = matrix()
    assert matrix_checks.check_spread(values) > 0.5
    assert matrix_checks.check_directions(values) > 25
    assert matrix_checks.check_twins(values, keys(values)) == 0
    assert matrix_checks.check_columns(values) == 0


def test_small_differences_beside_a_large_common_vector_are_nearly_constant() -> None:
    assert matrix_checks.check_spread(matrix(offset=30)) > matrix_checks.LEAST_SPREAD
    with pytest.raises(EmbeddingError, match=r"600 patches are nearly constant: they differ by 0\.00\d+ of"):
        matrix_checks.check_spread(matrix(offset=300))


@pytest.mark.parametrize("rank", [1, 2])
def test_a_line_and_a_plane_are_collapsed_despite_noise(rank: int) -> None:
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((600, rank)) @ rng.standard_normal((rank, 32))
    flat += rng.standard_normal(32) + 0.01 * rng.standard_normal(flat.shape)
    with pytest.raises(EmbeddingError, match=f"collapsed: {rank} of 32 directions hold 99% of the variance"):
        matrix_checks.check_directions(flat.astype(np.float32))


def test_the_number_of_directions_does_not_depend_on_which_side_is_longer() -> None:
    wide = matrix(rows=40, columns=300)
    centered = wide - wide.mean(axis=0)
    variances = np.linalg.svd(centered, compute_uv=False) ** 2
    expected = int((np.cumsum(variances) / variances.sum() < 0.99).sum()) + 1
    assert matrix_checks.check_directions(wide) == expected
    assert matrix_checks.check_directions(np.hstack([wide[:, :5], np.zeros((40, 9), np.float32)])) == 5


def test_two_columns_need_no_third_direction() -> None:
    assert matrix_checks.check_directions(matrix(columns=2)) == 2
    line = matrix(columns=2)
    line[:, 1] = line[:, 0]
    with pytest.raises(EmbeddingError, match="1 of 2 directions"):
        matrix_checks.check_directions(line)


@pytest.mark.parametrize("step", [1e-6, 0.0, 0.5])
def test_patches_with_the_embedding_of_another_patch_are_counted(step: float) -> None:
    values = matrix()
    values[-10:] = values[:10] * (1 + step)  # of 600, both of a pair count
    assert matrix_checks.check_twins(values, keys(values)) == pytest.approx(20 / 600)
    values[-20:] = values[:20] * (1 + step)
    with pytest.raises(
        EmbeddingError, match=r"40 patches \('s-0', 's-1', 's-2', \.\.\.\) of 600 .* 7% where at most 5%"
    ):
        matrix_checks.check_twins(values, keys(values))


def test_similar_patches_are_not_twins() -> None:
    values = matrix()
    values[-60:] = values[:60] + 0.01 * matrix(seed=1)[:60]
    assert matrix_checks.check_twins(values, keys(values)) == 0


def test_a_blank_half_has_dead_columns() -> None:
    values = matrix()
    values[:, 16:] = 0.1
    with pytest.raises(EmbeddingError, match=r"16 of 32 columns .* 600 patches: 50% .* first is column 16"):
        matrix_checks.check_columns(values)
    values = matrix()
    values[:, :8] = 0
    assert matrix_checks.check_columns(values) == 0.25


@pytest.mark.parametrize("rows", [600, 3000])
@pytest.mark.parametrize("noise", [0, 1e-6, 1e-4])
def test_half_of_the_rows_nearly_constant_are_twins(rows: int, noise: float) -> None:
    values = matrix(rows=rows)
    values[::2] = 3 * values[0] + noise * matrix(rows=rows, seed=1)[::2]
    with pytest.raises(EmbeddingError, match=r"have the embedding of another patch: (49|50)% where"):
        matrix_checks.check_twins(values, keys(values))


def test_rows_of_one_number_each_are_twins() -> None:
    values = matrix()
    values[::3] = np.arange(1, 601)[::3, None]
    with pytest.raises(EmbeddingError, match="have the embedding of another patch: 33% where"):
        matrix_checks.check_twins(values, keys(values))


def test_few_dimensions_make_no_twins_by_chance() -> None:
    values = np.random.default_rng(0).standard_normal((3000, 2)).astype(np.float32)
    assert matrix_checks.check_twins(values, keys(values)) < matrix_checks.MOST_TWINS
