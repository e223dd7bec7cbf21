"""Folders of given embeddings, written in every layout that can be read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from pathorob_checks.embeddings import matrix_files
from pathorob_checks.embeddings.precomputed import read
from pathorob_checks.errors import EmbeddingError

COHORT = "camelyon"
CENTERS = ["RUMC", "UMCU", "Greater Poland Cancer Center"]
Values = npt.NDArray[Any]
Writer = Callable[[Path, pd.DataFrame, Values], object]


def some_patches(n: int = 9) -> pd.DataFrame:
    rows = range(n)
    return pd.DataFrame(
        {
            "slide_id": [f"slide {row // 2}" for row in rows],
            "patch_id": [f"{row:03}" for row in rows],
            "medical_center": [CENTERS[row // 2 % 3] for row in rows],
        }
    )


def keys_of(patches: pd.DataFrame) -> list[str]:
    return [f"{s}-{p}" for s, p in zip(patches.slide_id, patches.patch_id, strict=True)]


PATCHES = some_patches()
KEYS = keys_of(PATCHES)
VALUES = np.random.default_rng(0).normal(size=(len(PATCHES), 5)).astype(np.float32)


def write_csv(path: Path, patches: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    patches[["slide_id", "patch_id"]].to_csv(path, index=False)


def write_npz(path: Path, arrays: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def pathorob(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    """As the benchmark writes it, spelled out: not our own writer, which could be wrong the same way."""
    for center in patches.medical_center.unique():
        own = np.flatnonzero(patches.medical_center == center)
        arrays = {keys_of(patches)[row]: values[row] for row in own}
        write_npz(folder / COHORT / f"{center.replace(' ', '_')}.npz", arrays)


def npy(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    write_csv(folder / COHORT / "manifest.csv", patches)
    np.save(folder / COHORT / "embeddings.npy", values)


def npy_by_columns(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    npy(folder, patches, np.asfortranarray(values))


def npy_and_parquet_manifest(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    (folder / COHORT).mkdir(parents=True)
    patches.to_parquet(folder / COHORT / "manifest.parquet")
    np.save(folder / COHORT / "embeddings.npy", values)


def npy_beside(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    write_csv(folder / f"{COHORT}.csv", patches)
    np.save(folder / f"{COHORT}.npy", values)


def npy_beside_with_parquet_manifest(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    patches.to_parquet(folder / f"{COHORT}.parquet")
    np.save(folder / f"{COHORT}.npy", values)


def npy_directly(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    write_csv(folder / "manifest.csv", patches)
    np.save(folder / "embeddings.npy", values)


def tensors(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    write_csv(folder / COHORT / "manifest.csv", patches)
    content = {"embeddings": np.ascontiguousarray(values)}
    safetensors.numpy.save_file(content, folder / COHORT / "embeddings.safetensors")


def tensors_with_keys(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    matrix_files.write_tensors(folder / f"{COHORT}.safetensors", keys_of(patches), values)


def parquet_table(patches: pd.DataFrame, lists: pa.Array) -> pa.Table:
    columns = [pa.array(patches.slide_id.tolist()), pa.array(patches.patch_id.tolist()), lists]
    return pa.table(columns, names=["slide_id", "patch_id", "embedding"])


def parquet(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    (folder / COHORT).mkdir(parents=True, exist_ok=True)
    table = parquet_table(patches, pa.array(list(values)))
    # Small row groups, so that a block of rows crosses them.
    pq.write_table(table, folder / COHORT / "embeddings.parquet", row_group_size=4)


def parquet_fixed_size(folder: Path, patches: pd.DataFrame, values: Values) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    table = parquet_table(patches, lists)
    for name in ("slide_id", "patch_id"):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table.column(name).dictionary_encode())
    pq.write_table(table, folder / f"{COHORT}.parquet")


WRITERS: dict[Writer, str] = {
    pathorob: "pathorob",
    npy: "npy",
    npy_by_columns: "npy",
    npy_and_parquet_manifest: "npy",
    npy_beside: "npy",
    npy_beside_with_parquet_manifest: "npy",
    npy_directly: "npy",
    tensors: "safetensors",
    tensors_with_keys: "safetensors",
    parquet: "parquet",
    parquet_fixed_size: "parquet",
}
every_layout = pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)


def refusal(folder: Path, patches: pd.DataFrame = PATCHES, cohort: str = COHORT) -> str:
    """The sentence with which reading is refused, of a run inside the folder."""
    with pytest.raises(EmbeddingError) as caught, contextlib.chdir(folder):
        read(folder, cohort, patches)
    assert caught.value.remedy
    return str(caught.value)
