"""What a gated run tells, whoever writes to the terminal."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from attack import Attack

GIVEN = ("--fm-cohort=coh", "--fm-criteria=index.toml")
SUMMARIES = {"good": "PASS: 1 of 1 criterion met", "bad": "FAIL: 1 of 1 criterion not met"}


@pytest.mark.parametrize("fm", SUMMARIES)
@pytest.mark.parametrize("option", ["-pno:terminal", "-q", "-qq", "--no-header", "--no-summary", "-v"])
def test_terms_table_and_verdict_are_told_once(option: str, fm: str, small_gate: Attack) -> None:
    terminal = small_gate.terminal
    run = terminal.pytest(f"--fm=embeddings:{fm}", *GIVEN, "--fm-json=results.json", option)
    assert run.code == (fm == "bad")
    digest = terminal.results()["environment"]["criteria"]["digest"]
    for once in (digest, "plan: 1 criterion, 11 integrity checks", "criteria: index-only", SUMMARIES[fm],
                 " robustness of foundation models ", ">= 0.500  " + SUMMARIES[fm][:4]):  # fmt: skip
        assert run.output.count(once) == 1, (once, run.output)


def test_a_run_that_measures_nothing_has_no_table(small_gate: Attack) -> None:
    run = small_gate.terminal.pytest("--fm=embeddings:good", *GIVEN, "--co", "-pno:terminal")
    assert (run.code, "robustness of" in run.output) == (0, False)


@pytest.mark.parametrize("more", [(), ("-n1",), ("--tb=long",), ("-vv",), ("--tb=line",)])
def test_a_failure_is_explained_once_and_has_one_line_in_the_short_summary(
    more: tuple[str, ...], small_gate: Attack
) -> None:
    # In a CI, pytest shows all of a failure's message in its short summary.
    run = small_gate.terminal.pytest("--fm=embeddings:bad", *GIVEN, "--junitxml=junit.xml", *more, CI="true")
    line = (
        "suites/test_robustness_index.py::test_robustness_index[bad-coh] - robustness index of bad on coh is "
        "0.000, below the bound 0.500 (95 % interval [0.000, 0.148])."
    )
    assert run.output.count(f"FAILED {line}\n") == 1, run.output
    # Before version 9 pytest shows the first line of a message only where it is asked for one line.
    shows_all = "--tb=line" not in more or pytest.version_tuple >= (9,)
    assert run.output.count("What to do:") == shows_all
    [failure] = ET.parse(small_gate.folder / "junit.xml").getroot().iter("failure")
    assert failure.get("message") == line.partition(" - ")[2]
    assert "What to do:" in (failure.text or "")
