"""Embeddings from a folder: every layout gives the same values, and whatever does not fit is refused."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from golden_cohorts import COHORTS, TABLES, embeddings
from hypothesis import given, settings
from hypothesis import strategies as st

from pathorob_checks.embeddings import matrix_files
from pathorob_checks.embeddings.precomputed import Precomputed, read, write_pathorob_layout
from pathorob_checks.errors import CacheError, EmbeddingError

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
    """The sentence with which reading is refused."""
    with pytest.raises(EmbeddingError) as caught:
        read(folder, cohort, patches)
    assert caught.value.remedy
    return str(caught.value)


# --- what is read -----------------------------------------------------------------------------------


@every_layout
def test_every_layout_gives_the_rows_of_the_table(tmp_path: Path, write: Writer) -> None:
    write(tmp_path, PATCHES, VALUES)
    found = read(tmp_path, COHORT, PATCHES)
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.values.dtype == np.float32
    assert not found.values.flags.writeable
    assert found.layout == WRITERS[write]
    assert found.notes == ()
    assert found.files
    assert all((tmp_path / name).is_file() for name in found.files)


def test_the_files_read_are_told(tmp_path: Path) -> None:
    pathorob(tmp_path / "a", PATCHES, VALUES)
    npy(tmp_path / "b", PATCHES, VALUES)
    assert read(tmp_path / "a", COHORT, PATCHES).files == (
        "camelyon/Greater_Poland_Cancer_Center.npz",
        "camelyon/RUMC.npz",
        "camelyon/UMCU.npz",
    )
    assert read(tmp_path / "b", COHORT, PATCHES).files == ("camelyon/embeddings.npy", "camelyon/manifest.csv")


@given(
    order=st.permutations(range(len(PATCHES))),
    asked=st.permutations(range(len(PATCHES))),
    write=st.sampled_from(list(WRITERS)),
    block=st.integers(1, 10),
    dropped=st.integers(0, 4),
)
@settings(max_examples=60, deadline=None)
def test_neither_layout_nor_order_nor_blocks_change_values_and_digest(
    order: list[int], asked: list[int], write: Writer, block: int, dropped: int
) -> None:
    asked = asked[dropped:]  # the rest is left over
    reference = plain_digest(asked)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_files, "BLOCK", block)
        write(Path(name), PATCHES.iloc[order].reset_index(drop=True), VALUES[order])
        found = read(Path(name), COHORT, PATCHES.iloc[asked])
    np.testing.assert_array_equal(found.values, VALUES[asked])
    assert found.digest == reference


def plain_digest(rows: Sequence[int]) -> str:
    with tempfile.TemporaryDirectory() as name:
        ordered = sorted(rows)
        npy(Path(name), PATCHES.iloc[ordered], VALUES[ordered])
        return read(Path(name), COHORT, PATCHES.iloc[ordered]).digest


def test_the_digest_changes_with_any_value_and_any_key(tmp_path: Path) -> None:
    changed = VALUES.copy()
    changed[3, 2] = np.nextafter(changed[3, 2], np.float32(9))
    renamed = PATCHES.assign(patch_id=[*PATCHES.patch_id[:-1], "other"])
    digests = set()
    for number, (patches, values) in enumerate([(PATCHES, VALUES), (PATCHES, changed), (renamed, VALUES)]):
        npy(tmp_path / str(number), patches, values)
        digests.add(read(tmp_path / str(number), COHORT, patches).digest)
    assert len(digests) == 3


@every_layout
def test_left_over_patches_are_a_note(tmp_path: Path, write: Writer) -> None:
    write(tmp_path, PATCHES, VALUES)
    keep = [row for row in range(9) if row not in (1, 3, 5, 8)]
    found = read(tmp_path, COHORT, PATCHES.iloc[keep])
    np.testing.assert_array_equal(found.values, VALUES[keep])
    [note] = found.notes
    assert note.startswith("Embeddings of 4 patches (")
    assert note.endswith(", ...) are not needed and were left out.")
    assert sum(KEYS[row] in note for row in (1, 3, 5, 8)) == 3


def test_files_of_other_centers_are_a_note_and_are_not_opened(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "CWZ.npz").write_bytes(b"no zip")
    (tmp_path / COHORT / "._RUMC.npz").write_bytes(b"what macOS leaves on foreign disks")
    found = read(tmp_path, COHORT, PATCHES)
    assert found.notes == ("Files of medical centers outside the cohort were not read: 'CWZ.npz'.",)


def test_arrays_that_are_not_needed_are_not_read(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    with zipfile.ZipFile(tmp_path / COHORT / "RUMC.npz", "a") as archive:
        archive.writestr("left-over.npy", b"no array")
    assert "'left-over'" in read(tmp_path, COHORT, PATCHES).notes[0]


def test_a_patch_may_be_left_over_in_the_file_of_another_center(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    own = {KEYS[row]: VALUES[row] for row in np.flatnonzero(PATCHES.medical_center == "RUMC")}
    write_npz(tmp_path / COHORT / "RUMC.npz", {KEYS[2]: np.ones(5, dtype=np.float32), **own})
    found = read(tmp_path, COHORT, PATCHES)
    np.testing.assert_array_equal(found.values, VALUES)
    assert KEYS[2] in found.notes[0]


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4"])
@pytest.mark.parametrize("write", [pathorob, npy, tensors, parquet], ids=lambda write: write.__name__)
def test_other_precisions_are_converted_with_a_note(tmp_path: Path, write: Writer, dtype: str) -> None:
    stored = VALUES.astype(dtype)
    write(
        tmp_path,
        PATCHES,
        stored if write in (pathorob, npy) else stored.astype(stored.dtype.newbyteorder("=")),
    )
    found = read(tmp_path, COHORT, PATCHES)
    np.testing.assert_array_equal(found.values, stored.astype(np.float32))
    note = f"Embeddings of 9 patches were converted from {dtype} to float32."
    assert found.notes == ((note,) if dtype != ">f4" else ())


def test_bfloat16_is_converted_with_a_note(tmp_path: Path) -> None:
    write_csv(tmp_path / "manifest.csv", PATCHES)
    stored = torch.from_numpy(VALUES).bfloat16()
    safetensors.torch.save_file({"embeddings": stored}, tmp_path / "embeddings.safetensors")
    found = read(tmp_path, COHORT, PATCHES)
    np.testing.assert_array_equal(found.values, stored.float().numpy())
    assert found.notes == ("Embeddings of 9 patches were converted from bfloat16 to float32.",)


def test_cells_of_a_manifest_are_strings_as_written(tmp_path: Path) -> None:
    ids = ["007", "NA", "1e5", "nan", "7", "a,b", 'say "x"', "None", "TRUE"]
    patches = PATCHES.assign(slide_id=ids, patch_id=ids)
    npy(tmp_path, patches, VALUES)
    np.testing.assert_array_equal(read(tmp_path, COHORT, patches).values, VALUES)


def test_integer_ids_of_a_parquet_file_count_as_their_digits(tmp_path: Path) -> None:
    patches = PATCHES.assign(patch_id=[str(row) for row in range(9)])
    parquet(tmp_path, patches.assign(patch_id=range(9)), VALUES)
    np.testing.assert_array_equal(read(tmp_path, COHORT, patches).values, VALUES)


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "manifest.csv").rename(tmp_path / "table.txt")
    (tmp_path / COHORT / "manifest.csv").symlink_to(tmp_path / "table.txt")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert read(tmp_path / "link", COHORT, PATCHES).layout == "npy"


@pytest.mark.parametrize("cohort", COHORTS)
def test_a_cohort_of_the_benchmarks_shape_comes_back(tmp_path: Path, cohort: str) -> None:
    name, weights = COHORTS[cohort]
    patches = TABLES[name]()
    values = embeddings(patches, **weights)
    written = write_pathorob_layout(tmp_path, cohort, patches, values)
    assert len(written) == patches.medical_center.nunique()
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == written
    found = read(tmp_path, cohort, patches)
    np.testing.assert_array_equal(found.values, values)
    assert found.notes == ()


# --- our own writer ---------------------------------------------------------------------------------


def test_numpy_reads_what_we_write(tmp_path: Path) -> None:
    write_pathorob_layout(tmp_path, COHORT, PATCHES, VALUES)
    with np.load(tmp_path / COHORT / "Greater_Poland_Cancer_Center.npz", allow_pickle=False) as archive:
        assert archive.files == [KEYS[4], KEYS[5]]
        np.testing.assert_array_equal(archive[KEYS[4]], VALUES[4])


def test_writing_again_replaces(tmp_path: Path) -> None:
    write_pathorob_layout(tmp_path, COHORT, PATCHES, VALUES)
    write_pathorob_layout(tmp_path, COHORT, PATCHES, -VALUES)
    np.testing.assert_array_equal(read(tmp_path, COHORT, PATCHES).values, -VALUES)


def test_nothing_is_written_that_could_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="all zeros"):
        write_pathorob_layout(tmp_path, COHORT, PATCHES, np.zeros_like(VALUES))
    outside = PATCHES.assign(medical_center="../elsewhere")
    with pytest.raises(EmbeddingError, match="cannot be the name of a file"):
        write_pathorob_layout(tmp_path / "in", COHORT, outside, VALUES)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheError, match="cannot be written"):
        write_pathorob_layout(tmp_path / "file", COHORT, PATCHES, VALUES)


# --- what is refused: the folder --------------------------------------------------------------------


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"")
    assert "is not a folder" in refusal(tmp_path / "file")


def test_a_folder_without_the_cohort_tells_what_it_holds(tmp_path: Path) -> None:
    assert "(it holds nothing)" in refusal(tmp_path)
    (tmp_path / "tcga").mkdir()
    message = refusal(tmp_path)
    assert "'tcga'" in message
    assert "write 'camelyon/<medical center>.npz'" in message


def test_center_files_one_level_too_high_are_told(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    assert "move the .npz files into" in refusal(tmp_path / COHORT)


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        (pathorob, npy, ["camelyon/*.npz", "camelyon/embeddings.npy"]),
        (npy, parquet, ["camelyon/embeddings.npy", "camelyon/embeddings.parquet"]),
        (npy, npy_beside, ["camelyon/embeddings.npy", "camelyon.npy"]),
        (npy, npy_directly, ["camelyon/embeddings.npy", "'embeddings.npy'"]),
        (npy_beside, parquet_fixed_size, ["camelyon.npy", "camelyon.parquet"]),
    ],
)
def test_two_layouts_at_once_are_refused(
    tmp_path: Path, first: Writer, second: Writer, names: list[str]
) -> None:
    first(tmp_path, PATCHES, VALUES)
    second(tmp_path, PATCHES, VALUES)
    message = refusal(tmp_path)
    assert "more than once" in message
    assert all(name in message for name in names)


@pytest.mark.parametrize("name", ["", ".", "..", "../camelyon", "/etc", "a\\b", "C:x", "a\0b"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    pathorob(tmp_path / "in", PATCHES, VALUES)
    pathorob(tmp_path, PATCHES, VALUES)
    assert "cannot be the name of a file" in refusal(tmp_path / "in", cohort=name)
    assert "cannot be the name of a file" in refusal(tmp_path, PATCHES.assign(medical_center=name))


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    pathorob(tmp_path / "out", PATCHES, VALUES)
    inside.mkdir()
    (inside / COHORT).symlink_to(tmp_path / "out" / COHORT, target_is_directory=True)
    assert "leads out of the folder" in refusal(inside)
    (inside / COHORT).unlink()
    npy(inside, PATCHES, VALUES)
    (inside / COHORT / "manifest.csv").rename(tmp_path / "manifest.csv")
    (inside / COHORT / "manifest.csv").symlink_to("../../manifest.csv")
    assert "'camelyon/manifest.csv' is a link that leads out" in refusal(inside)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a thing of Unix")
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "embeddings.npy")  # opening it would wait for ever
    assert "holds no embeddings" in refusal(tmp_path)


def test_a_missing_center_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "Greater_Poland_Cancer_Center.npz").unlink()
    message = refusal(tmp_path)
    assert "'camelyon' has no file 'Greater_Poland_Cancer_Center.npz'" in message
    assert "it has 'RUMC.npz', 'UMCU.npz'" in message


# --- what is refused: the rows ----------------------------------------------------------------------


@every_layout
def test_missing_patches_are_counted_and_three_are_named(tmp_path: Path, write: Writer) -> None:
    keep = [0, 2, 4, 8]
    write(tmp_path, PATCHES.iloc[keep].reset_index(drop=True), VALUES[keep])
    message = refusal(tmp_path)
    assert f"missing for 5 patches ('{KEYS[1]}', '{KEYS[3]}', '{KEYS[5]}', ...) of 9" in message


def test_keys_of_another_form_are_shown_beside_the_missing_ones(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES.assign(slide_id=[f"{name}.svs" for name in PATCHES.slide_id]), VALUES)
    message = refusal(tmp_path)
    assert "missing for 9 patches ('slide 0-000'" in message
    assert "found but not asked for: 9 patches ('slide 0.svs-000'" in message


def test_a_patch_in_the_file_of_another_center_only_is_missing(tmp_path: Path) -> None:
    moved = PATCHES.assign(medical_center=["UMCU", *PATCHES.medical_center[1:]])
    pathorob(tmp_path, moved, VALUES)
    message = refusal(tmp_path)
    assert f"missing for 1 patch ('{KEYS[0]}')" in message
    assert "1 of them found in the file of another medical center" in message


@pytest.mark.parametrize("write", [npy, tensors, parquet], ids=lambda write: write.__name__)
def test_double_patches_are_named(tmp_path: Path, write: Writer) -> None:
    rows = [*range(9), 2, 4]
    write(tmp_path, PATCHES.iloc[rows].reset_index(drop=True), VALUES[rows])
    assert f"more than one embedding of 2 patches ('{KEYS[2]}', '{KEYS[4]}')" in refusal(tmp_path)


def test_double_arrays_are_named(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    with zipfile.ZipFile(tmp_path / COHORT / "RUMC.npz", "a") as archive:
        content = archive.read(f"{KEYS[0]}.npy")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(f"{KEYS[0]}.npy", content)
    assert f"'camelyon/RUMC.npz' has more than one embedding of 1 patch ('{KEYS[0]}')" in refusal(tmp_path)


def test_tables_whose_patch_keys_are_not_unique_are_refused(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES, VALUES)
    twins = pd.DataFrame({"slide_id": ["a-b", "a"], "patch_id": ["c", "b-c"], "medical_center": ["R", "R"]})
    assert "more than one row for 1 patch ('a-b-c')" in refusal(tmp_path, twins)
    assert "no patches" in refusal(tmp_path, PATCHES.iloc[:0])


# --- what is refused: the values --------------------------------------------------------------------


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
    assert f"another length than 5, or none, for 1 patch ('{KEYS[8]}')" in refusal(tmp_path / "pq")


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
    assert "column 'patch_id' has 1 empty cells" in refusal(tmp_path)


@pytest.mark.parametrize("shape", [(), (1, 5), (5, 1)])
def test_arrays_that_are_no_vectors_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
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
    assert "zero columns" in refusal(tmp_path)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
@pytest.mark.parametrize("write", [pathorob, npy, tensors, parquet], ids=lambda write: write.__name__)
def test_numbers_of_another_kind_are_refused(tmp_path: Path, write: Writer, dtype: str) -> None:
    write(tmp_path, PATCHES, np.ones((9, 5), dtype=dtype))
    assert "where floating-point numbers are needed; write them as float32" in refusal(tmp_path)


@pytest.mark.parametrize("dtype", ["complex64", "U3", "V2"])
@pytest.mark.parametrize("write", [pathorob, npy], ids=lambda write: write.__name__)
def test_what_only_numpy_can_hold_is_refused(tmp_path: Path, write: Writer, dtype: str) -> None:
    write(tmp_path, PATCHES, np.ones((9, 5)).astype(dtype))
    assert "where floating-point numbers are needed; write them as float32" in refusal(tmp_path)


# --- what is refused: the files ---------------------------------------------------------------------


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("write", [pathorob, npy], ids=lambda write: write.__name__)
def test_pickles_are_refused_and_never_executed(tmp_path: Path, write: Writer) -> None:
    trace = tmp_path / "executed"
    values = np.full((9, 1), Bomb(str(trace)), dtype=object)
    write(tmp_path / "in", PATCHES, values)
    assert "holds pickled Python objects, which are never loaded" in refusal(tmp_path / "in")
    assert not trace.exists()
    # The proof is not vacuous: the same files do harm to those who allow it.
    file = sorted((tmp_path / "in" / COHORT).glob("*.np[yz]"))[0]
    loaded = np.load(file, allow_pickle=True)
    if write is pathorob:
        loaded = loaded[loaded.files[0]]
    assert trace.exists()


def test_a_pickle_under_another_name_is_refused(tmp_path: Path) -> None:
    import pickle

    trace = tmp_path / "executed"
    content = pickle.dumps(Bomb(str(trace)))
    for write in (pathorob, npy, tensors, parquet):
        folder = tmp_path / write.__name__
        write(folder, PATCHES, VALUES)
        for file in (folder / COHORT).iterdir():
            file.write_bytes(content)
        assert "cannot be read" in refusal(folder)
    pathorob(tmp_path / "member", PATCHES, VALUES)
    with zipfile.ZipFile(tmp_path / "member" / COHORT / "RUMC.npz", "w") as archive:
        for key in KEYS:
            archive.writestr(f"{key}.npy", content)
    assert "'camelyon/RUMC.npz' cannot be read" in refusal(tmp_path / "member")
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.999])
@every_layout
def test_files_that_were_cut_off_are_named(tmp_path: Path, write: Writer, share: float) -> None:
    write(tmp_path, PATCHES, VALUES)
    data = [name for name in read(tmp_path, COHORT, PATCHES).files if not name.endswith(".csv")]
    for name in data:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
        assert f"'{name}' cannot be read: " in refusal(tmp_path)
        (tmp_path / name).write_bytes(whole)


@given(
    at=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    write=st.sampled_from([pathorob, npy, tensors]),
)
@settings(max_examples=100, deadline=None)
def test_a_damaged_byte_never_ends_in_another_kind_of_error(at: float, byte: int, write: Writer) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), PATCHES, VALUES)
        file = sorted((Path(name) / COHORT).iterdir())[0]
        content = bytearray(file.read_bytes())
        content[int(at * len(content))] = byte
        file.write_bytes(content)
        try:
            found = read(Path(name), COHORT, PATCHES)
        except EmbeddingError:
            return
        assert isinstance(found, Precomputed)
        if write is pathorob:  # the only format with checksums
            np.testing.assert_array_equal(found.values, VALUES)


def test_an_array_too_large_for_one_embedding_is_not_unpacked(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    content = io.BytesIO()
    np.save(content, np.zeros(1 << 23, dtype=np.float32))
    with zipfile.ZipFile(tmp_path / COHORT / "RUMC.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for key in KEYS:
            archive.writestr(f"{key}.npy", content.getvalue() if key == KEYS[0] else b"")
    assert f"'camelyon/RUMC.npz' cannot be read: array '{KEYS[0]}' has 33554560 bytes" in refusal(tmp_path)


@pytest.mark.parametrize("write", [npy, tensors], ids=lambda write: write.__name__)
def test_rows_without_names_are_refused(tmp_path: Path, write: Writer) -> None:
    write(tmp_path, PATCHES, VALUES)
    manifest = tmp_path / COHORT / "manifest.csv"
    manifest.unlink()
    assert "has no manifest beside it" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 columns 'slide_id'"),
        ("slide_id,patch\na,b\n", "0 columns 'patch_id'"),
        ("slide_id,patch_id,slide_id\na,b,c\n", "2 columns 'slide_id'"),
        ("slide_id,patch_id\na,b\na\n", "line 3 has 1 cells under 2 columns"),
        ('slide_id,patch_id\na,"b\n', "unexpected end of data"),
        ("slide_id,patch_id\na,\xff\n", "codec can't decode"),
    ],
)
def test_broken_manifests_are_refused(tmp_path: Path, text: str, words: str) -> None:
    npy(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "manifest.csv").write_text(text, encoding="latin-1")
    message = refusal(tmp_path)
    assert "'camelyon/manifest.csv' cannot be read: " in message
    assert words in message


def test_two_manifests_are_refused(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES, VALUES)
    PATCHES.to_parquet(tmp_path / COHORT / "manifest.parquet")
    message = refusal(tmp_path)
    assert "two manifests, 'camelyon/manifest.csv' and 'camelyon/manifest.parquet'" in message
    tensors_with_keys(tmp_path / "own", PATCHES, VALUES)
    write_csv(tmp_path / "own" / f"{COHORT}.csv", PATCHES)
    assert "has a tensor 'keys' and also a manifest" in refusal(tmp_path / "own")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"features": VALUES}, "has no tensor 'embeddings' but 'features'"),
        ({"embeddings": VALUES, "keys": np.frombuffer(b'{"a": 1}', np.uint8)}, "no JSON list of strings"),
        ({"embeddings": VALUES, "keys": np.frombuffer(b"[1, 2]", np.uint8)}, "no JSON list of strings"),
        ({"embeddings": VALUES, "keys": np.frombuffer(b"[", np.uint8)}, "cannot be read"),
        ({"embeddings": VALUES, "keys": np.frombuffer(json.dumps(KEYS[:4]).encode(), np.uint8)}, "(4, D)"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, content: dict[str, Values], words: str) -> None:
    safetensors.numpy.save_file(content, tmp_path / "embeddings.safetensors")
    assert words in refusal(tmp_path)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("embedding", pa.array(range(9)), "'embedding' has the type int64 where lists"),
        (
            "slide_id",
            pa.array([float(row) for row in range(9)]),
            "'slide_id' has the type double where strings",
        ),
        ("vector", pa.array(range(9)), "0 columns 'embedding'"),
    ],
)
def test_parquet_columns_that_do_not_fit_are_refused(
    tmp_path: Path, column: str, values: pa.Array, words: str
) -> None:
    table = parquet_table(PATCHES, pa.array(list(VALUES)))
    if column == "vector":
        table = table.drop_columns(["embedding"]).append_column(column, values)
    else:
        table = table.set_column(table.schema.get_field_index(column), column, values)
    pq.write_table(table, tmp_path / "embeddings.parquet")
    assert words in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read_are_named(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "embeddings.npy").chmod(0)
    assert "'camelyon/embeddings.npy' cannot be read: " in refusal(tmp_path)
