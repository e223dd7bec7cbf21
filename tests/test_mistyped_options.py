"""A mistyped option of `pytest` names the one that is meant, and never runs something else in silence."""

from __future__ import annotations

import json

import pytest
from terminal import Terminal

DEMO = "--fm=demo:stain-invariant"


@pytest.fixture
def terminal(terminal: Terminal) -> Terminal:
    """With a test that passes, so that a run that ignores an option would end with 0."""
    (terminal.folder / "test_theirs.py").write_text("def test_theirs():\n    pass\n")
    return terminal


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["--fm-cohorts=demo"], "--fm-cohort=demo"),
        (["--fm-critera=floor"], "--fm-criteria=floor"),
        (["--fmcohort=demo"], "--fm-cohort=demo"),
        (["--fm_cohort=demo"], "--fm-cohort=demo"),
        (["--FM=virchow2"], "--fm=virchow2"),
        ([DEMO, "--fm-crit=release"], "--fm-criteria=release"),
        ([DEMO, "--criteria=release"], "--fm-criteria=release"),
        ([DEMO, "--fm-require-completeness"], "--fm-require-complete"),
        (["-fm=virchow2"], "--fm=virchow2"),
        (["fm=virchow2"], "--fm=virchow2"),
        (["\N{EN DASH}fm=virchow2"], "--fm=virchow2"),
        (["\N{EM DASH}fm", "virchow2"], "--fm"),
        ([DEMO, "--fm-profile=release"], "--fm-criteria=release"),
        ([DEMO, "--fm-thresholds=ours.yaml"], "--fm-criteria=ours.yaml"),
        ([DEMO, "--fm-dataset=camelyon"], "--fm-cohort=camelyon"),
        ([DEMO, "--fm-data=patches"], "--fm-cohort=patches"),
        ([DEMO, "--fm-report=report.html"], "--fm-html=report.html"),
        ([DEMO, "--fm-repair=combat"], "--fm-method=combat"),
        (["--fm-model=virchow2"], "--fm=virchow2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistyped_option_names_the_one_that_is_meant(
    terminal: Terminal, arguments: list[str], meant: str
) -> None:
    run = terminal.pytest(*arguments)
    [error] = run.errors
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert "nothing was measured" in error
    assert error.endswith(f"; did you mean {meant}?")


def test_an_option_that_resembles_none_points_to_the_help(terminal: Terminal) -> None:
    run = terminal.pytest(DEMO, "--fm-zebra=1")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert run.errors == [
        "ERROR: there is no option --fm-zebra, and nothing was measured; `pytest --help` lists all options "
        "that begin with --fm."
    ]


@pytest.mark.parametrize("arguments", [["--fm"], ["--fm", "-q"], ["--fm="], ["--fm", "--fm-cohort=demo"]])
def test_an_fm_without_a_value_is_told_how_to_begin(terminal: Terminal, arguments: list[str]) -> None:
    run = terminal.pytest(*arguments)
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert run.errors == [
        "ERROR: --fm has no value, and nothing was measured; name an FM, for example "
        "--fm=demo:stain-invariant, which needs no download."
    ]


def test_another_option_without_a_value_says_what_it_takes(terminal: Terminal) -> None:
    run = terminal.pytest(DEMO, "--fm-cohort")
    [error] = run.errors
    assert error.endswith("; write --fm-cohort=NAME|PATH, or leave the option out.")


def test_options_of_the_gate_without_an_fm_measure_nothing_and_say_so(terminal: Terminal) -> None:
    run = terminal.pytest("--fm-cohort=demo")
    [error] = run.errors
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "nothing was measured; name an FM with --fm=SPEC" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--html=x.html"], "unrecognized arguments: --html=x.html"),
        (["-k", "fm=x"], "Wrong expression passed to '-k'"),
        (["fm"], "file or directory not found: fm"),
    ],
)
def test_what_is_not_ours_is_left_to_pytest(terminal: Terminal, arguments: list[str], words: str) -> None:
    assert words in terminal.pytest(*arguments).output


def test_options_of_a_conftest_are_known(terminal: Terminal) -> None:
    (terminal.folder / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--fm-cohorts')\n"
    )
    run = terminal.pytest("--fm-cohorts=theirs")
    assert (run.code, "1 passed" in run.output) == (0, True), run.output


def test_a_baseline_is_no_report_of_a_run_that_could_not_start(terminal: Terminal) -> None:
    released = terminal.folder / "released.json"
    released.write_text('{"schema": "pathorob-checks/results/2"}')
    report = "--fm-json=released.json"
    for baseline in ("--fm-baseline=released.json", f"--fm-baseline={released}"):
        assert terminal.pytest(DEMO, report, baseline, "--fm-cohorts=demo").code == 4
        assert released.read_text() == '{"schema": "pathorob-checks/results/2"}'


def test_a_run_that_could_not_start_leaves_no_older_pass(terminal: Terminal) -> None:
    file = terminal.folder / "results.json"
    file.write_text(json.dumps({"schema": "pathorob-checks/results/2", "outcome": "pass"}))
    terminal.pytest(DEMO, "--fm-json=results.json", "--fm-cohorts=demo")
    assert terminal.results()["outcome"] == "error"
    assert "there is no option --fm-cohorts" in terminal.results()["summary"]
