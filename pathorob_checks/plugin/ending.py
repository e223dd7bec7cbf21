"""How the process of a gated run ends: decided last, by the records of the run, not by pytest's reports.

`hooks` registers this module after every other plugin and conftest, so that its hook encloses theirs.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Generator, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.plugin.fixtures import GATE
from pathorob_checks.plugin.junit import junit_path, write_error
from pathorob_checks.plugin.process_end import fails, guard
from pathorob_checks.plugin.typed import typed
from pathorob_checks.plugin.values import evidence_folder, is_requested

if TYPE_CHECKING:
    from pathorob_checks.evaluation.settings import Settings

_UNFINISHED = "ERROR: the run did not finish"  # what a run is until it has ended
# Options with which pytest shows something and runs no test.
_SHOWS_ONLY = (
    "help",
    "version",
    "collectonly",
    "showfixtures",
    "show_fixtures_per_test",
    "markers",
    "cacheshow",
)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    """Return 0 only for a run that earned it."""
    if hasattr(config, "workerinput") or not is_requested(config):
        return (yield)
    unguard = guard(lambda: _show_output(config))
    code: Any = pytest.ExitCode.TESTS_FAILED
    if not shows_only(config):
        _write_junit(config, config.option, _UNFINISHED)
    try:
        try:
            code = yield
        except pytest.UsageError as error:
            _tell_unstarted(config, str(error))
            raise
        except (SystemExit, pytest.exit.Exception) as end:
            code = end.code if isinstance(end, SystemExit) else end.returncode
        code = _sealed(config, _earned(config, code))
        _tell_ci(config)
        return code
    finally:
        if not (fails(code) and _is_the_command()):
            unguard()  # else what still runs in this process must not make the failure a success


@contextlib.contextmanager
def loading(config: pytest.Config) -> Iterator[None]:
    """While conftests and plugins of a gated run are loaded, none of them ends the process with 0.

    Raises
    ------
    pytest.UsageError : one tried.
    """
    if not is_requested(config):
        yield
        return
    unguard = guard(lambda: _show_output(config))
    try:
        yield
    except SystemExit as end:
        raise pytest.UsageError(
            f"a conftest.py or a plugin ended pytest while it was loaded (sys.exit({end.code or 0})); the "
            "checks of --fm did not run."
        ) from None
    finally:
        unguard()


def _earned(config: pytest.Config, code: Any) -> Any:
    """The exit code of a run that pytest ended with another one."""
    if code is not None and fails(code):
        return code if isinstance(code, int) else pytest.ExitCode.TESTS_FAILED
    if shows_only(config):
        return code
    gate = config.stash.get(GATE, None)
    if gate is None or gate.final is None:
        sys.stderr.write("ERROR: pytest ended without running the checks of --fm\n")
        return pytest.ExitCode.TESTS_FAILED
    return pytest.ExitCode(gate.exit_code())


def _sealed(config: pytest.Config, code: Any) -> Any:
    """The exit code, after the evidence is finished; a run whose evidence cannot be written has failed."""
    gate = config.stash.get(GATE, None)
    if gate is None or shows_only(config):
        return code
    problem = gate.seal()
    if problem is None:
        return code
    sys.stderr.write(f"ERROR: {problem}\n")
    return code if fails(code) else pytest.ExitCode.TESTS_FAILED


def _tell_ci(config: pytest.Config) -> None:
    """Add the report to the summary of a CI job, when nothing can change it any more."""
    gate = config.stash.get(GATE, None)
    if gate is None or gate.final is None or shows_only(config):
        return
    from pathorob_checks.report.step_summary import add_to_summary

    if problem := add_to_summary(gate.final):
        sys.stderr.write(f"WARNING: {problem}\n")


def _tell_unstarted(config: pytest.Config, problem: str) -> None:
    """Tell a CI job why its run did not start, where it looks for the report and for the tests."""
    gate = config.stash.get(GATE, None)
    if shows_only(config) or (gate is not None and gate.final is not None):
        return
    tell_refused(config, config.option, problem, None if gate is None else gate.evaluation.settings)


def tell_refused(
    config: pytest.Config, options: argparse.Namespace, problem: str, settings: Settings | None = None
) -> None:
    """Write why a run did not start into pytest's JUnit file and into the summary of a CI job.

    Parameters
    ----------
    options : as far as they are known.
    settings : of the run; None where they could not be read.
    """
    from pathorob_checks.evaluation.assembling import unstarted
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.report.step_summary import add_to_summary

    results = unstarted(settings or Settings(fms=()), problem)
    _write_junit(config, options, results.summary)
    if write_problem := add_to_summary(results):
        sys.stderr.write(f"WARNING: {write_problem}\n")


def _write_junit(config: pytest.Config, options: argparse.Namespace, problem: str) -> None:
    """A file inside the folder of the evidence is left to it: a run that is refused makes no such folder."""
    path = junit_path(options)
    if path is None:  # also where -p no:junitxml took pytest's file away
        return
    evidence = evidence_folder(config, options)
    if evidence is None or not path.is_relative_to(evidence):
        write_error(path, str(config.getini("junit_suite_name")), problem)


def shows_only(config: pytest.Config) -> bool:
    """Whether the command line itself asks pytest to show something, and to run no test."""
    options = typed(config)
    return any(getattr(options, name, None) for name in _SHOWS_ONLY)


def _is_the_command() -> bool:
    """Whether this process is `pytest`, not a program that calls `pytest.main`."""
    home = pytest.console_main.__module__
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals["__name__"] != home:
        frame = frame.f_back
    while frame is not None and frame.f_globals["__name__"] == home:
        if frame.f_code.co_name.endswith(pytest.console_main.__name__):  # or `_console_main`, since 9.1
            return True
        frame = frame.f_back
    return False


def _show_output(config: pytest.Config) -> None:
    """Give the terminal back, so that a last sentence is seen."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
