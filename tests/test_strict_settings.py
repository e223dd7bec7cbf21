"""Strict settings of pytest neither break the gate nor change what it comes to."""

from __future__ import annotations

import pytest
from attack import Attack

SUMMARIES = {"good": "PASS: 1 of 1 criterion met", "bad": "FAIL: 1 of 1 criterion not met"}
OPTIONS = (
    "-Werror",
    "--strict-config",
    "--strict-markers",
    "--import-mode=importlib",
    "--import-mode=append",
    "-pno:warnings",
    "-pno:junitxml",
    "--capture=sys",
    "-s",
)
# A user's test beside the packaged checks: its mark and its fixtures are known.
MINE = """
import pytest
@pytest.mark.fm_metric("robustness_index")
def test_mine(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
"""
CONFIGURATIONS = {
    "every warning is an error": "filterwarnings = error",
    "strict": "xfail_strict = true\nempty_parameter_set_mark = fail_at_collect",
    "strict options": "addopts = --strict-config --strict-markers -W error",
}


def assert_same(gate: Attack, fm: str, *options: str) -> None:
    gate.write("test_mine.py", MINE)
    # A process of its own where it matters what is imported anew: that must not warn either. A run that fails
    # imports what one that passes does, and what explains a failure.
    warns = "-Werror" in options or (gate.folder / "pytest.ini").exists()
    anew = (warns and fm == "bad") or any(one.startswith("--import-mode") for one in options)
    done = gate.run("test_mine.py", *options, fm=f"embeddings:{fm}", subprocess=anew)
    assert done.headline.startswith(SUMMARIES[fm]), done.output
    assert done.code == (fm == "bad")
    assert "arning" not in done.output.replace("-pno:warnings", ""), done.output


@pytest.mark.slow
@pytest.mark.parametrize("fm", SUMMARIES)
@pytest.mark.parametrize("option", OPTIONS)
def test_options(option: str, fm: str, small_gate: Attack) -> None:
    assert_same(small_gate, fm, option)


@pytest.mark.slow
@pytest.mark.parametrize("fm", SUMMARIES)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations(name: str, fm: str, small_gate: Attack) -> None:
    small_gate.write("pytest.ini", f"[pytest]\n{CONFIGURATIONS[name]}\n")
    assert_same(small_gate, fm)


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_without_an_fm_tests_on_its_fixtures_are_skipped(mode: str, small_gate: Attack) -> None:
    small_gate.write("test_mine.py", MINE)
    run = small_gate.terminal.pytest("-rs", "-Werror", "--strict-markers", f"--import-mode={mode}")
    assert (run.code, "1 skipped" in run.output) == (0, True), run.output
    assert "there is no foundation model to check; give --fm=SPEC" in run.output
