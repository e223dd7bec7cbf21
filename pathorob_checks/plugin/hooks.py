"""pytest's hooks, each a few lines: state is in `gate`, wording in `results` and `report`.

pytest loads this module in every run of its users, so nothing heavy is imported here before `--fm` is seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.plugin import bars, interrupting, parametrizing
from pathorob_checks.plugin import fixtures as _fixtures
from pathorob_checks.plugin.options import add_options, results_file, settings
from pathorob_checks.plugin.worker import Worker, scheduler
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from pathorob_checks.plugin.gate import Gate

GATE, MESSAGE = _fixtures.GATE, _fixtures.MESSAGE
REPORT_ATTRIBUTE = "pathorob_checks_message"
WORKER_KEY = "pathorob_checks"
SUITES = "suites"
DEFAULT_WIDTH = 80


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the options; with `--fm` and no path on the command line, run the packaged suites."""
    config.pluginmanager.register(_fixtures, "pathorob_checks_fixtures")
    for marker in parametrizing.MARKERS:
        config.addinivalue_line("markers", marker)
    chosen = settings(config)
    if not chosen.fms:
        return
    worker = Worker(config)  # first: it limits threads, which numpy and torch read when they are imported
    from pathorob_checks.plugin.gate import Gate, as_usage_error

    handed_over = config.workerinput[WORKER_KEY] if _is_worker(config) else None  # type: ignore[attr-defined]
    with as_usage_error():
        bars.show_downloads(config)
        gate = Gate(
            chosen, results_file(config), bars.Bars(config), worker, handed_over, partial(_width, config)
        )
    config.stash[GATE] = gate
    config.pluginmanager.register(interrupting.Interrupting(), "pathorob_checks_interrupting")
    if not _is_worker(config):
        config.pluginmanager.register(Listener(gate), "pathorob_checks_listener")
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    if not given and config.getoption("pathorob_fm") is not None:
        # Files, not the folder: an ini file's python_files must not hide them.
        config.args = [str(path) for path in sorted(_suites().glob("test_*.py"))]
        gate.records.whole = True
    elif given:
        config.args = [_packaged(argument) for argument in config.args]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Find what is wrong before anything runs: once, on the controller, and never for `--collect-only`."""
    gate = session.config.stash.get(GATE, None)
    if gate is None or _is_worker(session.config) or session.config.option.collectonly:
        return
    from pathorob_checks.plugin.gate import as_usage_error

    with as_usage_error():
        gate.preflight()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: hand the resolved models and the terms to a worker."""
    gate = node.config.stash.get(GATE, None)
    node.workerinput[WORKER_KEY] = gate.hand_over() if gate else ""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """xdist: all tests of one subject go to one worker."""
    gate = config.stash.get(GATE, None)
    return scheduler(config, log, gate.evaluation.subjects.subjects) if gate else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests of the gate use this worker's share of the cores."""
    gate = item.config.stash.get(GATE, None)
    with gate.worker.at_work() if gate else contextlib.nullcontext():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    """Give the packaged suites short ids, `suites/test_x.py::...`, wherever the package is installed."""
    if parent.config.stash.get(GATE, None) is None or module_path.parent != _suites():
        return None
    module = pytest.Module.from_parent(parent, path=module_path, nodeid=f"{SUITES}/{module_path.name}")
    return module  # noqa: RET504 (from_parent is untyped)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """FM x cohort x criterion for tests that use this plugin's fixtures."""
    parametrizing.parametrize(metafunc, metafunc.config.stash.get(GATE, None))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what the test made on the report, as a string, so that it crosses from worker to controller.

    An error that a user can act on is shown as its sentence, without a traceback.
    """
    report = yield
    gate = item.config.stash.get(GATE, None)
    if gate is None:
        return report
    if call.excinfo is not None and isinstance(call.excinfo.value, PathorobChecksError):
        report.longrepr = str(call.excinfo.value)
    message = item.stash.get(MESSAGE, None)
    if message is None and report.outcome != "passed":
        message = _not_measured(gate, item, call, report)
    if message is not None and (report.when == "call" or report.outcome != "passed"):
        setattr(report, REPORT_ATTRIBUTE, message)
    return report


def _not_measured(
    gate: Gate, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
) -> str | None:
    """The record of a planned check whose test stopped before it had a value."""
    from pathorob_checks.criteria.verdict import Verdict
    from pathorob_checks.evaluation.judging import not_measured
    from pathorob_checks.plugin.gate import parameter

    key = parameter(item, "criterion")
    if key is None or call.excinfo is None:
        return None
    error = call.excinfo.value
    is_sentence = isinstance(error, PathorobChecksError | pytest.fail.Exception | pytest.skip.Exception)
    reason = printable(str(error) if is_sentence else repr(error))
    verdict = Verdict.SKIPPED if report.outcome == "skipped" else Verdict.ERROR
    planned = gate.evaluation.terms.checks[key]
    return gate.message_of_check(not_measured(item.nodeid, planned, reason, verdict))


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Drop the packaged tests that the profile has no criterion for.

    pytest turns an empty parametrization into a skipped test, which would read as something left out.
    """
    made = yield
    if isinstance(made, list) and collector.config.stash.get(GATE, None) is not None:
        from pathorob_checks.plugin.gate import parameter

        return [item for item in made if isinstance(parameter(item, "criterion", ()), tuple)]
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Note the checks of this run, so that one that never runs is missed."""
    gate = session.config.stash.get(GATE, None)
    if gate is not None:
        gate.select(session.items)


def pytest_deselected(items: Iterable[pytest.Item]) -> None:
    """Checks deselected by `-k` or `-m` were planned all the same."""
    for item in items:
        gate = item.config.stash.get(GATE, None)
        if gate is not None:
            gate.deselect([item])


def pytest_report_header(config: pytest.Config) -> list[str]:
    """The terms of the run, before anything is measured."""
    gate = config.stash.get(GATE, None)
    if gate is None or _is_worker(config):
        return []
    terms = gate.evaluation.terms
    compared = [f"baseline: {terms.baseline.fm} ({terms.baseline.source})"] if terms.baseline else []
    lines = [f"criteria: {terms.profile.name}", *compared, f"digest: {terms.digest}", *gate.announcements()]
    return [printable(line) for line in lines]


class Listener:
    """Receives the tests' records; registered on the controller of a run with `--fm` only."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a record off a report, from this process or a worker."""
        message = getattr(report, REPORT_ATTRIBUTE, None)
        if message is not None:
            self.gate.receive(message)
        elif report.failed:
            self.gate.records.other_failures.append(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take what a worker collected; a worker that crashed reports nothing."""
        collected = getattr(node, "workeroutput", {}).get(WORKER_KEY)
        if collected is not None:
            self.gate.receive_collected(collected)
        if error:
            self.gate.records.crashed = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the results file; what was lost or not measured does not end with 0."""
        if session.config.option.collectonly:
            return
        try:
            self.gate.write_results()
        except PathorobChecksError as error:
            self.gate.records.problems.append(str(error))
        if session.exitstatus == pytest.ExitCode.OK and self.gate.must_fail():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        """The table, then one line."""
        results = self.gate.results()
        if config.option.collectonly or results.environment.criteria.completeness.planned == 0:
            return
        from pathorob_checks.report.terminal import render_results
        from pathorob_checks.results.document import Outcome

        terminalreporter.section("robustness of foundation models", sep="=")
        terminalreporter.write_line(render_results(results, _width(config)))
        passed = results.outcome is Outcome.PASS
        terminalreporter.write_line("")
        terminalreporter.write_line(printable(results.summary), bold=True, green=passed, red=not passed)
        for problem in results.problems:
            terminalreporter.write_line(printable(problem), red=True)
        if self.gate.results_file and not results.problems:
            terminalreporter.write_line(printable(f"results file: {self.gate.results_file}"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker reports to the controller what it collected."""
    gate = session.config.stash.get(GATE, None)
    if gate is not None and _is_worker(session.config):
        gate.worker.leave()
        session.config.workeroutput[WORKER_KEY] = gate.collected_to_json()  # type: ignore[attr-defined]


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _width(config: pytest.Config) -> int:
    """Columns of the terminal."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    return int(reporter._tw.fullwidth) if reporter is not None else DEFAULT_WIDTH


def _suites() -> Path:
    """The folder of the packaged suites."""
    with as_file(files("pathorob_checks") / SUITES) as folder:
        return folder


def _packaged(argument: str) -> str:
    """`suites/test_x.py::...`, as the report prints it, where no such path is in the way."""
    path, *rest = argument.split("::")
    target = _suites().joinpath(*Path(path).parts[1:])
    if Path(path).parts[:1] == (SUITES,) and not Path(path).exists() and target.exists():
        return "::".join([str(target), *rest])
    return argument
