"""From the records of a run to its `Results`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pathorob_checks.criteria.profile import Profile
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evaluation.completeness import Collected, completeness, key_of
from pathorob_checks.evaluation.facts import machine_facts
from pathorob_checks.evaluation.integrity import INTEGRITY_CHECKS
from pathorob_checks.evaluation.run import Evaluation
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.evaluation.terms import Terms
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.document import MetricFacts, Outcome
from pathorob_checks.results.environment import BaselineFacts, Completeness, Environment
from pathorob_checks.results.environment import Terms as TermsFacts
from pathorob_checks.results.outcome import UNFINISHED, summarize
from pathorob_checks.results.releases import releases_of
from pathorob_checks.results.results import Results
from pathorob_checks.results.subject_facts import Run
from pathorob_checks.wording import printable

# Of two records of one check the graver is kept: a test that is repeated until it passes has failed.
_GRAVITY = (Verdict.SKIPPED, Verdict.ERROR, Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)


@dataclass
class Records:
    """What a run has made so far.

    Attributes
    ----------
    checks : by the key of a planned check, or by the test and the place in it of a user's own.
    integrity : by the id of their test.
    runs : by subject.
    collected : the tests that pytest collected; None where that is unknown, or without pytest.
    crashed : a worker was lost.
    other_failures : ids of failed tests that are neither checks nor integrity checks.
    problems : sentences about what went wrong with the run itself.
    """

    checks: dict[Hashable, Check] = field(default_factory=dict)
    integrity: dict[str, IntegrityCheck] = field(default_factory=dict)
    runs: dict[Subject, Run] = field(default_factory=dict)
    collected: Collected | None = None
    crashed: bool = False
    other_failures: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add_check(self, check: Check, place: int = 0) -> None:
        """Note a check; `place` tells apart several checks that a user's test makes itself."""
        name = key_of(check) or (check.id, place)
        if _is_graver(check, self.checks.get(name)):
            self.checks[name] = check

    def add_integrity(self, check: IntegrityCheck) -> None:
        """Note an integrity check."""
        if _is_graver(check, self.integrity.get(check.id)):
            self.integrity[check.id] = check

    def add_runs(self, runs: Iterable[Run]) -> None:
        """Note the FM and the cohort behind some checks; a later note has more of their integrity."""
        for run in runs:
            subject = Subject(run.fm.name, run.method, run.cohort.name)
            known = self.runs.get(subject)
            if known is not None and len(known.neighborhoods) > len(run.neighborhoods):
                shown = {"neighborhoods": known.neighborhoods, "images": known.images}
                run = run.model_copy(update=shown)
            self.runs[subject] = run


