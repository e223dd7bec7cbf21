"""Without `--fm`, a project with plugins of others runs as if this one were not installed."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from neighbors import NEIGHBORS, alone
from terminal import Terminal

# Tests as projects have them: of each outcome, with fixtures that are called like those of plugins.
PROJECT = {
    "conftest.py": """
import pytest
@pytest.fixture
def cohort():
    return "ours"
def pytest_runtest_logreport(report):
    with open("reports", "a") as file:
        print(report.nodeid, report.when, report.outcome, hasattr(report, "wasxfail"), file=file)
""",
    "test_project.py": """
import pytest
def test_passes(cohort):
    assert cohort == "ours"
@pytest.mark.parametrize("fm", [1, 2])
def test_one_fails(fm):
    assert fm == 1
@pytest.mark.xfail(strict=True)
def test_xfails():
    assert False
def test_skips():
    pytest.skip("today")
def test_errors(nothing_of_that_name):
    pass
@pytest.fixture
def breaks():
    yield
    raise ValueError("late")
def test_breaks_later(breaks):
    pass
""",
    # A plugin's own, run where it is installed.
    "test_check.py": """
import pytest
pytest.importorskip("pytest_check")
def test_two_soft_failures(check):
    check.equal(1, 2)
    check.equal(3, 4)
""",
    "test_asyncio.py": """
import pytest
@pytest.mark.asyncio
async def test_waits():
    assert False
""",
    "test_timeout.py": """
import pytest, time
@pytest.mark.timeout(0.2)
def test_is_slow():
    time.sleep(1)
""",
    "test_flaky.py": """
import pytest
runs = []
@pytest.mark.flaky(reruns=2)
def test_third_time_lucky():
    runs.append(1)
    assert len(runs) == 3
""",
}
COLORS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # and movements; they can stand within a name and its version
# What differs between two runs, or is told of this plugin: that it is there, and its fixtures.
VOLATILE = re.compile(r"\d+\.\d+ ?s\b|\[gw\d\]|0x[0-9a-f]+|pathorob-checks(?:[-': ]+\d\S*)?|fm_\w+")


class Outcome(NamedTuple):
    """How a run of the project ended: exit code, reports of tests, words on the screen, files."""

    code: int
    reports: list[str]
    words: set[str]
    files: set[str]


def outcome(terminal: Terminal, name: str, *options: str) -> Outcome:
    neighbor, reports = NEIGHBORS[name], terminal.folder / "reports"
    reports.unlink(missing_ok=True)
    arguments = ("-ra", "-v", *alone(neighbor), *neighbor.options, *options)
    if neighbor.tty:
        run = terminal.pytest_on_a_tty(*arguments)
    else:
        run = terminal.pytest(*arguments, subprocess=True)
    files = (path for path in terminal.folder.rglob("*") if "__pycache__" not in path.parts)
    return Outcome(
        run.code,
        sorted(reports.read_text().splitlines()),
        set(re.findall(r"[^\W\d_]+", VOLATILE.sub(" ", COLORS.sub("", run.output)))),
        {path.relative_to(terminal.folder).as_posix() for path in files},
    )


@pytest.mark.parametrize("name", NEIGHBORS)
def test_a_project_runs_as_without_this_plugin(name: str, terminal: Terminal) -> None:
    for file, text in PROJECT.items():
        (terminal.folder / file).write_text(text)
    with_ours = outcome(terminal, name)
    without = outcome(terminal, name, "-pno:pathorob_checks")
    assert with_ours == without
    assert without.code == 1
    assert len(without.reports) > 2 * len(PROJECT)
