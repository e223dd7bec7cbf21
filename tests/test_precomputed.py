"""Given embeddings: every layout gives the same values."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from embedding_folders import (
    COHORT,
    KEYS,
    PATCHES,
    VALUES,
    WRITERS,
    Writer,
    every_layout,
    npy,
    parquet,
    pathorob,
    tensors,
    write_csv,
    write_npz,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pathorob_checks.embeddings import matrix_files
from pathorob_checks.embeddings.pathorob_layout import write_pathorob_layout
from pathorob_checks.embeddings.precomputed import read
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.evidence.qualification.golden_cohorts import COHORTS, TABLES, embeddings


@every_layout
def test_every_layout_gives_the_rows_of_the_table(tmp_path: Path, write: Writer) -> None:
    write(tmp_path, PATCHES, VALUES)
    loaded = read(tmp_path, COHORT, PATCHES)
    np.testing.assert_array_equal(loaded.values, VALUES)
    assert loaded.values.dtype == np.float32
    assert not loaded.values.flags.writeable
    assert loaded.layout == WRITERS[write]
    assert loaded.notes == ()
    assert loaded.files
    assert all((tmp_path / name).is_file() for name in loaded.files)


@every_layout
def test_a_cohort_is_found_under_the_name_of_its_folder(tmp_path: Path, write: Writer) -> None:
    """Ids lack some characters that names of folders have."""
    write(tmp_path, PATCHES, VALUES)
    for path in sorted(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace(COHORT, f"<{COHORT}>🎈")))
    np.testing.assert_array_equal(read(tmp_path, COHORT, PATCHES).values, VALUES)


def test_a_cohort_under_both_names_is_refused(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES, VALUES)
    shutil.copytree(tmp_path / COHORT, tmp_path / f"{COHORT}🎈")
    with pytest.raises(EmbeddingError, match="more than once"):
        read(tmp_path, COHORT, PATCHES)


def test_the_files_that_were_read_are_listed(tmp_path: Path) -> None:
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
    requested=st.permutations(range(len(PATCHES))),
    write=st.sampled_from(list(WRITERS)),
    block=st.integers(1, 10),
    dropped=st.integers(0, 4),
)
@settings(max_examples=60, deadline=None)
def test_neither_layout_nor_order_nor_blocks_change_values_and_digest(
    order: list[int], requested: list[int], write: Writer, block: int, dropped: int
) -> None:
    requested = requested[dropped:]  # the others are unused
    reference = plain_digest(requested)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_files, "BLOCK", block)
        write(Path(name), PATCHES.iloc[order].reset_index(drop=True), VALUES[order])
        loaded = read(Path(name), COHORT, PATCHES.iloc[requested])
    np.testing.assert_array_equal(loaded.values, VALUES[requested])
    assert loaded.digest == reference


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
def test_unused_patches_are_a_note(tmp_path: Path, write: Writer) -> None:
    write(tmp_path, PATCHES, VALUES)
    keep = [row for row in range(9) if row not in (1, 3, 5, 8)]
    loaded = read(tmp_path, COHORT, PATCHES.iloc[keep])
    np.testing.assert_array_equal(loaded.values, VALUES[keep])
    [note] = loaded.notes
    assert note.startswith("Embeddings of 4 patches (")
    assert note.endswith(", ...) were not used: the cohort does not have them.")
    assert sum(KEYS[row] in note for row in (1, 3, 5, 8)) == 3


def test_files_of_other_centers_are_a_note_and_are_not_opened(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "CWZ.npz").write_bytes(b"not a zip file")
    (tmp_path / COHORT / "._RUMC.npz").write_bytes(b"as macOS writes on foreign disks")
    loaded = read(tmp_path, COHORT, PATCHES)
    assert loaded.notes == ("Files of medical centers outside the cohort were not read: 'CWZ.npz'.",)


def test_arrays_that_are_not_needed_are_not_read(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    with zipfile.ZipFile(tmp_path / COHORT / "RUMC.npz", "a") as archive:
        archive.writestr("unused.npy", b"not an array")
    assert "'unused'" in read(tmp_path, COHORT, PATCHES).notes[0]


def test_an_unused_patch_may_be_in_the_file_of_another_center(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    own = {KEYS[row]: VALUES[row] for row in np.flatnonzero(PATCHES.medical_center == "RUMC")}
    write_npz(tmp_path / COHORT / "RUMC.npz", {KEYS[2]: np.ones(5, dtype=np.float32), **own})
    loaded = read(tmp_path, COHORT, PATCHES)
    np.testing.assert_array_equal(loaded.values, VALUES)
    assert KEYS[2] in loaded.notes[0]


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4"])
@pytest.mark.parametrize("write", [pathorob, npy, tensors, parquet], ids=lambda write: write.__name__)
def test_other_precisions_are_converted_with_a_note(tmp_path: Path, write: Writer, dtype: str) -> None:
    stored = VALUES.astype(dtype)
    write(
        tmp_path,
        PATCHES,
        stored if write in (pathorob, npy) else stored.astype(stored.dtype.newbyteorder("=")),
    )
    loaded = read(tmp_path, COHORT, PATCHES)
    np.testing.assert_array_equal(loaded.values, stored.astype(np.float32))
    note = f"Embeddings of 9 patches were converted from {dtype} to float32."
    assert loaded.notes == ((note,) if dtype != ">f4" else ())


def test_bfloat16_is_converted_with_a_note(tmp_path: Path) -> None:
    write_csv(tmp_path / "manifest.csv", PATCHES)
    stored = torch.from_numpy(VALUES).bfloat16()
    safetensors.torch.save_file({"embeddings": stored}, tmp_path / "embeddings.safetensors")
    loaded = read(tmp_path, COHORT, PATCHES)
    np.testing.assert_array_equal(loaded.values, stored.float().numpy())
    assert loaded.notes == ("Embeddings of 9 patches were converted from bfloat16 to float32.",)


def test_cells_of_a_manifest_are_strings_as_written(tmp_path: Path) -> None:
    ids = ["007", "NA", "1e5", "nan", "7", "a,b", 'say "x"', "None", "TRUE"]
    patches = PATCHES.assign(slide_id=ids, patch_id=ids)
    npy(tmp_path, patches, VALUES)
    np.testing.assert_array_equal(read(tmp_path, COHORT, patches).values, VALUES)


def test_integer_ids_of_a_parquet_file_are_read_as_their_digits(tmp_path: Path) -> None:
    patches = PATCHES.assign(patch_id=[str(row) for row in range(9)])
    parquet(tmp_path, patches.assign(patch_id=range(9)), VALUES)
    np.testing.assert_array_equal(read(tmp_path, COHORT, patches).values, VALUES)


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "manifest.csv").rename(tmp_path / "table.txt")
    (tmp_path / COHORT / "manifest.csv").symlink_to(tmp_path / "table.txt")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert read(tmp_path / "link", COHORT, PATCHES).layout == "npy"


@pytest.mark.slow
@pytest.mark.parametrize("cohort", COHORTS)
def test_cohorts_as_large_as_the_benchmarks_are_written_and_read(tmp_path: Path, cohort: str) -> None:
    name, weights = COHORTS[cohort]
    patches = TABLES[name]()
    values = embeddings(patches, **weights)
    written = write_pathorob_layout(tmp_path, cohort, patches, values)
    assert len(written) == patches.medical_center.nunique()
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == written
    loaded = read(tmp_path, cohort, patches)
    np.testing.assert_array_equal(loaded.values, values)
    assert loaded.notes == ()
