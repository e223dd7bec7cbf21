"""Criteria for which a cohort can have no value, found before anything is embedded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.verdict import RULES
from pathorob_checks.errors import CohortError, MetricError
from pathorob_checks.metrics.registry import metric
from pathorob_checks.wording import counted, quoted

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.evaluation.plan import PlannedCheck


@dataclass(frozen=True)
class Unmet:
    """Something that a metric needs and a cohort lacks.

    Attributes
    ----------
    cohort : its name.
    criteria : ids of the criteria that have no value because of it.
    required : whether one of these criteria is.
    problem, remedy : clauses.
    """

    cohort: str
    criteria: tuple[str, ...]
    required: bool
    problem: str
    remedy: str

    @property
    def sentence(self) -> str:
        """For the head of a run, without its period."""
        return f"{self._what}: {self.problem}; {self.remedy}"

    def error(self) -> CohortError:
        """The refusal of a run that needs it."""
        one = len(self.criteria) == 1
        return CohortError(
            f"{self._what} cannot be measured: {self.problem}",
            remedy=f"{self.remedy}; or do without {'it' if one else 'them'}, by 'required = false' in a "
            "criteria file or by -k on the command line",
        )

    @property
    def _what(self) -> str:
        noun = "criterion" if len(self.criteria) == 1 else "criteria"
        return f"{noun} {quoted(self.criteria)} of cohort {self.cohort}"


def unmet_needs(planned: Iterable[PlannedCheck], cohorts: Mapping[str, Cohort]) -> list[Unmet]:
    """What criteria need of the cohorts and these lack, each need once."""
    lacking: dict[tuple[str, str, str], list[Criterion]] = {}
    criteria = {(check.criterion.cohort, check.criterion.id): check.criterion for check in planned}
    for criterion in criteria.values():
        for name in criterion.cohorts:
            error = _unmet(criterion, cohorts[name]) if name in cohorts else None
            if error is not None:
                lacking.setdefault((name, error.problem, error.remedy), []).append(criterion)
    return [
        Unmet(
            cohort=name,
            criteria=tuple(one.id for one in those if one.required) or tuple(one.id for one in those),
            required=any(one.required for one in those),
            problem=problem,
            remedy=remedy,
        )
        for (name, problem, remedy), those in lacking.items()
    ]


def refuse_unmet_needs(unmet: list[Unmet]) -> None:
    """Refuse a run some of whose criteria cannot have a value.

    Raises
    ------
    CohortError : of the first need; it says how many more there are.
    """
    if not unmet:
        return
    error = unmet[0].error()
    if len(unmet) > 1:
        raise CohortError(
            f"{error.problem} (and {counted(len(unmet) - 1, 'more fault')} like this)", remedy=error.remedy
        )
    raise error


def _unmet(criterion: Criterion, cohort: Cohort) -> MetricError | None:
    definition = metric(criterion.metric)
    view = cohort.views.get(definition.computation.view)
    if definition.needs is None or view is None:
        return None
    computation = definition.computation
    settings = {**computation.settings, **{name: getattr(view, name) for name in computation.design}}
    try:
        definition.needs(view.patches, settings, interval=RULES[criterion.rule] is not None)
    except MetricError as error:
        return error
    return None
