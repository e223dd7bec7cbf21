"""pytest's hooks, each a few lines: state is in `gate`, wording in `report`.

pytest loads this module in every run of its users, so nothing heavy is imported here before `--fm` is seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.plugin import bars
from pathorob_checks.plugin import fixtures as _fixtures
from pathorob_checks.plugin.crew import Crew, scheduler
from pathorob_checks.plugin.options import add_options, settings
from pathorob_checks.plugin.outcome import parameter
from pathorob_checks.resources import resource_path

if TYPE_CHECKING:
    from pathorob_checks.plugin.gate import Gate

GATE, MESSAGE = _fixtures.GATE, _fixtures.MESSAGE
REPORT_ATTRIBUTE = "pathorob_checks_message"
WORKER_KEY = "pathorob_checks"
SUITES = "suites"
MARKERS = (
    "fm_metric(name): this test asserts each criterion of the profile for that metric",
    "fm_criteria(quantity): this test asserts each criterion about a 'mean' over cohorts, or about a "
    "'difference' from the baseline",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the options; with `--fm` and no path on the command line, run the packaged suites."""
    config.pluginmanager.register(_fixtures, "pathorob_checks_fixtures")
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    chosen = settings(config)
    if not chosen.fm:
        return
    crew = Crew(config)
    from pathorob_checks.plugin.gate import Gate, as_usage_error

    with as_usage_error():
        bars.show_downloads(config)
        gate = Gate(chosen, bars.Bars(config), crew)
        gate.agree(config.workerinput[WORKER_KEY] if _is_worker(config) else None)  # type: ignore[attr-defined]
    config.stash[GATE] = gate
    if _is_worker(config):
        gate.take_over(config.workerinput[WORKER_KEY])  # type: ignore[attr-defined]
    else:
        config.pluginmanager.register(Listener(gate), "pathorob_checks_listener")
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    if not given and config.getoption("pathorob_fm") is not None:
        # Files, not the folder: an ini file's python_files must not hide them.
        config.args = [str(path) for path in sorted(_suites().glob("test_*.py"))]
        gate.outcome.whole = True
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """xdist: one FM on one cohort is one worker's."""
    gate = config.stash.get(GATE, None)
    return scheduler(config, log, gate.pairs) if gate else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests of the gate use this worker's share of the cores."""
    gate = item.config.stash.get(GATE, None)
    with gate.crew.at_work() if gate else contextlib.nullcontext():
        return (yield)


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
    """Ids with the values of `names`; a criterion is told by its key."""
    for fm, cohort, criterion, suffix in _places(gate, metafunc, "criterion" in names):
        values = {"fm": fm, "cohort": cohort, "criterion": (fm, cohort, criterion)}
        place = "-".join(str(values[name]) for name in names if name != "criterion")
        yield place + suffix, [values[name] for name in names]


def _places(gate: Gate, metafunc: pytest.Metafunc, asserts: bool) -> Iterator[tuple[str, str, str, str]]:
    """FM, cohort, criterion's id, and what the test's id says of it."""
    if not asserts:
        yield from ((pair.fm, pair.cohort, "", "") for pair in gate.pairs)
        return
    quantity, metric = (_mark(metafunc, name) for name in ("fm_criteria", "fm_metric"))
    if quantity is not None:
        for check in gate.agreement.of_quantity(quantity):
            yield *check.key, f"-{check.criterion.id}"
        return
    if metric is None:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} uses the fixture criterion; mark it with "
            "@pytest.mark.fm_metric('robustness_index') or another metric."
        )
    for pair in gate.pairs:
        criteria = gate.agreement.asked(pair.fm, pair.cohort, metric)
        for criterion in criteria:
            yield pair.fm, pair.cohort, criterion.id, f"-{criterion.id}" if len(criteria) > 1 else ""


