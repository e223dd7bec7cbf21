"""pytest's hooks, each a few lines: state is in `gate`, wording in `results` and `report`.

pytest loads this module in every run of its users, so nothing heavy is imported here before `--fm` is seen.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.hub_failures import redacted
from pathorob_checks.plugin import bars, ending, interrupting, mistyped, parametrizing, selection
from pathorob_checks.plugin import fixtures as _fixtures
from pathorob_checks.plugin.fixtures import GATE
from pathorob_checks.plugin.options import OPTIONS, add_options
from pathorob_checks.plugin.scheduling import scheduler
from pathorob_checks.plugin.values import (
    evidence_options,
    history_path,
    is_requested,
    report_paths,
    settings,
    spared,
)
from pathorob_checks.plugin.worker import Worker

if TYPE_CHECKING:
    from pathorob_checks.plugin.gate import Gate

REPORT_ATTRIBUTE = "pathorob_checks_records"
FAILURE_ATTRIBUTE = "pathorob_checks_failure"
WORKER_KEY = "pathorob_checks"


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the options."""
    config: Any = pluginmanager.get_plugin("pytestconfig")
    mistyped.refuse_options_without_values(list(map(str, config.invocation_params.args)))
    add_options(parser)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, None, None]:
    """After every other plugin, register the hook that decides how the process ends.

    By now every option is known, those of conftests too.
    """
    with ending.loading(early_config):
        yield
    if not _is_worker(early_config):
        try:
            known, unknown = parser.parse_known_and_unknown_args(args)
            mistyped.refuse_unknown_options(args, known, unknown, is_requested=is_requested(early_config))
        except pytest.UsageError as error:
            _leave_no_older_pass(early_config, early_config.known_args_namespace, str(error))
            ending.tell_refused(early_config, early_config.known_args_namespace, str(error))
            raise
        if unknown and is_requested(early_config):  # pytest refuses them when the plugins are loaded
            problem = f"unrecognized arguments: {redacted(' '.join(unknown))}"
            _leave_no_older_pass(early_config, known, problem)
            ending.tell_refused(early_config, known, problem)
    _register(early_config, ending, "ending")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the options; with `--fm`, have the packaged suites run."""
    _register(config, _fixtures, "fixtures")
    for marker in parametrizing.MARKERS:
        config.addinivalue_line("markers", marker)
    try:
        if is_requested(config) and not _is_worker(config):
            selection.refuse_swallowed_paths(config)
            selection.refuse_misread_values(config)
            selection.refuse_changed_values(config)
            selection.refuse_empty_values(config)
            selection.refuse_unknown_settings(config)
        chosen = settings(config)
    except pytest.UsageError as error:
        _leave_no_older_pass(config, config.option, str(error))
        raise
    if not chosen.fms:
        return
    worker = Worker(config)  # first: it limits threads, which numpy and torch read when they are imported
    from pathorob_checks.plugin.gate import Gate, as_usage_error
    from pathorob_checks.plugin.keeping import Keeping
    from pathorob_checks.plugin.report_files import ReportFiles
    from pathorob_checks.plugin.reporting import Reporting
    from pathorob_checks.width import width

    handed_over = config.workerinput[WORKER_KEY] if _is_worker(config) else None  # type: ignore[attr-defined]
    paths, keeping = report_paths(config), Keeping(history_path(config))
    wanted = None if _is_worker(config) else evidence_options(config)
    if ending.shows_only(config):
        wanted = None  # a run without tests leaves no evidence
    chosen = replace(chosen, images=chosen.images and ("html" in paths or wanted is not None))
    with (
        as_usage_error(),
        ReportFiles(paths, spared(config, config.option)).guarded(chosen) as reports,
    ):
        shown = bars.Bars(config)
        bars.show_downloads(shown)
        gate = Gate(chosen, reports, keeping, shown, worker, handed_over, width)
        gate.note(selection.arrange(config))
        if wanted is not None:
            from pathorob_checks.plugin.evidence import RunEvidence

            gate.evidence = RunEvidence(config, wanted, reports)
            _register(config, gate.evidence, "evidence")
    config.stash[GATE] = gate
    _register(config, interrupting.Interrupting(), "interrupting")
    if not _is_worker(config):
        _register(config, Listener(gate, config), "listener")
        _register(config, Reporting(gate), "reporting")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Find what is wrong before anything runs: once, on the controller, and never for `--collect-only`.

    The results file says from here on that the run has not finished.
    """
    gate = session.config.stash.get(GATE, None)
    if gate is None or _is_worker(session.config):
        return
    from pathorob_checks.plugin.gate import as_usage_error

    with as_usage_error():
        gate.start()
        if not ending.shows_only(session.config):
            gate.preflight(session)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: hand the resolved models and the terms to a worker."""
    gate = node.config.stash.get(GATE, None)
    node.workerinput[WORKER_KEY] = gate.hand_over() if gate else ""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> Any:
    """xdist: all tests of one subject go to one worker."""
    gate = config.stash.get(GATE, None)
    return scheduler(config, gate.evaluation.subjects.subjects) if gate else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests of the gate use this worker's share of the cores."""
    gate = item.config.stash.get(GATE, None)
    with gate.worker.at_work() if gate else contextlib.nullcontext():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    """Give the packaged suites short ids, `suites/test_x.py::...`, wherever the package is installed."""
    if parent.config.stash.get(GATE, None) is None or module_path.parent != selection.folder():
        return None
    from pathorob_checks.plugin.suite import suite

    return suite(parent, module_path)


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
    from pathorob_checks.plugin.concluding import shorten_crash
    from pathorob_checks.plugin.gate import all_passed, messages_of, properties_of

    error = None if call.excinfo is None else call.excinfo.value
    shorten_crash(report, error)
    if isinstance(error, PathorobChecksError):
        report.longrepr = gate.in_full_once(item.nodeid, str(error))
    messages = messages_of(item) if report.when != "setup" else []
    if error is not None and not messages and report.when != "teardown":
        messages = gate.messages_of_failure(item, error)
    is_skip = isinstance(error, pytest.skip.Exception)
    if error is not None and not is_skip and all_passed(messages):
        setattr(report, FAILURE_ATTRIBUTE, True)  # whatever other plugins make of the report
    if messages:
        setattr(report, REPORT_ATTRIBUTE, messages)
        junit_properties = properties_of(messages, gate.evaluation.terms.profile.inconclusive)
        item.user_properties += junit_properties  # for the reports that follow
        report.user_properties += junit_properties
    return report


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Drop a user's tests that the profile has no criterion for.

    pytest turns an empty parametrization into a skipped test, which would read as something left out.
    """
    made = yield
    if isinstance(made, list) and collector.config.stash.get(GATE, None) is not None:
        from pathorob_checks.plugin.gate import parameter

        return [item for item in made if isinstance(parameter(item, "fm_criterion", ()), tuple)]
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Note the checks of this run, so that one that never runs is missed."""
    gate = session.config.stash.get(GATE, None)
    if gate is not None:
        gate.select(session.items)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Checks deselected by `-k` or `-m` were planned all the same."""
    gate = items[0].config.stash.get(GATE, None) if items else None
    if gate is not None:
        gate.deselect(items)


class Listener:
    """Receives the tests' records; registered on the controller of a run with `--fm` only."""

    def __init__(self, gate: Gate, config: pytest.Config) -> None:
        self.gate, self.config = gate, config
        self.has_failed_tests = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a record off a report, from this process or a worker."""
        from pathorob_checks.plugin.gate import all_passed, undecided_in
        from pathorob_checks.plugin.junit import add_text

        messages = getattr(report, REPORT_ATTRIBUTE, [])
        self.has_failed_tests |= report.failed
        self.gate.receive(messages)
        if report.passed and (undecided := undecided_in(messages)):
            add_text(self.config, report, "\n".join(undecided))
        if getattr(report, FAILURE_ATTRIBUTE, False) or (report.failed and all_passed(messages)):
            self.gate.records.other_failures.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file of tests that cannot be collected is a failure."""
        if report.failed:
            self.has_failed_tests = True
            self.gate.records.other_failures.append(report.nodeid or "the collection of tests")

    def pytest_internalerror(self) -> None:
        """A run in which pytest itself broke is no pass."""
        self.gate.records.problems.append("pytest stopped with an internal error")

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Neither is one that was interrupted, by a key, by `pytest.exit` or by tests that cannot be read."""
        reason = str(excinfo.value)
        self.gate.records.problems.append("the run was interrupted" + (f" ({reason})" if reason else ""))

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
        from pathorob_checks.plugin.junit import add_run

        if ending.shows_only(session.config):
            return
        add_run(session.config, self.gate.finish(), has_failed_tests=self.has_failed_tests)
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = self.gate.exit_code()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker reports to the controller what it collected."""
    gate = session.config.stash.get(GATE, None)
    if gate is not None and _is_worker(session.config):
        gate.worker.leave()
        session.config.workeroutput[WORKER_KEY] = gate.collected_to_json()  # type: ignore[attr-defined]


def _register(config: pytest.Config, part: object, name: str) -> None:
    """Register a part of the gate.

    Raises
    ------
    pytest.UsageError : a run with `--fm` is told to do without it.
    """
    name = f"pathorob_checks_{name}"
    config.pluginmanager.register(part, name)
    if is_requested(config) and not config.pluginmanager.is_registered(part):
        raise pytest.UsageError(
            f"-p no:{name} takes a part of the gate away; leave it out, or leave out --fm."
        )


def _leave_no_older_pass(config: pytest.Config, given: argparse.Namespace, problem: str) -> None:
    """An earlier run's results file must not be taken for that of a run that could not start."""
    paths = {
        option.name: path
        for option in OPTIONS
        if option.is_report and (path := getattr(given, "pathorob_" + option.ini, None))
    }
    if paths and not _is_worker(config):
        from pathorob_checks.plugin.report_files import ReportFiles

        ReportFiles(paths, spared(config, given)).mark_unstarted(problem)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
