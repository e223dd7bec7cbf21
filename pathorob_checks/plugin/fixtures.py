"""Fixtures for the packaged suites and for users' own tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import MetricError
from pathorob_checks.plugin.gate import Gate
from pathorob_checks.plugin.pairs import Pair

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.criteria.profile import Criterion
    from pathorob_checks.embeddings.extraction import Embeddings
    from pathorob_checks.metrics.measurement import Measurement
    from pathorob_checks.models.loading import PreparedModel

GATE = pytest.StashKey[Gate]()
MESSAGE = pytest.StashKey[str]()  # the check's record, on its way to the report


def _gate(request: pytest.FixtureRequest) -> Gate:
    gate = request.config.stash.get(GATE, None)
    if gate is None:
        pytest.skip("no foundation model to check; give --fm=SPEC")
    return gate


@pytest.fixture(scope="session")
def fm(request: pytest.FixtureRequest) -> PreparedModel:
    """The foundation model: `.name`, `.identity`, and `.load()` for the encoder on its device."""
    gate = _gate(request)
    return gate.model(request.param)


@pytest.fixture(scope="session")
def cohort(request: pytest.FixtureRequest) -> Cohort:
    """The cohort: `.patches` (a table), `.read_image(row)`, `.name`, `.digest`."""
    gate = _gate(request)
    return gate.cohort(request.param)


@pytest.fixture(scope="session")
def embeddings(request: pytest.FixtureRequest, fm: PreparedModel, cohort: Cohort) -> Embeddings:
    """The cohort as the FM sees it: `.values` (N, D) float32 and `.patches`, row by row."""
    gate = _gate(request)
    return gate.embeddings(Pair(fm.name, _cohort_name(gate, cohort)))


@pytest.fixture
def measure(request: pytest.FixtureRequest, fm: PreparedModel, cohort: Cohort) -> Callable[..., Measurement]:
    """`measure("robustness_index", k=21)`: a metric by the cohort's protocol, settings overridden by name."""
    gate = _gate(request)
    pair = Pair(fm.name, _cohort_name(gate, cohort))
    optional = "criterion" in request.fixturenames and not request.getfixturevalue("criterion").required

    def run(metric: str, **overrides: Any) -> Measurement:
        try:
            return gate.measure(pair, metric, **overrides)
        except MetricError as error:
            if optional:
                pytest.skip(str(error))
            raise

    return run


@pytest.fixture
def criterion(request: pytest.FixtureRequest) -> Criterion:
    """The profile's criterion that this test asserts (tests marked with `fm_metric`)."""
    gate = _gate(request)
    cohort, metric, name = request.param
    return next(found for found in gate.criteria(cohort, metric) if found.id == name)


@pytest.fixture
def check(request: pytest.FixtureRequest, fm: PreparedModel, cohort: Cohort) -> Callable[..., None]:
    """`check(measurement, criterion)` or `check(measurement, at_least=0.6)`: judge, put into the table, fail.

    Takes a measurement or a metric's result that has one.
    """
    gate = _gate(request)
    pair = Pair(fm.name, _cohort_name(gate, cohort))

    def judge_and_record(
        measured: Any,
        criterion: Criterion | None = None,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        rationale: str = "",
    ) -> None:
        __tracebackhide__ = True
        from pathorob_checks.criteria.profile import Criterion
        from pathorob_checks.criteria.verdict import Verdict, judge
        from pathorob_checks.report.explain import explain
        from pathorob_checks.report.record import CheckRecord

        measurement: Measurement = measured.measurement() if hasattr(measured, "measurement") else measured
        if criterion is None:
            if (at_least is None) == (at_most is None):
                raise TypeError("check() needs a criterion, or one of at_least and at_most")
            criterion = Criterion(
                id=request.node.originalname,
                metric=measurement.metric,
                cohort=pair.cohort,
                bound=float(at_most if at_least is None else at_least),  # type: ignore[arg-type]
                direction=">=" if at_least is not None else "<=",
                required=True,
                rationale=rationale or f"asked for by {request.node.originalname}.",
                source=None,
            )
        judgement = judge(criterion.bound, criterion.direction, measurement)
        record = CheckRecord.of_measurement(
            test_id=request.node.nodeid,
            fm=pair.fm,
            criterion=criterion,
            measurement=measurement,
            judgement=judgement,
        )
        request.node.stash[MESSAGE] = gate.tell(record)
        for name in ("metric", "value", "bound", "verdict"):
            request.node.user_properties.append((f"pathorob_checks.{name}", record.to_dict()[name]))
        if judgement.verdict is not Verdict.PASS:
            pytest.fail(explain(record), pytrace=False)

    return judge_and_record


def _cohort_name(gate: Gate, cohort: Cohort) -> str:
    """The name under which the run knows a cohort."""
    return next(name for name in gate.cohorts if gate.cohort(name) is cohort)
