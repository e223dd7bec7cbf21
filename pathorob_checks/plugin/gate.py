"""The state of one gated pytest process: its evaluation, and the records of the run.

The controller resolves models once and hands the result to the workers; workers measure; records travel back
on the test reports as JSON strings.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.evaluation.assembling import Records, results_of, unstarted
from pathorob_checks.evaluation.completeness import Collected
from pathorob_checks.evaluation.facts import design_text
from pathorob_checks.evaluation.integrity import not_made
from pathorob_checks.evaluation.judging import not_measured
from pathorob_checks.evaluation.plan import Key
from pathorob_checks.evaluation.run import Evaluation
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.evaluation.work import work_ahead
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.plugin.checking import RECORDS
from pathorob_checks.plugin.following import PytestObserver
from pathorob_checks.plugin.parametrizing import uses
from pathorob_checks.plugin.selection import Selection
from pathorob_checks.plugin.suite import SuiteTest, packaged_tests
from pathorob_checks.results import properties
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.explanation import sentence_of
from pathorob_checks.results.outcome import exit_code
from pathorob_checks.results.part import Document
from pathorob_checks.results.subject_facts import Run
from pathorob_checks.results.text import DEFAULT_WIDTH

if TYPE_CHECKING:
    from pathorob_checks.criteria.profile import Inconclusive
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.plugin.bars import Bars
    from pathorob_checks.plugin.evidence import RunEvidence
    from pathorob_checks.plugin.keeping import Keeping
    from pathorob_checks.plugin.report_files import ReportFiles
    from pathorob_checks.plugin.worker import Worker
    from pathorob_checks.results.results import Results


class Message(Document):
    """What a test made, on its way from a worker to the controller; `place` counts what one test makes."""

    check: Check | None = None
    place: int = 0
    integrity: IntegrityCheck | None = None
    runs: tuple[Run, ...] = ()


class Gate:
    """One run of `pytest --fm` in one process.

    Parameters
    ----------
    settings : the options.
    reports : the files to write.
    keeping : the history that the run is kept in.
    handed_over : what `hand_over` gave, in a worker; None on the controller.
    width : gives the columns of the terminal; a worker has the controller's.

    Attributes
    ----------
    evidence : the folder that was asked for; None without one, and in a worker.
    final : the results, from the end of the session on.
    """

    def __init__(
        self,
        settings: Settings,
        reports: ReportFiles,
        keeping: Keeping,
        bars: Bars,
        worker: Worker,
        handed_over: str | None = None,
        width: Callable[[], int] = lambda: DEFAULT_WIDTH,
    ) -> None:
        content = json.loads(handed_over) if handed_over else {}
        self.worker = worker
        self.reports, self.keeping = reports, keeping
        self._width = content.get("width") or width
        self.evaluation = Evaluation(settings, PytestObserver(bars, worker), content.get("evaluation"))
        self.records = Records()
        self.evidence: RunEvidence | None = None
        self.final: Results | None = None
        self._first_tests: dict[str, str] = {}  # the first test that each sentence has stopped
        self._selection: Selection | None = None

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._width() if callable(self._width) else int(self._width)

    def preflight(self, session: pytest.Session) -> None:
        """Everything that can be known to be wrong before a model is loaded; the evidence begins with it."""
        with contextlib.nullcontext() if self.evidence is None else self.evidence.beginning(self.evaluation):
            self._preflight(session)

    def _preflight(self, session: pytest.Session) -> None:
        left_out, keyword = self._left_out(session)
        try:
            self.evaluation.preflight(left_out=left_out, keyword=keyword)
        except PathorobChecksError as error:
            self.reports.save(unstarted(self.evaluation.settings, str(error)))
            raise
        self.start()

    def _left_out(self, session: pytest.Session) -> tuple[set[str], str]:
        """The planned checks that the command line leaves out, before anything is collected, and its `-k`."""
        selection = self._selection
        if selection is None or not selection.narrows:
            return set(), ""
        chosen = {item.nodeid: self.planned(item) for item in selection.leaves_out(packaged_tests(session))}
        collected = Collected(deselected=chosen, chosen=tuple(chosen), named=selection.named)
        return collected.left_out(self.evaluation.terms.plan.ids), selection.options.keyword or ""

    def cohorts(self) -> list[str]:
        """Which slides each cohort has, so that swapped labels are seen before anything is measured."""
        known = self.evaluation.inputs.known_cohorts()
        return [line for name, cohort in known.items() for line in design_text(name, cohort)]

    def announcements(self) -> list[str]:
        """What is known before anything is measured and changes what is measured, or for how long."""
        protocol = self.evaluation.terms.protocol["metrics"]
        upside_down = [
            f"criterion {entry.id}: {entry.upside_down}; be sure that this is meant"
            for entry in self.evaluation.terms.profile.criteria
            if entry.is_upside_down
        ]
        unmet = [f"cannot be measured: {one.sentence}" for one in self.evaluation.unmet_needs()]
        return [*upside_down, *unmet] + [
            f"{name}: the {label} reads a sample, {work.text}"
            for name, cohort in self.evaluation.inputs.known_cohorts().items()
            for label, work in work_ahead(cohort, protocol).items()
            if work.is_sample
        ]

    def hand_over(self) -> str:
        """What workers need of the controller, as JSON."""
        return json.dumps({"width": self.width, "evaluation": self.evaluation.hand_over()})

    # -- in a process that measures ---------------------------------------------------------------------

    def subject(self, fm: str, cohort: str, method: str = NO_METHOD) -> Subject:
        """The subject of a test by its parameters."""
        return Subject(fm, method, cohort)

    def message_of_check(self, check: Check, place: int = 0) -> str:
        """A check and the runs behind it, as one JSON string for a test report."""
        key = Key(check.fm, check.method, check.cohort, check.criterion)
        planned = self.evaluation.terms.plan.checks.get(key)
        subjects = planned.subjects if planned else (Subject(check.fm, check.method, check.cohort),)
        runs = tuple(
            self.evaluation.runs(one for one in subjects if one in self.evaluation.subjects.subjects)
        )
        return Message(check=check, place=place, runs=runs).model_dump_json()

    def message_of_integrity(self, integrity: IntegrityCheck) -> str:
        """An integrity check as one JSON string for a test report."""
        return Message(integrity=integrity).model_dump_json()

    def messages_of_failure(self, item: pytest.Item, error: BaseException) -> list[str]:
        """The record of a packaged check that stopped before it had one; nothing for a user's test."""
        planned = self.planned(item)
        if planned is None or not isinstance(item, SuiteTest):
            return []
        is_sentence = isinstance(error, PathorobChecksError | pytest.fail.Exception | pytest.skip.Exception)
        reason = str(error) if is_sentence else repr(error)
        plan = self.evaluation.terms.plan
        if planned in plan.integrity:
            made = plan.integrity[planned]
            return [self.message_of_integrity(not_made(made.subject, made.name, f"not made: {reason}"))]
        [check] = [one for one in plan.checks.values() if one.id == planned]
        verdict = Verdict.SKIPPED if isinstance(error, pytest.skip.Exception) else Verdict.ERROR
        return [self.message_of_check(not_measured(item.nodeid, check, reason, verdict))]

    def in_full_once(self, test: str, sentence: str, verb: str = "not measured") -> str:
        """What stopped a test, as it is shown: whole for the first test, and for others where it stands.

        A sentence that is shorter than that is told again.
        """
        first = self._first_tests.setdefault(sentence, test)
        reference = f"{verb} for the reason that {first} gives."
        return sentence if first == test or len(sentence) <= len(reference) else reference

    def planned(self, item: pytest.Item) -> str | None:
        """The id of the planned check that a test makes; None where it makes none."""
        key = parameter(item, "fm_criterion")
        if key is not None:
            planned = self.evaluation.terms.plan.checks.get(key)
            return planned.id if planned else None
        is_integrity = isinstance(item, SuiteTest) and item.nodeid in self.evaluation.terms.plan.integrity
        return item.nodeid if is_integrity else None

    # -- on the controller ------------------------------------------------------------------------------

    def receive(self, messages: Iterable[str]) -> None:
        """Take in what a test put on its report."""
        for text in messages:
            message = Message.model_validate_json(text)
            if message.check is not None:
                self.records.add_check(message.check, message.place)
            if message.integrity is not None:
                self.records.add_integrity(message.integrity)
            self.records.add_runs(message.runs)

    def note(self, selection: Selection) -> None:
        """Note what the command line says about the tests of the run."""
        self._selection = selection
        self.records.collected = Collected(named=selection.named)

    def select(self, items: Iterable[pytest.Item]) -> None:
        """Note the tests that pytest is going to run."""
        collected = self.records.collected or Collected()
        selected = {**collected.selected, **self._checks_among(items)}
        self.records.collected = replace(collected, selected=selected)

    def deselect(self, items: Sequence[pytest.Item]) -> None:
        """Note tests that were left out, and which of them by the command line."""
        collected = self.records.collected or Collected()
        deselected = {**collected.deselected, **self._checks_among(items)}
        chosen = self._selection.leaves_out(items) if self._selection else ()
        self.records.collected = replace(
            collected,
            deselected=deselected,
            chosen=(*collected.chosen, *(item.nodeid for item in chosen)),
        )

    def collected_to_json(self) -> str:
        """For the controller: what this worker collected."""
        collected = self.records.collected or Collected()
        return json.dumps({name: getattr(collected, name) for name in ("selected", "deselected", "chosen")})

    def receive_collected(self, text: str) -> None:
        """Undo `collected_to_json`; every worker collects the same."""
        self.records.collected = replace(self.records.collected or Collected(), **json.loads(text))

    def start(self) -> None:
        """Write the reports as those of a run that has not finished.

        Raises
        ------
        ResultsError : one cannot be written.
        """
        if self.reports.paths:
            for error in self.reports.save(results_of(self.evaluation, self.records, finished=False)):
                raise error

    def finish(self) -> Results:
        """The results of the whole run; the reports are written last."""
        self.final = results_of(self.evaluation, self.records)
        problems = list(map(str, self._save(self.final)))
        if problems:
            known = self.records.problems
            known += [problem for problem in problems if problem not in known]
            self.final = results_of(self.evaluation, self.records)
            self._save(self.final)  # no file that can be written may tell of a pass
        self.keeping.keep(self.final)
        return self.final

    def seal(self) -> str | None:
        """Finish the evidence, when nothing else of the run can follow; returns what went wrong."""
        if self.evidence is None or self.final is None:
            return None
        problem = self.evidence.seal()
        if problem is not None:
            self.records.problems.append(problem)
            self.finish()
        return problem

    def _save(self, results: Results) -> list[PathorobChecksError]:
        """Write all that is made of the results; returns the error of each that cannot be written."""
        errors = self.reports.save(results)
        return errors if self.evidence is None else [*errors, *self.evidence.conclude(results)]

    def exit_code(self) -> int:
        """With what the run ends, by its records alone; what came after the end of the session counts too."""
        if self.final is None:
            return 1
        known = (self.final.outcome, self.final.summary)
        latest = results_of(self.evaluation, self.records)
        final = self.final if (latest.outcome, latest.summary) == known else self.finish()
        return exit_code(final.outcome, self.evaluation.terms.profile.inconclusive)

    def _checks_among(self, items: Iterable[pytest.Item]) -> dict[str, str | None]:
        """Tests that make a planned check, or that a user wrote with the fixture `fm_check`."""
        return {
            item.nodeid: planned
            for item in items
            if (planned := self.planned(item)) or uses(item, "fm_check")
        }


