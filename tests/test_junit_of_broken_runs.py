"""The JUnit file of a run that does not come to its end: never an older one, and never green."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from attack import Attack

from pathorob_checks.report.markdown import markdown_report
from pathorob_checks.report.step_summary import VARIABLE
from pathorob_checks.results.results import Results

OPTION = "--junitxml=junit.xml"
ENDS = {
    "a process that is killed": ("os.kill(os.getpid(), 9)", "ERROR: the run did not finish"),
    "an interrupt": ("raise KeyboardInterrupt", "ERROR: the run was interrupted"),
    "pytest.exit": ("pytest.exit('enough')", "ERROR: the run was interrupted (enough)"),
}
REFUSED = {
    "a wrong value": ("--fm-precision=fp7",),
    "embeddings that are missing": ("--fm=embeddings:nothere",),
    "criteria that are missing": ("--fm-criteria=nothere.toml",),
    "a cohort that is missing": ("--fm-cohort=nothere",),
    "another digest": ("--fm-criteria-digest=" + "0" * 64,),
}


def passed(gate: Attack) -> None:
    """Leave the JUnit file of a pass."""
    done = gate.run(OPTION, fm="embeddings:good")
    assert done.code == 0, done.output
    assert error_in_junit(gate) is None


def error_in_junit(gate: Attack, name: str = "junit.xml") -> str | None:
    """What the JUnit file says of the run itself; the head of its suite counts its errors."""
    [suite] = ET.parse(gate.folder / name).getroot()
    assert suite.get("errors") == str(len(list(suite.iter("error"))))
    texts = [
        case.find("error")
        for case in suite.iter("testcase")
        if (case.get("classname"), case.get("name")) == ("pathorob_checks", "run")
    ]
    assert len(texts) <= 1
    return texts[0].text if texts and texts[0] is not None else None


@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_is_cut_off_leaves_an_error(end: str, small_gate: Attack) -> None:
    code, problem = ENDS[end]
    passed(small_gate)
    small_gate.write("test_mine.py", f"import os\nimport pytest\n\n\ndef test_mine():\n    {code}\n")
    done = small_gate.run(OPTION, "test_mine.py", fm="embeddings:good", subprocess=True)
    assert done.code != 0
    assert (error_in_junit(small_gate) or "").startswith(problem)


@pytest.mark.parametrize("why", REFUSED)
def test_a_run_that_does_not_start_says_why_in_all_its_reports(why: str, small_gate: Attack) -> None:
    passed(small_gate)
    reports = ("--fm-markdown=report.md", OPTION)
    assert small_gate.run(*reports, fm="embeddings:good").code == 0
    summary = small_gate.folder / "summary.md"
    done = small_gate.run(*reports, *REFUSED[why], fm="embeddings:good", **{VARIABLE: str(summary)})
    assert done.code == 4
    sentence = done.output.partition("ERROR: ")[2].strip()
    results = Results.read(small_gate.folder / "results.json")
    assert results.summary == f"ERROR: the run did not start: {sentence}"
    assert error_in_junit(small_gate) == results.summary
    report = (small_gate.folder / "report.md").read_text(encoding="utf-8")
    assert report == markdown_report(results)
    assert "**ERROR:** the run did not start: " in report
    assert summary.read_text(encoding="utf-8") == report


@pytest.mark.parametrize(
    "arguments",
    [*REFUSED.values(), ("--fm-critera=floor",), ("--no-such-option",)],
    ids=[*REFUSED, "a mistyped option", "an unknown option"],
)
def test_a_run_that_does_not_start_has_its_reports_where_there_were_none(
    arguments: tuple[str, ...], small_gate: Attack
) -> None:
    done = small_gate.run("--junitxml=new/junit.xml", *arguments, fm="embeddings:good")
    assert done.code == 4
    results = Results.read(small_gate.folder / "results.json")
    assert results.summary.startswith("ERROR: the run did not start: ")
    assert error_in_junit(small_gate, "new/junit.xml") == results.summary


def test_a_process_that_is_killed_has_an_error_where_there_was_no_junit_file(small_gate: Attack) -> None:
    small_gate.write("test_mine.py", "import os\n\n\ndef test_mine():\n    os.kill(os.getpid(), 9)\n")
    done = small_gate.run(OPTION, "test_mine.py", fm="embeddings:good", subprocess=True)
    assert done.code != 0
    assert error_in_junit(small_gate) == "ERROR: the run did not finish"


@pytest.mark.parametrize(
    "content", ["<html/>", "notes", "<!DOCTYPE a [<!ENTITY b 'c'>]><testsuites>&b;</testsuites>"]
)
def test_a_file_that_is_no_junit_file_is_left_alone_by_a_run_that_does_not_start(
    content: str, small_gate: Attack
) -> None:
    path = small_gate.write("junit.xml", content)
    assert small_gate.run(OPTION, "--fm-precision=fp7").code == 4
    assert path.read_text() == content


def test_a_junit_file_of_evidence_is_left_alone_by_a_run_that_does_not_start(small_gate: Attack) -> None:
    small_gate.run("--fm-evidence=kept", fm="embeddings:good")
    before = (small_gate.folder / "kept" / "junit.xml").read_bytes()
    done = small_gate.run("--fm-evidence=kept", "--junitxml=kept/junit.xml", fm="embeddings:good")
    assert done.code == 4
    assert (small_gate.folder / "kept" / "junit.xml").read_bytes() == before


def test_what_runs_no_test_leaves_a_junit_file_alone(small_gate: Attack) -> None:
    passed(small_gate)
    before = (small_gate.folder / "junit.xml").read_bytes()
    small_gate.run("--markers", OPTION)
    assert (small_gate.folder / "junit.xml").read_bytes() == before


def test_a_run_that_fails_without_a_failed_test_has_an_error(small_gate: Attack) -> None:
    done = small_gate.run(OPTION, "--fm-require-complete", "-k", "robustness_index", fm="embeddings:good")
    assert done.code == 1
    assert (error_in_junit(small_gate) or "").startswith("ERROR: 1 of 1 criterion measured")
