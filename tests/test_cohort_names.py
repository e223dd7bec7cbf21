"""Cohorts by their paths: names that differ, a manifest that stands for its folder, and near misses."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_forms import load, twelve, write_manifest

from pathorob_checks.cohorts.registry import check_cohort_text, cohort_name, cohort_names
from pathorob_checks.errors import CohortError


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["data/ours", "camelyon"], ["ours", "camelyon"]),
        (["a/ours", "b/ours"], ["a_ours", "b_ours"]),
        (["a/x/ours", "b/x/ours", "c/ours.parquet"], ["a_x_ours", "b_x_ours", "c_ours"]),
        (["a/ours/manifest.csv", "b/ours"], ["a_ours", "b_ours"]),
        (["a/ours", "a_ours"], ["ours", "a_ours"]),
    ],
)
def test_folders_of_one_name_have_more_of_their_path(texts: list[str], names: list[str]) -> None:
    assert cohort_names(texts) == names


@pytest.mark.parametrize("texts", [["ours", "./ours"], ["ours", "ours/manifest.csv"], ["demo", "demo"]])
def test_a_cohort_that_is_given_twice_is_refused(texts: list[str]) -> None:
    with pytest.raises(CohortError, match=r"the same cohort twice .* give it once"):
        cohort_names(texts)


def test_a_manifest_stands_for_its_folder(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, twelve())
    manifest = folder / "manifest.csv"
    assert cohort_name(str(manifest)) == "cohort"
    assert load(manifest).digest == load(folder).digest


@pytest.mark.parametrize("written", ["Cohort", "cohrt"])
def test_a_similar_folder_is_suggested(tmp_path: Path, written: str) -> None:
    folder = write_manifest(tmp_path, twelve())
    with pytest.raises(CohortError) as caught:
        check_cohort_text(str(tmp_path / written))
    assert f"did you mean '{folder}'?" in str(caught.value)


def test_a_similar_cohort_of_the_benchmark_is_suggested() -> None:
    with pytest.raises(CohortError, match="did you mean 'camelyon'"):
        check_cohort_text("Camelyn")
