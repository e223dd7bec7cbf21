"""`pathorob-checks ci`: what a CI server's variables say becomes a run, its reports and its outputs."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from conftest import Machine
from pathorob_checks.commands.ci import PREFIX, REPORTS, VARIABLES, job_of, write_outputs
from pathorob_checks.errors import SettingsError
from pathorob_checks.results.results import Results


def run(machine: Machine, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["pathorob-checks", "ci", *arguments],
        executable=machine.commands / "pathorob-checks",
        cwd=machine.folder,
        env=machine.environment(**variables),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def error_in_junit(reports: Path) -> str | None:
    """What the JUnit file of a folder says of the run itself."""
    error = ElementTree.parse(reports / "junit.xml").find(".//testcase[@name='run']/error")
    return None if error is None else error.text


def command(**variables: str) -> list[str]:
    """The arguments of pytest, without those that each job has."""
    job = job_of({f"{PREFIX}{name}": value for name, value in variables.items()})
    return job.command()[3 : -len(REPORTS) - 1]


def test_every_line_is_a_value() -> None:
    assert command(FM="\n a:b \n\nc d\n", COHORTS="one\r\ntwo", CRITERIA="floor", BASELINE="x.json") == [
        "--fm=a:b",
        "--fm=c d",
        "--fm-cohort=one",
        "--fm-cohort=two",
        "--fm-criteria=floor",
        "--fm-baseline=x.json",
    ]


@pytest.mark.parametrize("text", ['"; echo x', "$(touch x)", "`touch x`", "--co", "-p evil", "a;b", "a'b"])
def test_no_value_becomes_another_argument(text: str) -> None:
    assert command(FM=text) == [f"--fm={text}"]


def test_further_arguments_are_split_as_by_a_shell_that_expands_nothing() -> None:
    arguments = command(FM="x", ARGUMENTS="-k 'index and not drop' --fm-pooling=cls $HOME *\n-v")
    assert arguments[1:] == ["-k", "index and not drop", "--fm-pooling=cls", "$HOME", "*", "-v"]


def test_the_reports_of_the_job_come_last() -> None:
    job = job_of(
        {f"{PREFIX}FM": "x", f"{PREFIX}ARGUMENTS": "--fm-json=other.json", f"{PREFIX}REPORTS": "out"}
    )
    assert job.command()[-len(REPORTS) :] == [f"{option}=out/{name}" for option, name in REPORTS.items()]


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({}, "PATHOROB_CI_FM names no FM; give one SPEC a line"),
        ({"FM": " \n"}, "PATHOROB_CI_FM names no FM; give one SPEC a line"),
        ({"FM": "x", "COHORT": "y"}, "there is no variable PATHOROB_CI_COHORT; use "),
        ({"FM": "x", "COMPLETE": "maybe"}, "PATHOROB_CI_COMPLETE is 'maybe'; give true or false"),
        ({"FM": "x", "ARGUMENTS": "-k 'a"}, "PATHOROB_CI_ARGUMENTS cannot be read (No closing quotation); "),
        (
            {"FM": "x", "REPORTS": "a\nverdict=pass"},
            "PATHOROB_CI_REPORTS has a character that cannot",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(variables: dict[str, str], error: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(error)):
        command(**variables)


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    empty = dict.fromkeys(VARIABLES, "") | {f"{PREFIX}FM": "x", f"{PREFIX}COMPLETE": "true"}
    assert job_of(empty) == job_of({f"{PREFIX}FM": "x"})


@pytest.mark.parametrize("way", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_run_that_is_ended_from_within_fails_and_has_no_older_results(
    way: str, machine: Machine, inputs_of_good: dict[str, str]
) -> None:
    (machine.folder / "quitter.py").write_text(f"import os\n{way}\n")
    reports = machine.folder / "pathorob-checks-report"
    reports.mkdir()
    (reports / "results.json").write_text('{"schema": "pathorob-checks/results/2", "outcome": "pass"}')
    outputs = machine.folder / "outputs"
    done = run(machine, **inputs_of_good, PATHOROB_CI_ARGUMENTS="-p quitter", GITHUB_OUTPUT=str(outputs))
    assert done.returncode != 0, done.stdout
    assert Results.read(reports / "results.json").outcome == "error"
    assert error_in_junit(reports) is not None
    assert "verdict=error\npassed=false\n" in outputs.read_text()
    assert "finished=false\n" in outputs.read_text()
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"CRITERION": "x"}, "there is no variable PATHOROB_CI_CRITERION"),
        ({"FM": ""}, "PATHOROB_CI_FM names no FM"),
        ({"ARGUMENTS": "-k 'a"}, "PATHOROB_CI_ARGUMENTS cannot be read (No closing quotation)"),
        ({"COMPLETE": "yes"}, "PATHOROB_CI_COMPLETE is 'yes'"),
        ({"ARGUMENTS": "--fm-critera=release"}, "there is no option --fm-critera, and nothing was measured"),
        ({"ARGUMENTS": "--fm-cohort=nothere"}, "there is no cohort and no folder 'nothere'"),
        ({"ARGUMENTS": "--no-such-option"}, "unrecognized arguments: --no-such-option"),
    ],
)
def test_a_job_that_is_refused_says_why_in_its_reports_and_outputs_and_keeps_no_older_pass(
    variables: dict[str, str], problem: str, machine: Machine, inputs_of_good: dict[str, str]
) -> None:
    reports = machine.folder / "pathorob-checks-report"
    reports.mkdir()
    (reports / "results.json").write_text('{"schema": "pathorob-checks/results/2", "outcome": "pass"}')
    outputs, summary = machine.folder / "outputs", machine.folder / "summary.md"
    given = inputs_of_good | {f"{PREFIX}{name}": value for name, value in variables.items()}
    done = run(machine, **given, GITHUB_OUTPUT=str(outputs), GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode != 0
    results = Results.read(reports / "results.json")
    assert results.summary.startswith(f"ERROR: the run did not start: {problem}")
    assert error_in_junit(reports) == results.summary
    assert all((reports / name).stat().st_size for name in REPORTS.values())
    assert "verdict=error\npassed=false\n" in outputs.read_text()
    assert f"summary={results.summary}\n" in outputs.read_text()
    assert "finished=false\n" in outputs.read_text()
    assert summary.read_text(encoding="utf-8") == (reports / "report.md").read_text(encoding="utf-8")
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_named_is_an_error_in_the_outputs(
    machine: Machine, inputs_of_good: dict[str, str]
) -> None:
    outputs = machine.folder / "outputs"
    done = run(machine, **inputs_of_good, PATHOROB_CI_REPORTS="a\tb", GITHUB_OUTPUT=str(outputs))
    assert done.returncode == 1
    assert "verdict=error\npassed=false\n" in outputs.read_text()


def test_nothing_that_the_run_prints_is_a_command_to_the_server(
    machine: Machine, inputs_of_good: dict[str, str]
) -> None:
    (machine.folder / "loud.py").write_text("print('::error::forged')\nraise SystemExit(3)\n")
    done = run(machine, **inputs_of_good, PATHOROB_CI_ARGUMENTS="-p loud", GITHUB_ACTIONS="true")
    lines = done.stdout.splitlines()
    [token] = [line.removeprefix("::stop-commands::") for line in lines if line.startswith("::stop-c")]
    assert len(token) == 32
    assert (
        lines.index(f"::stop-commands::{token}")
        < lines.index("::error::forged")
        < lines.index(f"::{token}::")
    )


def test_outputs_that_cannot_be_written_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "none" / "out"))
    expected = "the outputs of the job (GITHUB_OUTPUT) cannot be written (No such file or directory); see to"
    with pytest.raises(SettingsError, match=re.escape(expected)):
        write_outputs({"verdict": "pass"})


@pytest.mark.parametrize("text", ["a\nverdict=pass", "a\rverdict=pass", "a\u2028b", "a\x1b[2J"])
def test_an_output_is_one_line(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "out"))
    write_outputs({"summary": text})
    written = (tmp_path / "out").read_text()
    assert written.splitlines() == [written.rstrip("\n")]
    assert written.startswith("summary=a")
    assert written[:-1].isprintable()


def test_the_key_of_the_cache_follows_what_is_embedded(
    machine: Machine, inputs_of_good: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathorob_checks.commands.cache_key import key_of_job

    monkeypatch.chdir(machine.folder)

    def key(**more: str) -> str:
        changed = {f"{PREFIX}{name}": value for name, value in more.items()}
        return key_of_job(job_of({**inputs_of_good, **changed}))

    first = key()
    assert first == key() == key(CRITERIA="floor", COMPLETE="false", REPORTS="other")
    others = [key(FM="embeddings:bad"), key(FM="demo:stain-invariant"), key(ARGUMENTS="--fm-pooling=cls")]
    monkeypatch.setenv("PATHOROB_CHECKS_PRECISION", "bf16")
    others.append(key())
    monkeypatch.delenv("PATHOROB_CHECKS_PRECISION")
    manifest = machine.folder / "coh" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("north-stroma-0", "north-stroma-zero"))
    others.append(key())
    assert len({first, *others}) == len(others) + 1


def test_the_key_of_an_fm_on_the_hub_needs_no_weights(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathorob_checks import hub
    from pathorob_checks.commands.cache_key import key_of_job

    commits = {"main": "a" * 40, "v2": "b" * 40}
    monkeypatch.setattr(
        hub, "resolve_revision", lambda repo, revision=None, *rest: commits[revision or "main"]
    )
    monkeypatch.setattr(hub, "fetch", None)
    monkeypatch.chdir(machine.folder)

    def key(fm: str) -> str:
        return key_of_job(job_of({f"{PREFIX}FM": fm, f"{PREFIX}COHORTS": "coh"}))

    assert key("hf-hub:org/model") == key("hf-hub:org/model@main") != key("hf-hub:org/model@v2")
    assert key("hf-hub:org/model") != key("hf-hub:org/other")


def test_a_baseline_in_the_folder_of_the_reports_is_refused_and_kept(machine: Machine) -> None:
    reports = machine.folder / "pathorob-checks-report"
    reports.mkdir()
    (reports / "results.json").write_text("the released FM's")
    inputs = {"FM": "demo:stain-invariant", "BASELINE": "pathorob-checks-report/results.json"}
    outputs = machine.folder / "outputs"
    variables = {f"{PREFIX}{name}": value for name, value in inputs.items()}
    done = run(machine, **variables, GITHUB_OUTPUT=str(outputs))
    assert done.returncode == 1
    assert "PATHOROB_CI_BASELINE is a file that the job writes" in done.stderr
    assert [path.name for path in reports.iterdir()] == ["results.json"]
    assert (reports / "results.json").read_text() == "the released FM's"
    assert "verdict=error\n" in outputs.read_text()


def test_a_file_of_somebody_else_stays_as_it_is(machine: Machine) -> None:
    reports = machine.folder / "pathorob-checks-report"
    reports.mkdir()
    (reports / "report.html").write_text("mine")
    assert run(machine, **{f"{PREFIX}COMPLETE": "maybe"}).returncode == 1
    assert (reports / "report.html").read_text() == "mine"
    assert Results.read(reports / "results.json").problems
