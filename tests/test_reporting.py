"""What a gated run tells, whoever writes to the terminal."""

from __future__ import annotations

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