def _mark(metafunc: pytest.Metafunc, name: str) -> str | None:
    """The one word that a marker of ours says."""
    mark = metafunc.definition.get_closest_marker(name)
    return str(mark.args[0]) if mark is not None and len(mark.args) == 1 else None


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
    key = parameter(item, "criterion")
    if key is None or call.excinfo is None:
        return None
    from pathorob_checks.criteria.verdict import Verdict
    from pathorob_checks.report.record import CheckRecord

    error = call.excinfo.value
    told = isinstance(error, PathorobChecksError | pytest.fail.Exception | pytest.skip.Exception)
    return gate.tell(
        CheckRecord.not_measured(
            test_id=item.nodeid,
            fm=key[0],
            criterion=gate.agreement.checks[key].criterion,
            reason=str(error) if told else repr(error),
            verdict=Verdict.SKIPPED if report.outcome == "skipped" else Verdict.ERROR,
        )
    )


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Drop the packaged tests of what the profile says nothing about.

    pytest turns an empty parametrization into a skipped test, which would read as something left out.
    """
    made = yield
    if isinstance(made, list) and collector.config.stash.get(GATE, None) is not None:
        return [item for item in made if isinstance(parameter(item, "criterion", ()), tuple)]
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Note the checks of this run, so that what never ran is missed."""
    gate = session.config.stash.get(GATE, None)
    if gate is not None:
        gate.outcome.select(session.items)


def pytest_deselected(items: Iterable[pytest.Item]) -> None:
    """Criteria left out by `-k` or `-m` were asked for all the same."""
    for item in items:
        gate = item.config.stash.get(GATE, None)
        if gate is not None:
            gate.outcome.deselect([item])


def pytest_report_header(config: pytest.Config) -> list[str]:
    """The terms of the run, before anything is measured."""
    gate = config.stash.get(GATE, None)
    if gate is None or _is_worker(config):
        return []
    agreement = gate.agreement
    compared = (
        [f"baseline: {agreement.baseline.fm} ({agreement.baseline.source})"] if agreement.baseline else []
    )
    return [f"criteria: {agreement.profile.name}", *compared, f"digest: {agreement.digest}"]


class Listener:
    """Hears the tests' records; registered on the controller of a run with `--fm` only."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a record off a report, from this process or a worker."""
        message = getattr(report, REPORT_ATTRIBUTE, None)
        if message is not None:
            self.gate.outcome.hear(message)
        elif report.failed:
            self.gate.outcome.failed.append(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take what a worker collected; a worker that crashed tells nothing."""
        collected = getattr(node, "workeroutput", {}).get(WORKER_KEY)
        if collected is not None:
            self.gate.outcome.hear_collected(collected)
        if error:
            self.gate.outcome.crashed = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the results file; what was lost or not measured does not end with 0."""
        if session.config.option.collectonly:
            return
        try:
            self.gate.write_results()
        except PathorobChecksError as error:
            self.gate.outcome.problem = str(error)
        if session.exitstatus == pytest.ExitCode.OK and self.gate.must_fail():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        """The table, then one line."""
        outcome, coverage = self.gate.outcome, self.gate.coverage()
        if config.option.collectonly or coverage.planned == 0:
            return
        from pathorob_checks.report.sources import render_sources
        from pathorob_checks.report.terminal import render_table, summary_line

        records = self.gate.records()
        terminalreporter.section("robustness of foundation models", sep="=")
        width = min(terminalreporter._tw.fullwidth, 120)
        profile = self.gate.agreement.profile
        terminalreporter.write_line(render_table(records, width, profile.name))
        runs = [outcome.runs[pair] for pair in self.gate.pairs if pair in outcome.runs]
        if sources := render_sources(runs, self.gate.left_out, width):
            terminalreporter.write_line("")
            terminalreporter.write_line(sources)
        line = summary_line(
            records,
            coverage,
            demanded=self.gate.requires_complete,
            unsound=outcome.failed_without_criterion(),
        )
        good = line.startswith("PASS")
        terminalreporter.write_line("")
        terminalreporter.write_line(line, bold=True, green=good, red=not good)
        if outcome.problem:
            terminalreporter.write_line(outcome.problem, red=True)
        elif self.gate.settings.fm_json:
            terminalreporter.write_line(f"results file: {self.gate.settings.fm_json}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells the controller what it collected."""
    gate = session.config.stash.get(GATE, None)
    if gate is not None and _is_worker(session.config):
        gate.crew.leave()
        session.config.workeroutput[WORKER_KEY] = gate.outcome.to_json()  # type: ignore[attr-defined]


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _suites() -> Path:
    return resource_path(SUITES)


def _packaged(argument: str) -> str:
    """`suites/test_x.py::...`, as the report prints it, where no such path is in the way."""
    path, *rest = argument.split("::")
    target = _suites().joinpath(*Path(path).parts[1:])
    if Path(path).parts[:1] == (SUITES,) and not Path(path).exists() and target.exists():
        return "::".join([str(target), *rest])
    return argument
