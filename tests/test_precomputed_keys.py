"""Given embeddings: folders and patch keys that do not fit the cohort are refused."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pandas as pd
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
    npy_beside,
    npy_directly,
    parquet,
    parquet_fixed_size,
    parquet_table,
    pathorob,
    refusal,
    tensors,
)

from pathorob_checks.embeddings.precomputed import read
from pathorob_checks.errors import EmbeddingError


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name, words in (("none", "does not exist"), ("file", "is not a folder")):
        with pytest.raises(EmbeddingError, match=words):
            read(tmp_path / name, COHORT, PATCHES)


def test_a_folder_without_the_cohort_is_refused_with_its_content(tmp_path: Path) -> None:
    assert "(it has nothing)" in refusal(tmp_path)
    (tmp_path / "tcga").mkdir()
    message = refusal(tmp_path)
    assert "'tcga'" in message
    assert "write 'camelyon/<medical center>.npz'" in message


def test_center_files_one_level_too_high_are_refused_with_a_remedy(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    assert f"did you mean --fm=embeddings:{tmp_path}?" in refusal(tmp_path / COHORT)


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="only Unix has named pipes")
def test_a_pipe_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "embeddings.npy")  # opening it would never return
    assert "has no embeddings" in refusal(tmp_path)


def test_a_missing_center_is_named_with_the_existing_ones(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "Greater_Poland_Cancer_Center.npz").unlink()
    message = refusal(tmp_path)
    assert "'camelyon' has no file 'Greater_Poland_Cancer_Center.npz'" in message
    assert "it has 'RUMC.npz', 'UMCU.npz'" in message


@every_layout
def test_missing_patches_are_counted_and_three_are_named(tmp_path: Path, write: Writer) -> None:
    keep = [0, 2, 4, 8]
    write(tmp_path, PATCHES.iloc[keep].reset_index(drop=True), VALUES[keep])
    message = refusal(tmp_path)
    assert f"missing for 5 patches ('{KEYS[1]}', '{KEYS[3]}', '{KEYS[5]}', ...) of 9" in message


def test_unknown_keys_are_shown_beside_the_missing_ones(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES.assign(slide_id=[f"{name}.svs" for name in PATCHES.slide_id]), VALUES)
    message = refusal(tmp_path)
    assert "missing for 9 patches ('slide 0-000'" in message
    assert "the files hold other patch keys instead: 9 patches ('slide 0.svs-000'" in message


def test_a_patch_in_the_file_of_another_center_only_is_missing(tmp_path: Path) -> None:
    moved = PATCHES.assign(medical_center=["UMCU", *PATCHES.medical_center[1:]])
    pathorob(tmp_path, moved, VALUES)
    message = refusal(tmp_path)
    assert f"missing for 1 patch ('{KEYS[0]}')" in message
    assert "1 of them is in the file of another medical center" in message


@pytest.mark.parametrize("write", [npy, tensors, parquet], ids=lambda write: write.__name__)
def test_repeated_patches_are_named(tmp_path: Path, write: Writer) -> None:
    rows = [*range(9), 2, 4]
    write(tmp_path, PATCHES.iloc[rows].reset_index(drop=True), VALUES[rows])
    assert f"more than one embedding of 2 patches ('{KEYS[2]}', '{KEYS[4]}')" in refusal(tmp_path)


def test_repeated_arrays_are_named(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    with zipfile.ZipFile(tmp_path / COHORT / "RUMC.npz", "a") as archive:
        content = archive.read(f"{KEYS[0]}.npy")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(f"{KEYS[0]}.npy", content)
    assert f"'camelyon/RUMC.npz' has more than one embedding of 1 patch ('{KEYS[0]}')" in refusal(tmp_path)


def test_tables_whose_patch_keys_are_not_unique_are_refused(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES, VALUES)
    table = {"slide_id": ["a-b", "a"], "patch_id": ["c", "b-c"], "medical_center": ["R", "R"]}
    repeated = pd.DataFrame(table)
    assert (
        "more than one row for 1 patch ('a-b-c'): patch 'c' of slide 'a-b' and patch 'b-c' of slide 'a'"
        in refusal(tmp_path, repeated)
    )
    assert "no patches" in refusal(tmp_path, PATCHES.iloc[:0])


LABELED = PATCHES.assign(biological_class=["normal", "tumor", "tumor"] * 3)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("column", ["biological_class", "medical_center"])
def test_a_label_that_contradicts_the_cohort_is_refused(tmp_path: Path, suffix: str, column: str) -> None:
    table = LABELED.copy()
    table.loc[0, column] = next(text for text in table[column] if text != table.loc[0, column])
    npy(tmp_path, PATCHES, VALUES)
    manifest = tmp_path / COHORT / "manifest.csv"
    if suffix == "parquet":
        manifest.unlink()
        table.to_parquet(manifest.with_suffix(".parquet"))
    else:
        table.to_csv(manifest, index=False)
    sentence = refusal(tmp_path, LABELED)
    assert f"{column} of patch 'slide 0-000' is" in sentence
    assert "in the cohort; find out which label is right" in sentence


def test_labels_written_in_another_way_say_nothing(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES, VALUES)
    coded = LABELED.assign(biological_class=[0, 1, 1] * 3, medical_center="x")
    for table in (LABELED, coded):
        table.to_csv(tmp_path / COHORT / "manifest.csv", index=False)
        assert len(read(tmp_path, COHORT, LABELED).values) == len(PATCHES)


def test_a_label_in_the_table_of_embeddings_that_contradicts_the_cohort_is_refused(tmp_path: Path) -> None:
    (tmp_path / COHORT).mkdir()
    table = parquet_table(PATCHES, pa.array(list(VALUES)))
    swapped = ["tumor", "normal", "tumor"] * 3
    pq.write_table(
        table.append_column("biological_class", pa.array(swapped)), tmp_path / COHORT / "embeddings.parquet"
    )
    assert "biological_class of patch" in refusal(tmp_path, LABELED)
