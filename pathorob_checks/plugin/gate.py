"""The state of one gated pytest process: its evaluation, and the records of the run.

The controller resolves models once and hands the result to the workers; workers measure; records travel back
on the test reports as JSON strings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.evaluation.assembling import Records, results_of
from pathorob_checks.evaluation.completeness import Collected
from pathorob_checks.evaluation.run import Evaluation
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.evaluation.terms import Key
from pathorob_checks.evaluation.work import work_ahead
from pathorob_checks.plugin.following import PytestObserver
from pathorob_checks.results.document import NO_METHOD, Check, Document, IntegrityCheck, Run
from pathorob_checks.results.outcome import must_fail
from pathorob_checks.results.text import DEFAULT_WIDTH

if TYPE_CHECKING:
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.plugin.bars import Bars
    from pathorob_checks.plugin.worker import Worker
    from pathorob_checks.results.results import Results


class Message(Document):
    """What a test made, on its way from a worker to the controller."""

    check: Check | None = None
    integrity: IntegrityCheck | None = None
    runs: tuple[Run, ...] = ()


class Gate:
    """One run of `pytest --fm` in one process.

    Parameters
    ----------
    settings : the options.
    results_file : the value of `--fm-json`.
    handed_over : what `hand_over` gave, in a worker; None on the controller.
    width : gives the columns of the terminal; a worker has the controller's.
    """

    def __init__(
        self,
        settings: Settings,
        results_file: str | None,
        bars: Bars,
        worker: Worker,
        handed_over: str | None = None,
        width: Callable[[], int] = lambda: DEFAULT_WIDTH,
    ) -> None:
        content = json.loads(handed_over) if handed_over else {}
        self.worker = worker
        self.results_file = results_file
        self._width = content.get("width") or width
        self.evaluation = Evaluation(settings, PytestObserver(bars, worker), content.get("evaluation"))
        self.records = Records(whole=False)

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._width() if callable(self._width) else int(self._width)

    def preflight(self) -> None:
        """Everything that can be known to be wrong before a model is loaded."""
        self.write_results()
        self.evaluation.preflight()

    def announcements(self) -> list[str]:
        """What is known before anything is measured and changes what is measured, or for how long."""
        protocol = self.evaluation.terms.protocol["metrics"]
        return [
            f"{name}: the {label} reads a sample, {work.text}"
            for name, cohort in self.evaluation.inputs.known_cohorts().items()
            for label, work in work_ahead(cohort, protocol).items()
            if work.is_sample
        ]

    def hand_over(self) -> str:
        """What workers need of the controller, as JSON."""
        return json.dumps({"width": self.width, "evaluation": self.evaluation.hand_over()})

    # -- in a process that measures ---------------------------------------------------------------------

    def subject(self, fm: str, cohort: str) -> Subject:
        """The subject of a test by its parameters."""
        return Subject(fm, NO_METHOD, cohort)

    def message_of_check(self, check: Check) -> str:
        """A check and the runs behind it, as one JSON string for a test report."""
        planned = self.evaluation.terms.checks.get(Key(check.fm, check.method, check.cohort, check.criterion))
        subjects = planned.subjects if planned else (Subject(check.fm, check.method, check.cohort),)
        runs = tuple(
            self.evaluation.runs(one for one in subjects if one in self.evaluation.subjects.subjects)
        )
        return Message(check=check, runs=runs).model_dump_json()

    def message_of_integrity(self, integrity: IntegrityCheck) -> str:
        """An integrity check as one JSON string for a test report."""
        return Message(integrity=integrity).model_dump_json()

    # -- on the controller ------------------------------------------------------------------------------

    def receive(self, text: str) -> None:
        """Take in what a test put on its report."""
        message = Message.model_validate_json(text)
        if message.check is not None:
            self.records.checks[message.check.id] = message.check
        if message.integrity is not None:
            self.records.integrity[message.integrity.id] = message.integrity
        self.records.add_runs(message.runs)

    def select(self, items: Iterable[pytest.Item]) -> None:
        """Note the tests that pytest is going to run."""
        collected = self.records.collected or Collected()
        selected = {**collected.selected, **_checks_among(items)}
        self.records.collected = Collected(selected=selected, deselected=collected.deselected)

    def deselect(self, items: Iterable[pytest.Item]) -> None:
        """Note the tests that the user left out."""
        collected = self.records.collected or Collected()
        deselected = {**collected.deselected, **_checks_among(items)}
        self.records.collected = Collected(selected=collected.selected, deselected=deselected)

    def collected_to_json(self) -> str:
        """For the controller: what this worker collected."""
        collected = self.records.collected
        return json.dumps(
            None
            if collected is None
            else {"selected": collected.selected, "deselected": collected.deselected}
        )

    def receive_collected(self, text: str) -> None:
        """Undo `collected_to_json`; every worker collects the same."""
        content = json.loads(text)
        if content is not None:
            self.records.collected = Collected(
                selected=_with_keys(content["selected"]), deselected=_with_keys(content["deselected"])
            )

    def results(self) -> Results:
        """The results of what was recorded so far."""
        return results_of(self.evaluation, self.records)

    def write_results(self) -> None:
        """Write `--fm-json` with what is known now; raises CacheError where that is impossible."""
        if self.results_file:
            self.results().save(self.results_file)

    def must_fail(self) -> bool:
        """Whether the run must not end with 0, however its tests ended."""
        records = self.records
        return bool(records.problems) or must_fail(
            records.completeness(self.evaluation),
            records.checks.values(),
            records.integrity.values(),
            require_complete=self.evaluation.require_complete,
        )


def parameter(item: pytest.Item, name: str, default: object = None) -> Any:
    """A test's parameter, as parametrization gave it."""
    callspec = getattr(item, "callspec", None)
    return default if callspec is None else callspec.params.get(name, default)


def _checks_among(items: Iterable[pytest.Item]) -> dict[str, Key | None]:
    """Tests that make a planned check, or that a user wrote with the fixture `check`."""
    return {
        item.nodeid: parameter(item, "criterion")
        for item in items
        if parameter(item, "criterion") or "check" in getattr(item, "fixturenames", ())
    }


def _with_keys(tests: dict[str, list[str] | None]) -> dict[str, Key | None]:
    return {test: None if key is None else Key(*key) for test, key in tests.items()}


@contextmanager
def as_usage_error() -> Iterator[None]:
    """Turn errors that a user can act on into pytest's one-line usage error."""
    try:
        yield
    except PathorobChecksError as error:
        raise pytest.UsageError(str(error)) from None
