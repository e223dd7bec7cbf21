"""What is known of a run's metrics before anything is measured: how much work, and which have no value."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from pathorob_checks.errors import MetricError
from pathorob_checks.evaluation.measuring import value_is_missing
from pathorob_checks.metrics.definition import Work
from pathorob_checks.metrics.registry import metric, metrics

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.evaluation.plan import PlannedCheck


def work_ahead(cohort: Cohort, computations: Collection[str]) -> dict[str, Work]:
    """The work of each computation that can tell, by the label of its metric.

    Parameters
    ----------
    cohort : its views are read, not its images.
    computations : names of those that the run makes.
    """
    ahead = {}
    for definition in metrics().values():
        computation = definition.computation
        view = cohort.views.get(computation.view)
        if computation.name in computations and computation.work is not None and view is not None:
            ahead[definition.label] = computation.work(view.patches)
    return ahead


def refusals(name: str, cohort: Cohort, planned: Iterable[PlannedCheck]) -> list[tuple[MetricError, bool]]:
    """Why planned checks will have no value on a cohort, as far as its tables show.

    Parameters
    ----------
    name : of the cohort in the run.
    cohort : its views are read, not its images.
    planned : the checks of the run.

    Returns
    -------
    Each reason once, and whether a criterion that is required needs the value.
    """
    required: dict[str, bool] = {}
    for check in planned:
        if name in check.criterion.cohorts:
            wanted = check.criterion.metric
            required[wanted] = required.get(wanted, False) or check.criterion.required
    reasons: dict[str, tuple[MetricError, bool]] = {}
    for wanted, is_required in required.items():
        error = _refusal(wanted, cohort)
        if error is not None:
            known = reasons.get(str(error), (error, False))[1]
            reasons[str(error)] = (error, known or is_required)
    return list(reasons.values())


def _refusal(name: str, cohort: Cohort) -> MetricError | None:
    definition = metric(name)
    computation = definition.computation
    view = cohort.views.get(computation.view)
    if computation.foresee is None or view is None:
        return None
    design = {setting: getattr(view, setting) for setting in computation.design}
    try:
        names = computation.foresee(view.patches, **computation.settings, **design)
    except MetricError as error:
        return error
    return None if name in names else value_is_missing(definition, cohort.name)