def parameter(item: pytest.Item, name: str, default: object = None) -> Any:
    """A test's parameter, as parametrization gave it."""
    if isinstance(item, SuiteTest):
        return getattr(item.case, name)
    callspec = getattr(item, "callspec", None)
    return default if callspec is None else callspec.params.get(name, default)


def messages_of(item: pytest.Item) -> list[str]:
    """What a test recorded, once."""
    messages = item.stash.get(RECORDS, [])
    item.stash[RECORDS] = []
    return messages


def all_passed(messages: Iterable[str]) -> bool:
    """Whether no record says that something is wrong."""
    made = [Message.model_validate_json(text) for text in messages]
    records = [one.check or one.integrity for one in made]
    return all(record is not None and record.verdict is Verdict.PASS for record in records)


def undecided_in(messages: Iterable[str]) -> list[str]:
    """A sentence for each check of a test whose verdict is inconclusive."""
    made = [Message.model_validate_json(text).check for text in messages]
    return [sentence_of(check) for check in made if check and check.verdict is Verdict.INCONCLUSIVE]


def properties_of(messages: Iterable[str], inconclusive: Inconclusive) -> list[properties.Property]:
    """What a reader of a JUnit file is told of a test's records.

    Parameters
    ----------
    inconclusive : what such a verdict does, by the profile.
    """
    made_properties: list[properties.Property] = []
    for message in map(Message.model_validate_json, messages):
        if message.check is not None:
            made_properties += properties.of_check(message.check, allows_inconclusive=inconclusive != "fail")
        if message.integrity is not None:
            made_properties += properties.of_integrity(message.integrity)
    return made_properties


@contextmanager
def as_usage_error() -> Iterator[None]:
    """Turn errors that a user can act on into pytest's one-line usage error."""
    try:
        yield
    except PathorobChecksError as error:
        raise pytest.UsageError(str(error)) from None
