"""From a measurement to a test's outcome: judge it, record it, and pass, fail, warn or xfail."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.verdict import Direction, Judgement, Rule, Verdict, judge
from pathorob_checks.errors import MetricError
from pathorob_checks.plugin.pairs import Pair
from pathorob_checks.report.explain import explain, in_one_sentence
from pathorob_checks.report.record import CheckRecord
from pathorob_checks.report.suspects import suspects

if TYPE_CHECKING:
    from pathorob_checks.criteria.profile import Inconclusive
    from pathorob_checks.metrics.measurement import Measurement
    from pathorob_checks.plugin.gate import Gate


class InconclusiveWarning(UserWarning):
    """A value whose interval holds its bound, under a profile that lets that pass."""


def own_criterion(
    test: str, metric: str, cohort: str, *, bound: float, direction: Direction, rule: Rule, rationale: str
) -> Criterion:
    """A bound that a user's test writes down itself."""
    return Criterion(
        id=test,
        metric=metric,
        cohort=cohort,
        cohorts=(cohort,),
        bound=bound,
        direction=direction,
        rule=rule,
        rationale=rationale or f"asked for by {test}.",
    )


def judged(gate: Gate, test: str, fm: str, criterion: Criterion, measurement: Measurement) -> CheckRecord:
    """The record of a measurement held against a criterion.

    Raises
    ------
    MetricError : the criterion is one of the profile and the measurement is not what it asks about.
    """
    key = (fm, criterion.cohort, criterion.id)
    asked = gate.agreement.checks.get(key)
    registered = asked is not None and asked.criterion == criterion
    group = baseline = None
    if registered:
        answer = gate.answer(fm, criterion)
        if measurement != answer.measurement:
            raise MetricError(
                f"criterion {criterion.id} of {criterion.cohort} was not measured by the registered protocol",
                remedy="use measure(criterion), or give the test its own bound, check(..., at_least=...)",
            )
        group, baseline = answer.group, answer.baseline
    drift = _drift(gate, fm, criterion)
    judgement = judge(
        criterion.bound,
        criterion.direction,
        measurement,
        criterion.rule,
        drift=drift,
        minimum_support=criterion.minimum_support,
    )
    if judgement.verdict is Verdict.ERROR and not criterion.required:
        judgement = Judgement(verdict=Verdict.SKIPPED, reason=judgement.reason)
    return CheckRecord.of_measurement(
        test_id=test,
        fm=fm,
        criterion=criterion,
        measurement=measurement,
        judgement=judgement,
        group=group,
        baseline=baseline,
        drift=drift,
        registered=registered,
        suspects=suspects(measurement, criterion, judgement.verdict, drift),
    )


def _drift(gate: Gate, fm: str, criterion: Criterion) -> float | None:
    """How far the precision moves what is judged: of a mean, the mean of its parts."""
    known = [gate.drift(Pair(fm, cohort)) for cohort in criterion.cohorts]
    drifts = [drift[criterion.metric] for drift in known if drift and criterion.metric in drift]
    return sum(drifts) / len(known) if drifts else None


def conclude(record: CheckRecord, inconclusive: Inconclusive) -> None:
    """End the test as the verdict, and of an inconclusive one the profile, says."""
    __tracebackhide__ = True
    if record.verdict is Verdict.PASS:
        return
    if record.verdict is Verdict.SKIPPED:
        pytest.skip(record.reason)
    if record.verdict is Verdict.INCONCLUSIVE and inconclusive == "warn":
        warnings.warn(InconclusiveWarning(in_one_sentence(record)), stacklevel=2)
    elif record.verdict is Verdict.INCONCLUSIVE and inconclusive == "xfail":
        pytest.xfail(in_one_sentence(record))
    else:
        pytest.fail(explain(record), pytrace=False)
