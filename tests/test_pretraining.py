"""What an FM was pretrained on, beside the cohorts that come from there; what is not stated never passes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohort_folders import write_cohort
from terminal import Terminal

from pathorob_checks import Results, evaluate
from pathorob_checks.cohorts.benchmark import facts
from pathorob_checks.cohorts.settings import read_settings
from pathorob_checks.errors import CohortError, MetricError, SettingsError, SpecError
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evaluation.subjects import subjects_of
from pathorob_checks.metrics.pretraining_overlap import pretraining_share
from pathorob_checks.models.recipes import recipes
from pathorob_checks.pretraining import UNSTATED, Pretraining, PretrainingData, touched

CRITERIA = """schema = "pathorob-checks/criteria/1"
name = "unseen"
[[criteria]]
id = "unseen"
metric = "pretraining_overlap"
at_most = 0.0
rationale = "An FM is judged on slides that it has not seen."
"""


def stated(*names: str, is_complete: bool = True) -> Pretraining:
    return Pretraining(
        data=tuple(PretrainingData(name=name, source="a test") for name in names), is_complete=is_complete
    )


@pytest.fixture
def folder(lone_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    cohort = write_cohort(lone_terminal.folder / "coh", slides=4, patches=2, side=8)
    rows = list(csv.DictReader((cohort / "manifest.csv").read_text().splitlines()))
    np.save(cohort / "embeddings.npy", np.random.default_rng(0).normal(size=(len(rows), 6)).astype("f4"))
    (cohort / "cohort.toml").write_text('sources = ["CAMELYON16", "our hospital"]\nk = 3\n')
    (lone_terminal.folder / "unseen.toml").write_text(CRITERIA)
    monkeypatch.chdir(lone_terminal.folder)
    return lone_terminal


def run(folder: Terminal, **changed: Any) -> Results:
    return evaluate(
        "embeddings:coh", cohorts="coh", criteria="unseen.toml", cache=folder.cache, progress=False, **changed
    )


# --- the metric -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pretraining", "sources", "value"),
    [
        (stated("TCGA", "GTEx"), ("CAMELYON16", "CAMELYON17"), 0.0),
        (stated("TCGA", "CAMELYON16"), ("CAMELYON16", "CAMELYON17"), 0.5),
        (stated("TCGA", is_complete=False), ("TCGA",), 1.0),
        (stated("tcga-luad"), ("TCGA",), 1.0),
        (stated(), ("TCGA",), 0.0),
    ],
)
def test_the_overlap_is_the_share_of_the_cohorts_sources(
    pretraining: Pretraining, sources: tuple[str, ...], value: float
) -> None:
    assert pretraining_share(None, [], pretraining=pretraining, sources=sources).value == value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pretraining", "sources", "message"),
    [
        (UNSTATED, ("TCGA",), "not stated what the FM was pretrained on; state all of its sources"),
        (stated("GTEx", is_complete=False), ("TCGA",), "pretrained on beside 'GTEx'; state all"),
        (stated("TCGA"), (), "not stated which sources the cohort comes from; state them in its cohort.toml"),
    ],
)
def test_what_is_not_stated_has_no_value(
    pretraining: Pretraining, sources: tuple[str, ...], message: str
) -> None:
    with pytest.raises(MetricError, match=message):
        pretraining_share(None, [], pretraining=pretraining, sources=sources)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "source"),
    [("TCGA", "TCGA"), ("TCGA-UT", "TCGA"), ("Camelyon 16", "CAMELYON16"), ("CAMELYON", "CAMELYON17")],
)
def test_names_that_may_mean_the_same_data_are_the_same(name: str, source: str) -> None:
    assert touched([name], [source]) == (source,)


def test_other_data_are_other_data() -> None:
    assert touched(["CAMELYON17", "GTEx", "our hospital"], ["CAMELYON16", "TCGA"]) == ()


# --- a run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "verdict", "passed"),
    [
        ({}, "error", False),
        ({"pretraining": "CAMELYON16"}, "fail", False),
        ({"pretraining": ("TCGA", "GTEx")}, "pass", True),
    ],
)
def test_only_an_fm_that_states_other_data_passes(
    folder: Terminal, changed: dict[str, Any], verdict: str, passed: bool
) -> None:
    results = run(folder, **changed)
    assert ([check.verdict for check in results.checks], results.passed) == ([verdict], passed)


def test_a_cohort_whose_sources_are_not_stated_never_passes(folder: Terminal) -> None:
    (folder.folder / "coh" / "cohort.toml").write_text("k = 3\n")
    results = run(folder, pretraining="TCGA")
    assert not results.passed
    assert "which sources the cohort comes from" in results.checks[0].reason


def test_every_report_says_which_cohort_the_fm_has_seen(folder: Terminal) -> None:
    sentence = "It was pretrained on CAMELYON16, from which patches of coh come."
    ran = folder.pytest(
        "--fm=embeddings:coh",
        "--fm-cohort=coh",
        "--fm-criteria=unseen.toml",
        "--fm-pretraining=CAMELYON16",
        "--fm-json=r.json",
        "--fm-html=r.html",
        "--fm-markdown=r.md",
    )
    assert ran.code == 1, ran.output
    assert sentence in " ".join(ran.output.split())
    facts_of_fm = folder.results("r.json")["runs"][0]["fm"]
    assert facts_of_fm["pretraining"] == {
        "data": [{"name": "CAMELYON16", "source": "stated for this run"}],
        "is_complete": True,
    }
    assert folder.results("r.json")["runs"][0]["cohort"]["sources"] == ["CAMELYON16", "our hospital"]
    for name in ("r.html", "r.md"):
        assert sentence in (folder.folder / name).read_text().replace("`", "")


# --- statements -------------------------------------------------------------------------------------------


def test_a_statement_is_about_one_fm() -> None:
    which = "--fm-pretraining=TCGA is about one FM, but it could be about 'h-optimus-0', 'virchow2'"
    with pytest.raises(SpecError, match=which):
        subjects_of(Settings(fms=("h-optimus-0", "virchow2"), cohorts=("camelyon",), pretraining=("TCGA",)))
    with pytest.raises(SpecError, match="the recipes state all already; leave it out"):
        subjects_of(Settings(fms=("demo:stain-invariant",), cohorts=("demo",), pretraining=("TCGA",)))
    with pytest.raises(SettingsError, match="the name of a source of pretraining data is empty"):
        Settings(fms=("virchow2",), pretraining=("",))


def test_a_statement_completes_that_of_the_recipe() -> None:
    subjects = subjects_of(
        Settings(fms=("phikon-v2", "demo:stain-invariant"), cohorts=("demo",), pretraining=("CAMELYON16",))
    )
    assert subjects.pretraining_of("phikon-v2").is_complete
    assert subjects.pretraining_of("phikon-v2").names == ("TCGA", "CPTAC", "GTEx", "CAMELYON16")
    assert subjects.pretraining_of("demo:stain-invariant").names == ()


def test_every_statement_of_a_recipe_has_names_and_sources() -> None:
    stating = {name: one.pretraining for name, one in recipes().items() if one.pretraining.data}
    assert len(stating) > 20
    assert all(len(set(one.names)) == len(one.names) for one in stating.values())
    # A part of the data may be missing: no source was read for that, so none of them says "no others".
    assert not any(one.is_complete for one in stating.values())
    assert not any(one.is_complete and not one.data for one in map(_pretraining, recipes()))
    assert recipes()["h-optimus-0"].pretraining == UNSTATED


def _pretraining(name: str) -> Pretraining:
    return recipes()[name].pretraining


def test_every_cohort_of_the_benchmark_states_its_sources() -> None:
    sources = {name: cohort.sources for name, cohort in facts().cohorts.items()}
    assert sources["camelyon"] == ("CAMELYON16", "CAMELYON17")
    assert "TCGA" in sources["tcga"]
    assert "TCGA" in sources["tolkach_esca"]  # its out-of-domain center VALSET3_TCGA


@pytest.mark.parametrize("value", ['"TCGA"', "[1]", '[""]', "true"])
def test_sources_that_are_no_names_are_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "cohort.toml"
    path.write_text(f"sources = {value}\n")
    with pytest.raises(CohortError, match="which is no list of names; write for example sources"):
        read_settings(path)
