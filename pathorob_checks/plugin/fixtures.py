"""Fixtures for the packaged suites and for users' own tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import MetricError
from pathorob_checks.plugin.gate import Gate
from pathorob_checks.plugin.outcome import parameter
from pathorob_checks.plugin.pairs import Pair

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.criteria.criterion import Criterion
    from pathorob_checks.criteria.verdict import Rule
    from pathorob_checks.embeddings.extraction import Embeddings
    from pathorob_checks.embeddings.integrity import Integrity
    from pathorob_checks.metrics.measurement import Measurement
    from pathorob_checks.models.loading import PreparedModel

GATE = pytest.StashKey[Gate]()
MESSAGE = pytest.StashKey[str]()  # the check's record, on its way to the report


def _gate(request: pytest.FixtureRequest) -> Gate:
    gate = request.config.stash.get(GATE, None)
    if gate is None:
        pytest.skip("no foundation model to check; give --fm=SPEC")
    return gate


def _place(gate: Gate, fm: PreparedModel, cohort: Cohort) -> Pair:
    return Pair(fm.name, next(name for name in gate.cohorts if gate.cohort(name) is cohort))


@pytest.fixture(scope="session")
def fm(request: pytest.FixtureRequest) -> PreparedModel:
    """The foundation model: `.name`, `.identity`, and `.load()` for the encoder on its device."""
    gate = _gate(request)
    return gate.model(request.param)


@pytest.fixture(scope="session")
def cohort(request: pytest.FixtureRequest) -> Cohort | tuple[Cohort, ...]:
    """The cohort: `.patches` (a table), `.read_image(row)`, `.name`, `.digest`; for a mean, all of them."""
    gate = _gate(request)
    if request.param in gate.cohorts:
        return gate.cohort(request.param)
    return tuple(gate.cohort(name) for name in gate.parts(request.param))


@pytest.fixture(scope="session")
def embeddings(request: pytest.FixtureRequest, fm: PreparedModel, cohort: Cohort) -> Embeddings:
    """The cohort as the FM sees it: `.values` (N, D) float32 and `.patches`, row by row."""
    gate = _gate(request)
    return gate.embeddings(_place(gate, fm, cohort))


@pytest.fixture(scope="session")
def integrity(
    request: pytest.FixtureRequest,
    fm: PreparedModel,
    cohort: Cohort,
    embeddings: Embeddings,  # noqa: ARG001 (where they are refused, the FM is not asked a second time)
) -> Integrity:
    """How the FM embeds a few patches in several ways, `.check("order")`, and `.drift` of a low precision."""
    gate = _gate(request)
    found = gate.integrity(_place(gate, fm, cohort))
    if found is None:
        pytest.skip(f"{fm.name} is given by its embeddings; how an FM embeds is tested on the FM itself")
    return found


@pytest.fixture
def measure(
    request: pytest.FixtureRequest,
    fm: PreparedModel,
    cohort: Cohort,  # noqa: ARG001 (tests that measure are run per cohort)
) -> Callable[..., Measurement]:
    """`measure(criterion)`: what a criterion asks about, by the registered protocol.

    `measure("robustness_index", k=21)`: a metric with settings of the test's own, for a bound of its own.
    """
    gate = _gate(request)
    place = Pair(fm.name, parameter(request.node, "cohort"))
    optional = "criterion" in request.fixturenames and not request.getfixturevalue("criterion").required

    def run(asked: str | Criterion, **overrides: Any) -> Measurement:
        try:
            if isinstance(asked, str):
                return gate.measure(place, asked, **overrides)
            return gate.answer(fm.name, asked).measurement
        except MetricError as error:
            if optional:
                pytest.skip(str(error))
            raise

    return run


@pytest.fixture
def criterion(request: pytest.FixtureRequest) -> Criterion:
    """The profile's criterion that this test asserts (tests marked with `fm_metric` or `fm_criteria`)."""
    return _gate(request).agreement.checks[request.param].criterion


@pytest.fixture
def check(
    request: pytest.FixtureRequest,
    fm: PreparedModel,
    cohort: Cohort,  # noqa: ARG001 (tests that check are run per cohort)
) -> Callable[..., None]:
    """`check(measurement, criterion)` or `check(measurement, at_least=0.6)`: judge, put into the table, fail.

    Takes a measurement or a metric's result that has one.
    """
    gate = _gate(request)

    def judge_and_record(
        measured: Any,
        criterion: Criterion | None = None,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        rule: Rule | None = None,
        rationale: str = "",
    ) -> None:
        __tracebackhide__ = True
        from pathorob_checks.plugin import judging

        measurement: Measurement = measured.measurement() if hasattr(measured, "measurement") else measured
        if criterion is None:
            if (at_least is None) == (at_most is None):
                raise TypeError("check() needs a criterion, or one of at_least and at_most")
            criterion = judging.own_criterion(
                request.node.originalname,
                measurement.metric,
                parameter(request.node, "cohort"),
                bound=float(at_most if at_least is None else at_least),  # type: ignore[arg-type]
                direction="<=" if at_least is None else ">=",
                rule=rule or gate.agreement.profile.rule,
                rationale=rationale,
            )
        record = judging.judged(gate, request.node.nodeid, fm.name, criterion, measurement)
        request.node.stash[MESSAGE] = gate.tell(record)
        for name in ("metric", "value", "bound", "verdict"):
            request.node.user_properties.append((f"pathorob_checks.{name}", record.to_dict()[name]))
        judging.conclude(record, gate.agreement.profile.inconclusive)

    return judge_and_record
