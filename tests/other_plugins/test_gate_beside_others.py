"""With `--fm`, no plugin of others changes the verdict, the exit code or the table."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from attack import Attack
from neighbors import NEIGHBORS, Neighbor, alone

from pathorob_checks.report.terminal import render_results
from pathorob_checks.results.results import Results
from pathorob_checks.results.text import wrapped

FMS = {"met": ("good",), "not met": ("good", "bad")}
STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class GateRun(NamedTuple):
    """What a run came to, and what a reader saw of it."""

    code: int
    summary: str
    checks: list[dict[str, Any]]
    integrity: list[dict[str, Any]]
    output: str


@pytest.fixture(scope="session")
def runs_alone() -> dict[str, GateRun]:
    """Runs without plugins of others, made once."""
    return {}


def run_gate(gate: Attack, case: str, neighbor: Neighbor | None, *more: str) -> GateRun:
    arguments = (
        *(f"--fm=embeddings:{fm}" for fm in FMS[case]),
        "--fm-cohort=coh", "--fm-criteria=index.toml", "--fm-json=results.json", "--tb=short",
        *alone(neighbor), *more,
    )  # fmt: skip
    if neighbor is not None and neighbor.tty:
        run = gate.terminal.pytest_on_a_tty(*arguments)
    else:
        run = gate.terminal.pytest(*arguments, subprocess=True)
    results = gate.terminal.results()
    return GateRun(run.code, results["summary"], results["checks"], results["integrity"], run.output)


@pytest.mark.parametrize("case", FMS)
@pytest.mark.parametrize("name", NEIGHBORS)
def test_verdict_exit_code_and_table_are_the_same(
    name: str, case: str, small_gate: Attack, runs_alone: dict[str, GateRun]
) -> None:
    neighbor = NEIGHBORS[name]
    beside = run_gate(small_gate, case, neighbor, *neighbor.options)
    if case not in runs_alone:
        runs_alone[case] = run_gate(small_gate, case, None, "-pno:xdist")
    assert (beside.code, beside.summary) == (runs_alone[case].code, runs_alone[case].summary), beside.output
    assert beside.code == (case == "not met")
    assert beside.checks == runs_alone[case].checks
    assert beside.integrity == runs_alone[case].integrity
    table = render_results(Results.read(small_gate.folder / "results.json"), 80)
    shown = STEERING.sub("", beside.output)
    summary = wrapped(beside.summary, width=80, indent="  ")
    assert f"{table}\n\n{summary}\n" in shown, beside.output
    assert shown.count(summary) == 1
