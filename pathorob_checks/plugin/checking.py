"""What a test of the gate can do: measure, check, and record; packaged tests and users' tests do the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import MetricError

if TYPE_CHECKING:
    from pathorob_checks.criteria.criterion import Criterion
    from pathorob_checks.criteria.verdict import Rule
    from pathorob_checks.evaluation.subjects import Subject
    from pathorob_checks.metrics.measurement import Measurement
    from pathorob_checks.plugin.gate import Gate

RECORDS = pytest.StashKey[list[str]]()  # what a test made, on its way to the report


class Checking:
    """The subject of one test, and what the test records about it.

    Parameters
    ----------
    gate : of the run.
    item : the test.
    subject : the FM and the cohort that the test is about.
    criterion : the criterion of the profile that it checks; None for another one.
    """

    def __init__(
        self, gate: Gate, item: pytest.Item, subject: Subject, criterion: Criterion | None = None
    ) -> None:
        self.gate, self.item, self.subject, self.criterion = gate, item, subject, criterion

    def integrity(self, name: str) -> None:
        """Make one integrity check, record it, and end the test as it requires."""
        __tracebackhide__ = True
        from pathorob_checks.plugin.concluding import conclude_integrity

        check = self.gate.evaluation.integrity(self.subject, name)
        self._record(self.gate.message_of_integrity(check))
        conclude_integrity(check, self.gate.in_full_once(self.item.nodeid, check.reason, "fails"))

    def measure(self, metric_or_criterion: str | Criterion, **settings: Any) -> Measurement:
        """What a criterion is about, by the registered protocol; or a metric with settings of its own."""
        from pathorob_checks.evaluation.plan import Key

        evaluation = self.gate.evaluation
        try:
            if isinstance(metric_or_criterion, str):
                return evaluation.measure(self.subject, metric_or_criterion, **settings)
            criterion = metric_or_criterion
            key = Key(self.subject.fm, self.subject.method, criterion.cohort, criterion.id)
            return evaluation.measure_check(evaluation.terms.checks[key]).measurement
        except MetricError as error:
            if self.criterion is not None and not self.criterion.required:
                pytest.skip(str(error))
            raise

    def check(
        self,
        result: Any,
        criterion: Criterion | None = None,
        *,
        metric: str | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
        rule: Rule | None = None,
        rationale: str = "",
    ) -> None:
        """Hold a result against a criterion or a bound, record the verdict, end the test as it requires."""
        __tracebackhide__ = True
        from pathorob_checks.criteria.criterion import Criterion
        from pathorob_checks.evaluation.judging import own_criterion
        from pathorob_checks.metrics.measurement import one_measurement
        from pathorob_checks.plugin.concluding import conclude

        if criterion is not None and not isinstance(criterion, Criterion):
            raise TypeError(f"fm_check() needs what the fixture fm_criterion gives, not {criterion!r}")
        measurement = one_measurement(result, metric or (criterion.metric if criterion else None))
        profile = self.gate.evaluation.terms.profile
        if criterion is None:
            if (at_least is None) == (at_most is None):
                raise TypeError("fm_check() needs a criterion, or one of at_least and at_most")
            criterion = own_criterion(
                getattr(self.item, "originalname", self.item.name),
                measurement.metric,
                self.subject.cohort,
                bound=float(at_most if at_least is None else at_least),  # type: ignore[arg-type]
                direction="<=" if at_least is None else ">=",
                rule=rule or profile.rule,
                rationale=rationale,
            )
        judged = self.gate.evaluation.judge(self.item.nodeid, self.subject, criterion, measurement)
        place = len(self.item.stash.get(RECORDS, ()))
        self._record(self.gate.message_of_check(judged, place))
        conclude(judged, profile.inconclusive, self.gate.width)

    def _record(self, message: str) -> None:
        self.item.stash.setdefault(RECORDS, []).append(message)
