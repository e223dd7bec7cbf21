"""Fixtures for the packaged suites and for users' own tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import MetricError

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.criteria.criterion import Criterion
    from pathorob_checks.criteria.verdict import Rule
    from pathorob_checks.embeddings.extraction import Embeddings
    from pathorob_checks.evaluation.subjects import Subject
    from pathorob_checks.metrics.measurement import Measurement
    from pathorob_checks.models.loading import PreparedModel
    from pathorob_checks.plugin.gate import Gate

GATE = pytest.StashKey["Gate"]()
MESSAGE = pytest.StashKey[str]()  # what the test made, on its way to the report


def _gate(request: pytest.FixtureRequest) -> Gate:
    gate = request.config.stash.get(GATE, None)
    if gate is None:
        pytest.skip("there is no foundation model to check; give --fm=SPEC")
    return gate


def _subject(request: pytest.FixtureRequest, fm: PreparedModel) -> Subject:
    from pathorob_checks.plugin.gate import parameter

    return _gate(request).subject(fm.name, parameter(request.node, "cohort"))


@pytest.fixture(scope="session")
def fm(request: pytest.FixtureRequest) -> PreparedModel:
    """The foundation model: `.name`, `.identity`, and `.load()` for the encoder on its device."""
    return _gate(request).evaluation.inputs.model(request.param)


@pytest.fixture(scope="session")
def cohort(request: pytest.FixtureRequest) -> Cohort | tuple[Cohort, ...]:
    """The cohort: `.patches` (a table), `.read_image(row)`, `.name`, `.digest`; for a mean, all of them."""
    evaluation = _gate(request).evaluation
    if request.param in evaluation.subjects.cohorts:
        return evaluation.inputs.cohort(request.param)
    means = evaluation.terms.of_quantity("mean")
    names = next((one.criterion.cohorts for one in means if one.criterion.cohort == request.param), ())
    return tuple(evaluation.inputs.cohort(name) for name in names if name in evaluation.subjects.cohorts)


@pytest.fixture(scope="session")
def embeddings(request: pytest.FixtureRequest, fm: PreparedModel, cohort: Cohort) -> Embeddings:
    """The cohort as the FM embeds it: `.values` (N, D) float32 and `.patches`, row by row."""
    gate = _gate(request)
    names = gate.evaluation.subjects.cohorts
    name = next(name for name in names if gate.evaluation.inputs.cohort(name) is cohort)
    return gate.evaluation.inputs.embeddings(gate.subject(fm.name, name))


@pytest.fixture
def integrity(
    request: pytest.FixtureRequest,
    fm: PreparedModel,
    cohort: Cohort,  # noqa: ARG001 (tests of integrity run per cohort)
) -> Callable[[str], None]:
    """`integrity("not_collapsed")`: make one integrity check, record it, and end the test as it requires."""
    gate = _gate(request)
    subject = _subject(request, fm)

    def make(name: str) -> None:
        __tracebackhide__ = True
        from pathorob_checks.plugin.concluding import conclude_integrity

        check = gate.evaluation.integrity(subject, name)
        request.node.stash[MESSAGE] = gate.message_of_integrity(check)
        for figure, number in check.figures.items():
            request.node.user_properties.append((f"pathorob_checks.{figure}", number))
        conclude_integrity(check)

    return make


@pytest.fixture
def measure(
    request: pytest.FixtureRequest,
    fm: PreparedModel,
    cohort: Cohort,  # noqa: ARG001 (tests that measure run per cohort)
) -> Callable[..., Measurement]:
    """`measure(criterion)`: what a criterion is about, by the registered protocol.

    `measure("robustness_index", k=21)`: a metric with settings of the test's own, for a bound of its own.
    """
    gate = _gate(request)
    subject = _subject(request, fm)
    optional = "criterion" in request.fixturenames and not request.getfixturevalue("criterion").required

    def run(metric_or_criterion: str | Criterion, **settings: Any) -> Measurement:
        try:
            if isinstance(metric_or_criterion, str):
                return gate.evaluation.measure(subject, metric_or_criterion, **settings)
            from pathorob_checks.evaluation.terms import Key

            criterion = metric_or_criterion
            key = Key(subject.fm, subject.method, criterion.cohort, criterion.id)
            return gate.evaluation.measure_check(gate.evaluation.terms.checks[key]).measurement
        except MetricError as error:
            if optional:
                pytest.skip(str(error))
            raise

    return run


@pytest.fixture
def criterion(request: pytest.FixtureRequest) -> Criterion:
    """The profile's criterion that this test checks (tests marked with `fm_metric` or `fm_criteria`)."""
    return _gate(request).evaluation.terms.checks[request.param].criterion


@pytest.fixture
def check(
    request: pytest.FixtureRequest,
    fm: PreparedModel,
    cohort: Cohort,  # noqa: ARG001 (tests that check run per cohort)
) -> Callable[..., None]:
    """`check(measurement, criterion)` or `check(measurement, at_least=0.6)`: judge, put into the table, fail.

    Takes a measurement, or a metric's result such as `robustness_index(...)`; of a result with several
    values, such as `performance_drop(...)`, name one with `metric="performance_drop_ood"`.
    """
    gate = _gate(request)
    subject = _subject(request, fm)

    def judge_and_record(
        result: Any,
        criterion: Criterion | None = None,
        *,
        metric: str | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
        rule: Rule | None = None,
        rationale: str = "",
    ) -> None:
        __tracebackhide__ = True
        from pathorob_checks.evaluation.judging import own_criterion
        from pathorob_checks.metrics.measurement import one_measurement
        from pathorob_checks.plugin.concluding import conclude

        measurement = one_measurement(result, metric or (criterion.metric if criterion else None))
        if criterion is None:
            if (at_least is None) == (at_most is None):
                raise TypeError("check() needs a criterion, or one of at_least and at_most")
            criterion = own_criterion(
                request.node.originalname,
                measurement.metric,
                subject.cohort,
                bound=float(at_most if at_least is None else at_least),  # type: ignore[arg-type]
                direction="<=" if at_least is None else ">=",
                rule=rule or gate.evaluation.terms.profile.rule,
                rationale=rationale,
            )
        judged = gate.evaluation.judge(request.node.nodeid, subject, criterion, measurement)
        request.node.stash[MESSAGE] = gate.message_of_check(judged)
        for name in ("metric", "value", "bound", "verdict"):
            value = getattr(judged, name)
            request.node.user_properties.append(
                (f"pathorob_checks.{name}", str(value) if name == "verdict" else value)
            )
        conclude(judged, gate.evaluation.terms.profile.inconclusive, gate.width)

    return judge_and_record
