"""pytest's hooks, each a few lines: state is in `gate`, wording in `report`.

pytest loads this module in every run of its users, so nothing heavy is imported here before `--fm` is seen.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.plugin import bars
from pathorob_checks.plugin import fixtures as _fixtures
from pathorob_checks.plugin.options import add_options, settings
from pathorob_checks.resources import resource_path

if TYPE_CHECKING:
    from pathorob_checks.plugin.gate import Gate

GATE, MESSAGE = _fixtures.GATE, _fixtures.MESSAGE
REPORT_ATTRIBUTE = "pathorob_checks_message"
WORKER_KEY = "pathorob_checks"
SUITES = "suites"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the options; with `--fm` and no path on the command line, run the packaged suites."""
    config.pluginmanager.register(_fixtures, "pathorob_checks_fixtures")
    config.addinivalue_line(
        "markers", "fm_metric(name): this test asserts each criterion of the profile for that metric"
    )
    chosen = settings(config)
    if not chosen.fm:
        return
    _share_cores(config)
    from pathorob_checks.plugin.gate import Gate, as_usage_error

    with as_usage_error():
        bars.show_downloads(config)
        gate = Gate(chosen, lambda items, total, text: bars.progress(config, items, total, text))
        gate.check_criteria()
    config.stash[GATE] = gate
    if _is_worker(config):
        gate.take_over(config.workerinput[WORKER_KEY])  # type: ignore[attr-defined]
    else:
        config.pluginmanager.register(Listener(gate), "pathorob_checks_listener")
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    if not given and config.getoption("pathorob_fm") is not None:
        # Files, not the folder: an ini file's python_files must not hide them.
        config.args = [str(path) for path in sorted(_suites().glob("test_*.py"))]
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
    """xdist: hand the resolved models to a worker."""
    gate = node.config.stash.get(GATE, None)
    node.workerinput[WORKER_KEY] = gate.hand_over() if gate else ""


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    """Give the packaged suites short ids, `suites/test_x.py::...`, wherever the package is installed."""
    if parent.config.stash.get(GATE, None) is None or module_path.parent != _suites():
        return None
    module = pytest.Module.from_parent(parent, path=module_path, nodeid=f"{SUITES}/{module_path.name}")
    return module  # noqa: RET504 (from_parent is untyped)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """FM x cohort x criterion, from the options alone: no network, no GPU, no cache."""
    gate = metafunc.config.stash.get(GATE, None)
    names = [name for name in ("fm", "cohort", "criterion") if _is_ours(metafunc, name)]
    if not names:
        return
    if gate is None:
        metafunc.parametrize(names, [[None] * len(names)], indirect=True, ids=["no-fm"])
        return
    cases = dict(_cases(gate, metafunc, names))
    metafunc.parametrize(names, list(cases.values()), ids=list(cases), indirect=True)


