"""A cohort of the user's never has the name of one that something is published of."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_forms import assert_mentions, load, problem, twelve, write_manifest, write_parquet, write_tree

from pathorob_checks.cohorts import registry
from pathorob_checks.errors import CohortError

WAYS = [
    "camelyon",
    "tcga",
    "tolkach_esca",
    "demo",
    "Camelyon",
    "TCGA",
    "tolkach-esca",
    "tolkach esca",
    "_camelyon_",
    "camelyon.",
    "camelyon@v1",
    "camelyon@" + "c" * 40,
    "c\u0430melyon",
    "camelyon\u200b",
    "\uff43amelyon",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(text: str) -> str:
    with pytest.raises(CohortError) as caught:
        registry.check_cohort_text(text)
    return str(caught.value)


@pytest.mark.parametrize("name", WAYS)
def test_a_folder_with_a_published_name_is_refused(here: Path, name: str) -> None:
    folder = write_manifest(here, twelve()).rename(here / name)
    for text in (f"./{name}", str(folder), f"{folder}/", f"x/../{name}", f"{folder}/."):
        if text.startswith("x/"):
            (here / "x").mkdir(exist_ok=True)
        assert_mentions(refusal(text), "is yours but is called like the cohort", "rename it")
    assert_mentions(problem(folder), "is yours")


@pytest.mark.parametrize("name", ["camelyon", "Camelyon", "demo"])
def test_a_file_or_tree_with_a_published_name_is_refused(here: Path, name: str) -> None:
    write_parquet(here, twelve()).rename(here / f"{name}.parquet")
    write_tree(here, twelve()).rename(here / name)
    assert_mentions(refusal(f"./{name}.parquet"), "is yours")
    assert_mentions(refusal(f"{name}.parquet"), "is yours")
    assert_mentions(refusal(f"./{name}"), "is yours")


@pytest.mark.parametrize(("link", "target"), [("camelyon", "ours"), ("ours", "camelyon")])
def test_a_link_does_not_lend_a_published_name(here: Path, link: str, target: str) -> None:
    write_manifest(here, twelve()).rename(here / target)
    (here / link).symlink_to(here / target)
    assert_mentions(refusal(f"./{link}"), "is yours", "camelyon of the benchmark")


@pytest.mark.parametrize("name", ["our-camelyon", "camelyon17", "tcga_2x2", "demo2", "cam"])
def test_other_names_are_free(here: Path, name: str) -> None:
    folder = write_manifest(here, twelve()).rename(here / name)
    registry.check_cohort_text(f"./{name}")
    assert len(load(folder)) == 12


def test_the_name_alone_is_the_benchmarks_whatever_lies_beside_it(here: Path) -> None:
    write_manifest(here, twelve()).rename(here / "camelyon")
    registry.check_cohort_text("camelyon")
    assert registry.license_of("camelyon") == ("CC0-1.0", True)
