"""Cases (patients) with several slides: what intervals draw anew where a table has the column `case_id`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohort_folders import write_cohort
from own_forms import load, parquet_table, problem, twelve, write_manifest
from planted_slides import DESIGN, Design, measured

from pathorob_checks import evaluate
from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import clustering_score, difference, robustness_index
from pathorob_checks.metrics.inputs import resampling_units

SLIDES = pd.DataFrame({"slide_id": ["b", "a", "b", "c"]})


def test_slides_are_drawn_where_no_cases_are_known() -> None:
    units = resampling_units(SLIDES, "index")
    assert (units.names, units.codes.tolist()) == (("a", "b", "c"), [1, 0, 1, 2])


def test_cases_are_drawn_where_they_are_known() -> None:
    units = resampling_units(SLIDES.assign(case_id=["p", "q", "p", "p"]), "index")
    assert (units.names, units.codes.tolist()) == (("p", "q"), [0, 1, 0, 0])


def test_a_slide_of_two_cases_is_refused() -> None:
    with pytest.raises(MetricError) as refusal:
        resampling_units(SLIDES.assign(case_id=["p", "q", "r", "p"]), "index")
    assert str(refusal.value) == (
        "index: slide 'b' has patches of the cases 'p' and 'r'; write the one case of every slide into the "
        "column 'case_id'."
    )


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_patch_without_a_case_beside_others_with_one_is_refused(missing: object) -> None:
    with pytest.raises(MetricError, match="column 'case_id' is empty in row 3; fill it"):
        resampling_units(SLIDES.assign(case_id=["p", "q", "p", missing]), "index")


# --- robustness index ---------------------------------------------------------------------------------


def test_cases_of_one_slide_each_have_the_intervals_of_the_slides() -> None:
    x, table, by_slide = measured(0)
    by_case = robustness_index(x, table.assign(case_id="case of " + table.slide_id), k=5)
    assert (by_case.value, by_case.interval) == (by_slide.value, pytest.approx(by_slide.interval))
    assert by_case.groups == by_slide.groups
    assert "16 cases are drawn" in by_case.interval_note
    assert "16 slides are drawn" in by_slide.interval_note


def test_slides_of_a_case_change_no_value_but_the_interval() -> None:
    """Four slides of a cell that are alike within two cases show less than four slides of four patients."""
    design = replace(DESIGN, patches=6, slide=1.0)
    cases = replace(design, slides=2, patches=12).embeddings(replace(design, slides=2, patches=12).table(), 1)
    table = design.table()
    table["case_id"] = table.slide_id.replace({"/1$": "/0", "/3$": "/2"}, regex=True)
    by_slide = robustness_index(cases, table.drop(columns="case_id"), k=5)
    by_case = robustness_index(cases, table, k=5)
    assert by_case.value == by_slide.value
    assert by_case.slides == by_slide.slides
    assert by_case.interval is not None
    assert by_slide.interval is not None
    assert by_case.interval[0] < by_slide.interval[0] < by_slide.interval[1] < by_case.interval[1]
    assert by_case.resampling is not None
    assert len(by_case.resampling.units) == 8


def test_values_by_case_and_by_slide_have_no_paired_difference() -> None:
    x, table, by_slide = measured(0)
    by_case = robustness_index(x, table.assign(case_id=table.slide_id), k=5)
    with pytest.raises(MetricError, match="different protocols \\(drawn None and 'cases'\\)"):
        difference(by_case.measurement(), by_slide.measurement())


# --- clustering score ---------------------------------------------------------------------------------


def test_cases_of_one_slide_each_have_the_clustering_intervals_of_the_slides() -> None:
    x, table, _ = measured(0)
    by_slide = clustering_score(x, table, trials=2, clusters=[2, 3])
    by_case = clustering_score(x, table.assign(case_id="of " + table.slide_id), trials=2, clusters=[2, 3])
    assert by_case.value == by_slide.value
    assert by_case.interval == pytest.approx(by_slide.interval)
    assert by_case.slides == by_slide.slides
    assert "Cases are drawn" in by_case.interval_note
    assert "Slides are drawn" in by_slide.interval_note


def test_cases_are_left_out_and_halved_whole() -> None:
    """Slides that are alike within cases: the interval by case is wider, the slides named are the same."""
    design = Design(slides=8, patches=6, biology=1.5, center=0.8, slide=0.05, slides_per_case=2, case=0.8)
    table = design.table()
    x = design.embeddings(table, 0)
    by_slide = clustering_score(x, table.drop(columns="case_id"), trials=2, clusters=[2])
    by_case = clustering_score(x, table, trials=2, clusters=[2])
    assert (by_case.value, by_case.slides) == (by_slide.value, by_slide.slides)
    assert by_case.interval is not None
    assert by_slide.interval is not None
    assert by_case.interval[0] < by_slide.interval[0]
    assert by_case.resampling is not None
    assert len([cells for cells in by_case.resampling.cells if "class" in cells[0]]) == 16


# --- in a cohort's table ------------------------------------------------------------------------------

CASES = ["p1", "p2", "p3", "p4", "p5", "p6"]  # of the six slides of `twelve()`, two patches each
CaseOfPatch = list[str]


def manifest(place: Path, cases: CaseOfPatch) -> Path:
    folder = write_manifest(place, twelve())
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    table.assign(case_id=cases).to_csv(folder / "manifest.csv", index=False)
    return folder


def parquet(place: Path, cases: CaseOfPatch) -> Path:
    path = place / "cohort.parquet"
    pq.write_table(parquet_table(twelve()).append_column("case_id", pa.array(cases)), path)
    return path


FORMS = pytest.mark.parametrize("write", [manifest, parquet])
Write = Callable[[Path, CaseOfPatch], Path]


@FORMS
def test_cases_are_kept_for_the_metrics_and_are_part_of_the_digest(write: Write, tmp_path: Path) -> None:
    digests = []
    for number, cases in enumerate([CASES, [*CASES[:5], "p1"]]):
        (place := tmp_path / str(number)).mkdir()
        cohort = load(write(place, [case for case in cases for _ in range(2)]))
        drop, index = (cohort.views[name].patches for name in ("performance_drop", "robustness_index"))
        assert drop.case_id.tolist() == [case for case in cases for _ in range(2)]
        assert index.case_id.tolist() == drop.case_id.tolist()[: len(index)]
        digests.append((cohort.images, cohort.digest))
    assert digests[0][0] == digests[1][0]
    assert digests[0][1] != digests[1][1]
    assert "case_id" not in load(write_manifest(tmp_path / "without", twelve())).patches.columns


@FORMS
@pytest.mark.parametrize(
    ("cases", "words"),
    [
        (["p1", "p2", *["p3"] * 10], "slide 'ANA' is of two cases: 'p1' ({} "),
        (["P1", "P1", "p2", "p2", *["p1"] * 8], " and 'P1' ({}"),
        (["p1", "p1", " ", *["p1"] * 9], "has an empty cell in column 'case_id'"),
    ],
)
def test_cases_that_contradict_each_other_are_refused(
    write: Write, cases: CaseOfPatch, words: str, tmp_path: Path
) -> None:
    sentence = problem(write(tmp_path, cases))
    assert words.split("{")[0] in sentence
    assert "; " in sentence


def test_slides_of_one_name_in_two_cases_with_patches_of_the_same_names(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, twelve())
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    table["case_id"] = [f"p{row}" for row in range(len(table))]
    table["slide_id"] = table.slide_id + table.patch_id
    names = ["slide_id", "patch_id"]
    table.loc[1, names] = table.loc[0, names]
    table.to_csv(folder / "manifest.csv", index=False)
    sentence = problem(folder)
    assert "slide 'ANA007' is of two cases: 'p0'" in sentence
    assert "both describe" not in sentence


def test_a_column_that_is_probably_meant_as_the_case_is_refused(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, twelve())
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    table.assign(Case="p1").to_csv(folder / "manifest.csv", index=False)
    assert "a column 'Case' that is probably meant as 'case_id'" in problem(folder)


CRITERIA = """schema = "pathorob-checks/criteria/1"
name = "mine"
[[criteria]]
id = "index"
metric = "robustness_index"
at_least = 0.5
rationale = "A test."
"""


def test_a_run_draws_the_cases_of_the_manifest(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "slides", slides=4)
    table = pd.read_csv(folder / "manifest.csv", dtype=str)
    table["case_id"] = table.slide_id.replace("-1$", "-0", regex=True)
    table.to_csv(folder / "manifest.csv", index=False)
    (tmp_path / "gate.toml").write_text(CRITERIA)
    [check] = evaluate(
        "demo:color-sensitive", cohorts=folder, criteria=tmp_path / "gate.toml", cache=tmp_path / "cache"
    ).checks
    assert check.resampling is not None
    assert len(check.resampling.units) == 12
    assert "12 cases are drawn with replacement" in check.interval_note
