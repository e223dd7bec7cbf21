"""Sentences of a whole run that a reader must understand at the first reading, in the real command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohort_folders import write_cohort
from made_checks import criterion_of, made
from terminal import Terminal

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evaluation.judging import judged
from pathorob_checks.evaluation.measuring import Measured
from pathorob_checks.metrics.index_uncertainty import _shared_center
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.report.terminal import render_table

CRITERIA = """schema = "pathorob-checks/criteria/1"
name = "ours"
inconclusive = "warn"
[[criteria]]
id = "capped"
metric = "robustness_index"
at_most = 0.9
rationale = "A test."
"""


DEFINED = "for the value over all slides of these medical centers and classes"
DEFINING = (
    "docs/reading.md",
    "docs/glossary.md",
    "docs/explanation.md",
    "docs/metrics.md",
    "docs/tutorial.md",
    "docs/comparing.md",
    "pathorob_checks/report/templates/facts.html",
    "pathorob_checks/metrics/measurement.py",
)


@pytest.mark.parametrize("page", DEFINING)
def test_an_interval_is_defined_in_the_same_words_everywhere(page: str) -> None:
    text = " ".join((Path(__file__).parents[1] / page).read_text(encoding="utf-8").split())
    assert DEFINED in text.replace("**", "")
    assert "would lie for other slides" not in text  # that is the range of another cohort's value


@pytest.fixture
def folder(lone_terminal: Terminal) -> Path:
    write_cohort(lone_terminal.folder / "slides")
    (lone_terminal.folder / "ours.toml").write_text(CRITERIA)
    return lone_terminal.folder


def give_embeddings(folder: Path, *, broken: bool = False) -> None:
    table = pd.read_csv(folder / "slides" / "manifest.csv", dtype=str)
    values = np.random.default_rng(0).normal(size=(len(table), 16)).astype(np.float32)
    values[:, 0] += 6 * (table.biological_class == "tumor")
    if broken:
        values[5] = np.nan
    (folder / "emb" / "slides").mkdir(parents=True)
    table[["slide_id", "patch_id"]].to_csv(folder / "emb" / "slides" / "manifest.csv", index=False)
    np.save(folder / "emb" / "slides" / "embeddings.npy", values)


def test_a_cause_is_told_once_and_the_file_is_named_whole(folder: Path, lone_terminal: Terminal) -> None:
    give_embeddings(folder, broken=True)
    run = lone_terminal.pytest("--fm=embeddings:emb", "--fm-cohort=slides", "-rN")
    failures, _, table = run.output.partition("robustness of foundation models")
    causes = [line for line in failures.splitlines() if "contain NaN or infinite values" in line]
    assert len(causes) == 1, run.output
    assert "in 'emb/slides/embeddings.npy'; compute these embeddings again" in causes[0]
    first = "suites/test_clustering_score.py::test_clustering_score[emb-slides]"
    assert failures.count(f"not measured for the reason that {first} gives.") == 3
    assert failures.count(f"fails for the reason that {first} gives.") == 1
    # The results keep the whole reason for each of them.
    assert "contain NaN or infinite values" in " ".join(table.split())


@pytest.mark.slow
def test_given_embeddings_pass_with_the_number_of_checks_that_apply(
    folder: Path, lone_terminal: Terminal
) -> None:
    give_embeddings(folder)
    run = lone_terminal.pytest("--fm=embeddings:emb", "--fm-cohort=slides", "-k", "integrity or index")
    assert "5 of 11 integrity checks made" not in run.output  # PARTIAL: said of what passes only
    run = lone_terminal.pytest("--fm=embeddings:emb", "--fm-cohort=slides")
    assert run.code == 0, run.output
    assert run.headline.startswith("PASS: ")
    assert run.headline.endswith("; 5 of 11 integrity checks made; 6 do not apply to given embeddings")
    run = lone_terminal.pytest("--fm=demo:stain-invariant", "--fm-cohort=slides")
    assert "do not apply" not in run.output


def test_the_head_says_that_a_bound_is_upside_down(folder: Path, lone_terminal: Terminal) -> None:
    given = ("--fm=demo:stain-invariant", "--fm-cohort=slides")
    run = lone_terminal.pytest(*given, "--fm-criteria=ours.toml", "--co", "-q")
    head = lone_terminal.pytest(*given, "--fm-criteria=ours.toml", "-k", "none").output.partition("rootdir")[
        0
    ]
    sentence = (
        "criterion capped: higher values of robustness_index are more robust, and at_most lets the less "
        "robust "
        "ones pass; be sure that this is meant"
    )
    assert sentence in head, run.output
    assert "at_most" not in lone_terminal.pytest(*given, "-k", "none").output


def test_bounds_of_a_file_are_not_called_a_profile() -> None:
    assert "Bounds (ours.toml, rule three-way):" in render_table([made()], 80, "ours.toml")
    assert "Bounds (profile floor, rule three-way):" in render_table([made()], 80, "profile floor")


def test_an_inconclusive_verdict_that_is_allowed_says_so() -> None:
    measurement = Measurement(metric="robustness_index", value=0.48, interval=(0.4, 0.56))
    check = judged("t", "fm", "none", criterion_of("robustness_index"), Measured(measurement=measurement))
    assert check.verdict is Verdict.INCONCLUSIVE
    shown = render_table([check], 80, "profile floor", allowed=True)
    assert "INCONCLUSIVE*\n" in shown
    assert "\n* allowed: profile floor lets an inconclusive verdict pass.\n" in shown
    for other in (render_table([check], 80, "floor"), render_table([made()], 80, "floor", allowed=True)):
        assert "allowed" not in other
        assert "*" not in other


@pytest.mark.parametrize(
    ("so", "os_", "clause"),
    [
        (1, 0, "its only informative neighbor shares the class"),
        (0, 1, "its only informative neighbor shares the medical center"),
        (2, 0, "none of its 2 informative neighbors share the medical center instead of the class"),
        (2, 1, "1 of its 3 informative neighbors shares the medical center instead of the class"),
        (1, 2, "2 of its 3 informative neighbors share the medical center instead of the class"),
        (0, 3, "all of its 3 informative neighbors share the medical center instead of the class"),
        (1, 1999, "1,999 of its 2,000 informative neighbors share the medical center instead of the class"),
    ],
)
def test_small_numbers_of_neighbors_are_grammatical(so: int, os_: int, clause: str) -> None:
    assert _shared_center(so, os_) == clause
