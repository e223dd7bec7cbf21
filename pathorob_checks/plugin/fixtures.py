"""Fixtures for the packaged suites and for users' own tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pathorob_checks.errors import CohortError
from pathorob_checks.wording import shortened

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.criteria.criterion import Criterion
    from pathorob_checks.embeddings.extraction import Embeddings
    from pathorob_checks.metrics.measurement import Measurement
    from pathorob_checks.models.loading import PreparedModel
    from pathorob_checks.plugin.checking import Checking
    from pathorob_checks.plugin.gate import Gate

GATE = pytest.StashKey["Gate"]()


def _gate(request: pytest.FixtureRequest) -> Gate:
    gate = request.config.stash.get(GATE, None)
    if gate is None:
        pytest.skip("there is no foundation model to check; give --fm=SPEC")
    return gate


@pytest.fixture(scope="session")
def fm_model(request: pytest.FixtureRequest) -> PreparedModel:
    """The foundation model: `.name`, `.identity`, and `.load()` for the encoder on its device."""
    return _gate(request).evaluation.inputs.model(request.param)


@pytest.fixture(scope="session")
def fm_cohort(request: pytest.FixtureRequest) -> Cohort | tuple[Cohort, ...]:
    """The cohort: `.patches` (a table), `.read_image(row)`, `.name`, `.digest`; for a mean, all of them."""
    evaluation = _gate(request).evaluation
    if request.param in evaluation.subjects.cohorts:
        return evaluation.inputs.cohort(request.param)
    means = evaluation.terms.of_kind("mean")
    names = next((one.criterion.cohorts for one in means if one.criterion.cohort == request.param), ())
    return tuple(evaluation.inputs.cohort(name) for name in names if name in evaluation.subjects.cohorts)


@pytest.fixture(scope="session")
def fm_embeddings(request: pytest.FixtureRequest, fm_model: PreparedModel, fm_cohort: Cohort) -> Embeddings:
    """The cohort as the FM embeds it: `.values` (N, D) float32 and `.patches`, row by row."""
    gate = _gate(request)
    names = gate.evaluation.subjects.cohorts
    name = next(name for name in names if gate.evaluation.inputs.cohort(name) is fm_cohort)
    return gate.evaluation.inputs.embeddings(gate.subject(fm_model.name, name))


@pytest.fixture
def fm_integrity(
    request: pytest.FixtureRequest,
    fm_model: PreparedModel,
    fm_cohort: Cohort,  # noqa: ARG001 (tests of integrity run per cohort)
) -> Callable[[str], None]:
    """`fm_integrity("not_collapsed")`: make and record one integrity check; the test ends as it requires."""
    return _checking(request, fm_model).integrity


@pytest.fixture
def fm_measure(
    request: pytest.FixtureRequest,
    fm_model: PreparedModel,
    fm_cohort: Cohort,  # noqa: ARG001 (tests that measure run per cohort)
) -> Callable[..., Measurement]:
    """`fm_measure(fm_criterion)`: what a criterion is about, by the registered protocol.

    `fm_measure("robustness_index", k=21)`: a metric with settings of the test's own, for a bound of its own.
    """
    return _checking(request, fm_model).measure


@pytest.fixture
def fm_criterion(request: pytest.FixtureRequest) -> Criterion:
    """The profile's criterion that this test checks (tests marked with `fm_metric` or `fm_criteria`)."""
    return _gate(request).evaluation.terms.checks[request.param].criterion


@pytest.fixture
def fm_check(
    request: pytest.FixtureRequest,
    fm_model: PreparedModel,
    fm_cohort: Cohort,  # noqa: ARG001 (tests that check run per cohort)
) -> Callable[..., None]:
    """`fm_check(measurement, fm_criterion)` or `fm_check(measurement, at_least=0.6)`: judge, record, fail.

    The verdict is a row of the table. Takes a measurement, or a metric's result such as
    `robustness_index(...)`; of a result with several values, such as `performance_drop(...)`, name one with
    `metric="performance_drop_ood"`.
    """
    return _checking(request, fm_model).check


def _checking(request: pytest.FixtureRequest, model: PreparedModel) -> Checking:
    from pathorob_checks.plugin.checking import Checking
    from pathorob_checks.plugin.gate import parameter

    gate = _gate(request)
    name = parameter(request.node, "fm_cohort")
    planned = {check.criterion.cohort for check in gate.evaluation.terms.checks.values()}
    if name not in {*gate.evaluation.subjects.cohorts, *planned}:
        raise CohortError(
            f"{request.node.nodeid} is about {shortened(name)}, which this run does not have",
            remedy="use the fixture fm_cohort of this plugin, and let it choose the cohorts",
        )
    key = parameter(request.node, "fm_criterion")
    subject = gate.subject(model.name, name, key.method) if key else gate.subject(model.name, name)
    uses_criterion = "fm_criterion" in request.fixturenames
    return Checking(
        gate,
        request.node,
        subject,
        request.getfixturevalue("fm_criterion") if uses_criterion else None,
    )