def _is_graver(new: Check | IntegrityCheck, old: Check | IntegrityCheck | None) -> bool:
    return old is None or _GRAVITY.index(new.verdict) > _GRAVITY.index(old.verdict)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What records are held against: the terms and subjects of a run, and where it ran.

    Attributes
    ----------
    files : profiles and files that the criteria were read from.
    left_out : a sentence for everything that the options leave out.
    settings : a sentence for each setting that did not come from the command.
    machine : as `facts.machine_facts`.
    """

    terms: Terms
    subjects: tuple[Subject, ...]
    require_complete: bool
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    settings: tuple[str, ...]
    machine: Mapping[str, Any]


def results_of(
    evaluation: Evaluation, records: Records, created: datetime | None = None, *, finished: bool = True
) -> Results:
    """The results of what was recorded so far; `finished` says whether anything can still follow."""
    terms, criteria = evaluation.terms, evaluation.settings.criteria
    frame = Frame(
        terms=terms,
        subjects=evaluation.subjects.subjects,
        require_complete=evaluation.require_complete,
        files=(evaluation.terms.profile.name,)
        if isinstance(criteria, Profile)
        else tuple(map(str, criteria)),
        left_out=evaluation.left_out + (records.collected or Collected()).not_chosen(terms.plan.ids),
        settings=tuple(evaluation.settings.origins.values()),
        machine=machine_facts(),
    )
    return assembled(frame, records, created or datetime.now(UTC), finished=finished)


def assembled(frame: Frame, records: Records, created: datetime, *, finished: bool = True) -> Results:
    """Everything that follows from the records: completeness, verdicts on the FMs, outcome."""
    terms = frame.terms
    counts = completeness(
        terms.plan,
        records.collected,
        records.checks.values(),
        records.integrity.values(),
        crashed=records.crashed,
    )
    checks, integrity = _in_order(frame, records), _integrity_in_order(frame, records)
    problems = tuple(dict.fromkeys([*([] if finished else [UNFINISHED]), *records.problems]))
    failures = tuple(dict.fromkeys(records.other_failures))
    planned = Counter((check.fm, check.method) for check in terms.plan.checks.values())
    releases = releases_of(
        checks,
        planned,
        terms.profile.content,
        integrity=integrity,
        other_failures=failures,
        problems=problems,
        completeness=counts,
    )
    summary = summarize(
        checks,
        counts,
        releases=releases,
        integrity=integrity,
        other_failures=failures,
        problems=problems,
        require_complete=frame.require_complete,
        allowed_by=None if terms.profile.inconclusive == "fail" else terms.profile.name,
    )
    measured = {check.metric for check in checks}
    return Results(
        created=created.replace(microsecond=0),  # as the file has it
        complete=counts.complete and not problems,
        outcome=summary.outcome,
        summary=summary.sentence,
        environment=Environment(
            **frame.machine, criteria=_terms(frame, counts), left_out=frame.left_out, settings=frame.settings
        ),
        metrics={name: MetricFacts.of(one) for name, one in metrics().items() if name in measured},
        runs=tuple(records.runs[one] for one in frame.subjects if one in records.runs),
        releases=releases,
        checks=tuple(checks),
        integrity=tuple(integrity),
        other_failures=failures,
        problems=problems,
    )


def unstarted(settings: Settings, problem: str) -> Results:
    """The results of a run that could not start."""
    criteria = settings.criteria
    return Results(
        created=datetime.now(UTC).replace(microsecond=0),
        complete=False,
        outcome=Outcome.ERROR,
        summary=f"ERROR: the run did not start: {printable(problem)}",
        environment=Environment(
            **machine_facts(),
            criteria=TermsFacts(
                name="",
                files=(criteria.name,) if isinstance(criteria, Profile) else tuple(map(str, criteria)),
                digest="",
                profile={},
                protocol={},
                require_complete=settings.require_complete,
                completeness=Completeness(planned=0, measured=0),
            ),
        ),
        metrics={},
        problems=(problem,),
    )


def _terms(frame: Frame, counts: Completeness) -> TermsFacts:
    terms = frame.terms
    baseline = terms.baseline
    baseline_facts = None
    if baseline is not None:
        baseline_facts = BaselineFacts(fm=baseline.fm, source=baseline.source, digest=baseline.digest)
    return TermsFacts(
        name=terms.profile.name,
        files=frame.files,
        digest=terms.digest,
        profile=terms.profile.content,
        protocol=terms.protocol,
        baseline=baseline_facts,
        require_complete=frame.require_complete,
        planned=terms.plan.ids,
        plan_digest=terms.plan.digest(terms.digest),
        completeness=counts,
    )


def _in_order(frame: Frame, records: Records) -> list[Check]:
    """By subject and metric, criteria in the order of the profile."""
    subjects = {subject: n for n, subject in enumerate(frame.subjects)}
    by_metric = {name: n for n, name in enumerate(metrics())}
    planned = {key: n for n, key in enumerate(frame.terms.plan.checks)}

    def place(check: Check) -> tuple[int, int, int, str]:
        key = key_of(check)
        return (
            subjects.get(Subject(check.fm, check.method, check.cohort), len(subjects)),
            by_metric.get(check.metric, len(by_metric)),
            planned.get(key, len(planned)) if key else len(planned),
            check.id,
        )

    return sorted(records.checks.values(), key=place)


def _integrity_in_order(frame: Frame, records: Records) -> Sequence[IntegrityCheck]:
    subjects = {subject: n for n, subject in enumerate(frame.subjects)}
    names = list(INTEGRITY_CHECKS)
    return sorted(
        records.integrity.values(),
        key=lambda one: (
            subjects.get(Subject(one.fm, one.method, one.cohort), len(subjects)),
            names.index(one.name) if one.name in names else len(names),
        ),
    )
