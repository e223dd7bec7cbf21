"""Given embeddings: unusable values are refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from embedding_folders import (
    COHORT,
    KEYS,
    PATCHES,
    VALUES,
    Writer,
    every_layout,
    npy,
    parquet,
    parquet_table,
    pathorob,
    refusal,
    tensors,
    write_npz,
)

from pathorob_checks.embeddings import matrix_files


@every_layout
def test_values_without_information_are_refused(tmp_path: Path, write: Writer) -> None:
    for number, (broken, words) in enumerate(
        [(np.nan, "contain NaN or infinite values"), (np.inf, "contain NaN"), (0, "are all zeros")]
    ):
        values = VALUES.copy()
        values[4] = broken
        write(tmp_path / str(number), PATCHES, values)
        message = refusal(tmp_path / str(number))
        assert f"embeddings of 1 of 9 patches ('{KEYS[4]}') {words}" in message
        assert "--fm-precision" not in message


def test_numbers_beyond_float32_are_refused(tmp_path: Path) -> None:
    values = VALUES.astype(np.float64)
    values[4, 0] = 1e300
    npy(tmp_path, PATCHES, values)
    assert f"'{KEYS[4]}') contain NaN or infinite values" in refusal(tmp_path)


def test_mixed_dimensions_are_refused_with_the_patches(tmp_path: Path) -> None:
    pathorob(tmp_path / "npz", PATCHES, np.array([*VALUES[:-1], VALUES[-1][:3]], dtype=object))
    shutil.rmtree(tmp_path / "npz")
    for center, rows in (
        ("RUMC", [0, 1, 6, 7]),
        ("UMCU", [2, 3, 8]),
        ("Greater_Poland_Cancer_Center", [4, 5]),
    ):
        arrays = {KEYS[row]: VALUES[row][: 3 if row == 8 else 5] for row in rows}
        write_npz(tmp_path / "npz" / COHORT / f"{center}.npz", arrays)
    assert f"3 values in 1 patch ('{KEYS[8]}')" in refusal(tmp_path / "npz")
    (tmp_path / "pq").mkdir()
    lists = pa.array([row[: 3 if at == 8 else 5] for at, row in enumerate(VALUES)])
    pq.write_table(parquet_table(PATCHES, lists), tmp_path / "pq" / "embeddings.parquet")
    assert f"has no list of 5 numbers for 1 patch ('{KEYS[8]}')" in refusal(tmp_path / "pq")


def test_dimensions_that_change_from_block_to_block_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix_files, "BLOCK", 8)
    lists = pa.array([row[: 3 if at == 8 else 5] for at, row in enumerate(VALUES)])
    pq.write_table(parquet_table(PATCHES, lists), tmp_path / "embeddings.parquet")
    assert f"3 values for 1 patch ('{KEYS[8]}') where others have 5" in refusal(tmp_path)


def test_empty_cells_of_a_parquet_file_are_refused(tmp_path: Path) -> None:
    rows: list[Any] = [row.tolist() for row in VALUES]
    for name, broken in (("row", None), ("number", [*rows[4][:-1], None])):
        (tmp_path / name).mkdir()
        lists = pa.array([*rows[:4], broken, *rows[5:]])
        pq.write_table(parquet_table(PATCHES, lists), tmp_path / name / "embeddings.parquet")
        assert f"1 patch ('{KEYS[4]}')" in refusal(tmp_path / name).replace("1 of 9 patches", "1 patch")
    table = parquet_table(PATCHES, pa.array(rows))
    ids = pa.array([*PATCHES.patch_id[:-1], None])
    pq.write_table(table.set_column(1, "patch_id", ids), tmp_path / "embeddings.parquet")
    assert "column 'patch_id' has 1 empty cell" in refusal(tmp_path)


@pytest.mark.parametrize("shape", [(), (1, 5), (5, 1)])
def test_arrays_that_are_not_vectors_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pathorob(tmp_path, PATCHES, np.ones((9, *shape), dtype=np.float32))
    message = refusal(tmp_path)
    assert f"has the shape {shape} where (D,) is needed" in message
    assert f"array '{KEYS[0]}' in 'camelyon/RUMC.npz'" in message


@pytest.mark.parametrize("shape", [(9,), (9, 5, 1), (8, 5)])
@pytest.mark.parametrize("write", [npy, tensors], ids=lambda write: write.__name__)
def test_matrices_that_do_not_fit_the_manifest_are_refused(
    tmp_path: Path, write: Writer, shape: tuple[int, ...]
) -> None:
    write(tmp_path, PATCHES, np.ones(shape, dtype=np.float32))
    assert f"has the shape {shape} where (9, D) is needed" in refusal(tmp_path)


@pytest.mark.parametrize("write", [pathorob, npy, tensors, parquet], ids=lambda write: write.__name__)
def test_vectors_without_values_are_refused(tmp_path: Path, write: Writer) -> None:
    write(tmp_path, PATCHES, VALUES[:, :0])
    assert "have no columns" in refusal(tmp_path)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
@pytest.mark.parametrize("write", [pathorob, npy, tensors, parquet], ids=lambda write: write.__name__)
def test_numbers_of_another_kind_are_refused(tmp_path: Path, write: Writer, dtype: str) -> None:
    write(tmp_path, PATCHES, np.ones((9, 5), dtype=dtype))
    assert "where floating-point numbers are needed; write them as float32" in refusal(tmp_path)


@pytest.mark.parametrize("dtype", ["complex64", "U3", "V2"])
@pytest.mark.parametrize("write", [pathorob, npy], ids=lambda write: write.__name__)
def test_dtypes_that_only_numpy_has_are_refused(tmp_path: Path, write: Writer, dtype: str) -> None:
    write(tmp_path, PATCHES, np.ones((9, 5)).astype(dtype))
    assert "where floating-point numbers are needed; write them as float32" in refusal(tmp_path)
