"""From the records of a run to its `Results`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pathorob_checks.criteria.profile import Profile
from pathorob_checks.evaluation.completeness import Collected, completeness, key_of
from pathorob_checks.evaluation.facts import machine_facts
from pathorob_checks.evaluation.integrity import INTEGRITY_CHECKS
from pathorob_checks.evaluation.run import Evaluation
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.document import (
    BaselineFacts,
    Check,
    Completeness,
    Environment,
    IntegrityCheck,
    MetricFacts,
    Run,
    Terms,
)
from pathorob_checks.results.outcome import summarize
from pathorob_checks.results.results import Results


@dataclass
class Records:
    """What a run has made so far.

    Attributes
    ----------
    checks, integrity : by the id of their test.
    runs : by subject.
    collected : the tests that pytest collected; None where that is unknown, or without pytest.
    whole : whether the command is about the whole profile, not about paths or node ids.
    crashed : a worker was lost.
    other_failures : ids of failed tests that are neither checks nor integrity checks.
    problems : sentences about what went wrong with the run itself.
    """

    checks: dict[str, Check] = field(default_factory=dict)
    integrity: dict[str, IntegrityCheck] = field(default_factory=dict)
    runs: dict[Subject, Run] = field(default_factory=dict)
    collected: Collected | None = None
    whole: bool = True
    crashed: bool = False
    other_failures: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add_runs(self, runs: Iterable[Run]) -> None:
        """Note the FM and the cohort behind some checks; a later note has more of their integrity."""
        for run in runs:
            self.runs[Subject(run.fm.name, run.method, run.cohort.name)] = run

    def completeness(self, evaluation: Evaluation) -> Completeness:
        """How much of the plan is measured."""
        return completeness(
            evaluation.terms.checks.values(),
            self.collected,
            self.checks.values(),
            whole=self.whole,
            crashed=self.crashed,
        )


def results_of(evaluation: Evaluation, records: Records, created: datetime | None = None) -> Results:
    """The results of what was recorded so far."""
    counts = records.completeness(evaluation)
    checks, integrity = _in_order(evaluation, records), _integrity_in_order(evaluation, records)
    summary = summarize(
        checks,
        counts,
        integrity=integrity,
        other_failures=records.other_failures,
        require_complete=evaluation.require_complete,
    )
    measured = {check.metric for check in checks}
    return Results(
        created=(created or datetime.now(UTC)).replace(microsecond=0),  # as the file has it
        complete=counts.complete,
        outcome=summary.outcome,
        summary=summary.sentence,
        environment=Environment(
            **machine_facts(),
            criteria=_terms(evaluation, counts),
            left_out=evaluation.left_out,
        ),
        metrics={name: MetricFacts.of(one) for name, one in metrics().items() if name in measured},
        runs=tuple(records.runs[one] for one in evaluation.subjects.subjects if one in records.runs),
        checks=tuple(checks),
        integrity=tuple(integrity),
        other_failures=tuple(dict.fromkeys(records.other_failures)),
        problems=tuple(records.problems),
    )


def _terms(evaluation: Evaluation, counts: Completeness) -> Terms:
    terms, criteria = evaluation.terms, evaluation.settings.criteria
    baseline = terms.baseline
    baseline_facts = None
    if baseline is not None:
        baseline_facts = BaselineFacts(fm=baseline.fm, source=baseline.source, digest=baseline.digest)
    return Terms(
        name=terms.profile.name,
        files=(terms.profile.name,) if isinstance(criteria, Profile) else tuple(map(str, criteria)),
        digest=terms.digest,
        profile=terms.profile.content,
        protocol=terms.protocol,
        baseline=baseline_facts,
        require_complete=evaluation.require_complete,
        completeness=counts,
    )


def _in_order(evaluation: Evaluation, records: Records) -> list[Check]:
    """By subject and metric, criteria in the order of the profile."""
    subjects = {subject: n for n, subject in enumerate(evaluation.subjects.subjects)}
    by_metric = {name: n for n, name in enumerate(metrics())}
    planned = {key: n for n, key in enumerate(evaluation.terms.checks)}

    def place(check: Check) -> tuple[int, int, int, str]:
        key = key_of(check)
        return (
            subjects.get(Subject(check.fm, check.method, check.cohort), len(subjects)),
            by_metric.get(check.metric, len(by_metric)),
            planned.get(key, len(planned)) if key else len(planned),
            check.id,
        )

    return sorted(records.checks.values(), key=place)


def _integrity_in_order(evaluation: Evaluation, records: Records) -> Sequence[IntegrityCheck]:
    subjects = {subject: n for n, subject in enumerate(evaluation.subjects.subjects)}
    names = list(INTEGRITY_CHECKS)
    return sorted(
        records.integrity.values(),
        key=lambda one: (
            subjects.get(Subject(one.fm, one.method, one.cohort), len(subjects)),
            names.index(one.name) if one.name in names else len(names),
        ),
    )
