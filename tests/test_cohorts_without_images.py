"""Given embeddings need the labels of the user's own cohort, but not its images."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from own_forms import FORMS, load, problem, twelve
from terminal import Terminal

from pathorob_checks.cohorts import registry
from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.errors import CohortError


def without_images(path: Path) -> Cohort:
    """As a run with given embeddings alone reads it."""
    sources = registry.CohortSources(metadata=None, cache=path.parent / "unused")
    return registry.load_cohort(str(path), sources, needs_images=False)


def drop_the_files(path: Path) -> None:
    shutil.rmtree(path / "images")


def drop_one_file(path: Path) -> None:
    (path / "images" / "3.png").unlink()


def drop_the_column(path: Path) -> None:
    table = pd.read_csv(path / "manifest.csv", dtype=str, keep_default_na=False)
    table.drop(columns="image_path").to_csv(path / "manifest.csv", index=False)


def empty_the_files(path: Path) -> None:
    for file in path.rglob("*.png"):
        file.write_bytes(b"")


def drop_the_image_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns("image"), path)


@pytest.mark.parametrize(
    ("form", "spoil", "reason"),
    [
        ("manifest", drop_the_files, "12 of 12 images in manifest.csv are missing"),
        ("manifest", drop_one_file, "1 of 12 images in manifest.csv is missing"),
        ("manifest", drop_the_column, "manifest.csv has no column image_path"),
        ("manifest", empty_the_files, "12 of 12 images are empty files"),
        ("tree", empty_the_files, "12 of 12 images are empty files"),
        ("parquet", drop_the_image_column, "cohort.parquet has no column 'image'"),
    ],
)
def test_labels_are_enough_where_no_fm_embeds_the_images(
    tmp_path: Path, form: str, spoil: object, reason: str
) -> None:
    path = FORMS[form](tmp_path, twelve())
    whole = load(path)
    assert without_images(path).digest == whole.digest  # images that are there count all the same
    spoil(path)  # type: ignore[operator]
    cohort = without_images(path)
    assert cohort.patches.equals(whole.patches)
    assert cohort.digest != whole.digest
    [note] = cohort.notes
    assert "read without its images" in note
    assert reason in note
    with pytest.raises(CohortError, match="without its images"):
        cohort.read_image(3)
    assert problem(path)  # an FM that embeds them needs them


def test_an_image_outside_the_folder_is_refused_all_the_same(tmp_path: Path) -> None:
    path = FORMS["manifest"](tmp_path, twelve())
    table = (path / "manifest.csv").read_text().replace("images/3.png", "../3.png")
    (path / "manifest.csv").write_text(table)
    with pytest.raises(CohortError, match="outside the cohort folder"):
        without_images(path)


def test_given_embeddings_are_checked_without_images_but_not_beside_an_fm_that_embeds(
    terminal: Terminal, slides: Path
) -> None:
    table = pd.read_csv(slides / "manifest.csv", dtype=str)
    cohort = terminal.folder / "ours"
    cohort.mkdir()
    table.drop(columns="image_path").to_csv(cohort / "manifest.csv", index=False)
    values = np.random.default_rng(0).normal(size=(len(table), 8)).astype(np.float32)
    values[:, 0] += 4 * (table.biological_class == "tumor")
    np.save(cohort / "embeddings.npy", values)
    run = terminal.pytest("--fm=embeddings:ours", "--fm-cohort=ours", "-k", "robustness_index")
    assert run.code == 0, run.output
    flat = re.sub(r"\s+", " ", run.output)
    assert "cohort ours: The cohort was read without its images, and its digest does not cover them" in flat
    both = terminal.pytest("--fm=embeddings:ours", "--fm=demo:stain-invariant", "--fm-cohort=ours")
    assert both.code == 4
    assert both.errors == ["ERROR: manifest.csv lacks the column 'image_path'; add it."]