def _is_ours(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether an argument is this plugin's fixture, not one of the user's that has the same name."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        argnames = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if name in (argnames.replace(" ", "").split(",") if isinstance(argnames, str) else argnames):
            return False
    definitions = metafunc._arg2fixturedefs.get(name, ())
    return bool(definitions) and definitions[-1].func.__module__ == _fixtures.__name__


def _cases(gate: Gate, metafunc: pytest.Metafunc, names: list[str]) -> Iterator[tuple[str, list[Any]]]:
    mark = metafunc.definition.get_closest_marker("fm_metric")
    for pair in gate.pairs:
        values = {"fm": pair.fm, "cohort": pair.cohort}
        place = "-".join(values[name] for name in names if name in values)
        if "criterion" not in names:
            yield place, [values[name] for name in names]
            continue
        if mark is None or len(mark.args) != 1:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid} uses the fixture criterion; mark it with "
                "@pytest.mark.fm_metric('robustness_index') or another metric."
            )
        criteria = gate.criteria(pair.cohort, mark.args[0])
        for criterion in criteria:
            values["criterion"] = (pair.cohort, mark.args[0], criterion.id)  # type: ignore[assignment]
            suffix = f"-{criterion.id}" if len(criteria) > 1 else ""
            yield place + suffix, [values[name] for name in names]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the check's record on the report, as a string, so that it crosses from worker to controller.

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
    """The record of a packaged check that stopped before it had a value."""
    asked = _parameter(item, "criterion")
    if asked is None or call.excinfo is None:
        return None
    from pathorob_checks.criteria.verdict import Verdict
    from pathorob_checks.report.record import CheckRecord

    cohort, metric, name = asked
    criterion = next(found for found in gate.criteria(cohort, metric) if found.id == name)
    error = call.excinfo.value
    told = isinstance(error, PathorobChecksError | pytest.fail.Exception | pytest.skip.Exception)
    reason = str(error) if told else repr(error)
    skipped = report.outcome == "skipped"
    return gate.tell(
        CheckRecord.not_measured(
            test_id=item.nodeid,
            fm=_parameter(item, "fm"),
            criterion=criterion,
            reason=reason,
            verdict=Verdict.SKIPPED if skipped else Verdict.ERROR,
        )
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop the packaged tests of metrics that the profile says nothing about.

    pytest turns an empty parametrization into a skipped test, which would read as something left out.
    """
    if config.stash.get(GATE, None) is not None:
        items[:] = [item for item in items if isinstance(_parameter(item, "criterion", ()), tuple)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the criteria of this run, so that what never ran is missed."""
    gate = session.config.stash.get(GATE, None)
    if gate is not None:
        gate.outcome.planned = (gate.outcome.planned or 0) + _criteria_among(session.items)


def pytest_deselected(items: Iterable[pytest.Item]) -> None:
    """Criteria left out by `-k` or `-m` were planned all the same."""
    for item in items:
        gate = item.config.stash.get(GATE, None)
        if gate is not None:
            gate.outcome.planned = (gate.outcome.planned or 0) + _criteria_among([item])


class Listener:
    """Hears the tests' records; registered on the controller of a run with `--fm` only."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a record off a report, from this process or a worker."""
        message = getattr(report, REPORT_ATTRIBUTE, None)
        if message is not None:
            self.gate.outcome.hear(message)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take what a worker counted; a worker that crashed has counted nothing."""
        counted = getattr(node, "workeroutput", {}).get(WORKER_KEY)
        if counted is not None:
            self.gate.outcome.planned = counted
        if error:
            self.gate.outcome.crashed = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the results file; a run whose results are lost does not end with 0."""
        if session.config.option.collectonly:
            return
        try:
            self.gate.write_results()
        except PathorobChecksError as error:
            self.gate.outcome.problem = str(error)
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        """The table, then one line."""
        if config.option.collectonly or (outcome := self.gate.outcome).planned == 0:
            return
        from pathorob_checks.report.sources import render_sources
        from pathorob_checks.report.terminal import render_table, summary_line

        records = self.gate.records()
        terminalreporter.section("robustness of foundation models", sep="=")
        width = min(terminalreporter._tw.fullwidth, 120)
        terminalreporter.write_line(render_table(records, width, self.gate.profile.name))
        runs = [outcome.runs[pair] for pair in self.gate.pairs if pair in outcome.runs]
        if sources := render_sources(runs, self.gate.left_out, width):
            terminalreporter.write_line("")
            terminalreporter.write_line(sources)
        line = summary_line(records, outcome.planned, outcome.crashed)
        good = line.startswith("PASS")
        terminalreporter.write_line("")
        terminalreporter.write_line(line, bold=True, green=good, red=not good)
        if outcome.problem:
            terminalreporter.write_line(outcome.problem, red=True)
        elif self.gate.settings.fm_json:
            terminalreporter.write_line(f"results file: {self.gate.settings.fm_json}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells the controller how many criteria there are."""
    gate = session.config.stash.get(GATE, None)
    if gate is not None and _is_worker(session.config):
        session.config.workeroutput[WORKER_KEY] = gate.outcome.planned  # type: ignore[attr-defined]


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _parameter(item: pytest.Item, name: str, default: object = None) -> Any:
    callspec = getattr(item, "callspec", None)
    return default if callspec is None else callspec.params.get(name, default)


def _criteria_among(items: Iterable[pytest.Item]) -> int:
    """Tests that assert a criterion of the profile, or that a user wrote with `check`."""
    return sum("check" in getattr(item, "fixturenames", ()) for item in items)


def _suites() -> Path:
    return resource_path(SUITES)


def _packaged(argument: str) -> str:
    """`suites/test_x.py::...`, as the report prints it, where no such path is in the way."""
    path, *rest = argument.split("::")
    target = _suites().joinpath(*Path(path).parts[1:])
    if Path(path).parts[:1] == (SUITES,) and not Path(path).exists() and target.exists():
        return "::".join([str(target), *rest])
    return argument


def _share_cores(config: pytest.Config) -> None:
    """Workers share the cores: read by numpy, torch and OpenMP when they are first imported."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(variable, str(max(1, cores // workers)))
