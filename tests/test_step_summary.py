"""The report in the summary of a CI job."""

from __future__ import annotations

import pytest
from attack import Attack

from pathorob_checks.report.forms import MARK
from pathorob_checks.report.markdown import STEP_BYTES
from pathorob_checks.report.step_summary import VARIABLE

WARNING = "WARNING: the summary of the CI job (GITHUB_STEP_SUMMARY) was not written ("


@pytest.mark.parametrize("more", [(), ("-n1",), ("--no-summary",), ("-q",)])
@pytest.mark.parametrize("fm", ["good", "bad"])
def test_a_run_adds_its_report_once(fm: str, more: tuple[str, ...], small_gate: Attack) -> None:
    path = small_gate.write("summary.md", "# Another step's\n")
    done = small_gate.run(*more, "--fm-markdown=report.md", fm=f"embeddings:{fm}", **{VARIABLE: str(path)})
    assert done.code == (fm == "bad")
    text = path.read_text(encoding="utf-8")
    assert text == "# Another step's\n\n" + (small_gate.folder / "report.md").read_text(encoding="utf-8")
    assert text.count(MARK) == 1
    assert done.results is not None
    assert f"**{done.results['outcome'].upper()}:**" in text
    assert "WARNING" not in done.output


def test_a_summary_that_does_not_exist_yet_is_made(small_gate: Attack) -> None:
    path = small_gate.folder / "summary.md"
    small_gate.run(**{VARIABLE: str(path)})
    assert path.read_text(encoding="utf-8").startswith(MARK)


@pytest.mark.parametrize("fm", ["good", "bad"])
@pytest.mark.parametrize("place", ["missing/summary.md", ".", "full.md"])
def test_a_summary_that_cannot_be_written_is_a_warning_and_no_failure(
    place: str, fm: str, small_gate: Attack
) -> None:
    full = small_gate.write("full.md", "x" * (STEP_BYTES - 100))
    done = small_gate.run(fm=f"embeddings:{fm}", **{VARIABLE: str(small_gate.folder / place)})
    assert done.code == (fm == "bad"), done.output
    assert done.output.count(WARNING) == 1
    assert done.is_clean
    assert full.stat().st_size == STEP_BYTES - 100


@pytest.mark.parametrize("option", ["--co", "--markers", None])
def test_what_measures_nothing_writes_no_summary(option: str | None, small_gate: Attack) -> None:
    path = small_gate.folder / "summary.md"
    small_gate.write("test_mine.py", "def test_mine():\n    pass\n")
    if option is None:
        small_gate.terminal.pytest("test_mine.py", **{VARIABLE: str(path)})
    else:
        small_gate.run(option, **{VARIABLE: str(path)})
    assert not path.exists()
