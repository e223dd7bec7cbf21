"""Criteria for which a cohort can have no value, found before anything is embedded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.verdict import RULES
from pathorob_checks.errors import CohortError, MetricError
from pathorob_checks.evaluation.keyword import keyword_without
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
    checks : of all FMs, those that have no value because of it.
    """

    cohort: str
    criteria: tuple[str, ...]
    required: bool
    problem: str
    remedy: str
    checks: tuple[PlannedCheck, ...] = ()

    @property
    def sentence(self) -> str:
        """For the head of a run, without its period."""
        return f"{self.what}: {self.problem}; {self.remedy}"

    @property
    def what(self) -> str:
        """Which criteria of which cohort."""
        noun = "criterion" if len(self.criteria) == 1 else "criteria"
        return f"{noun} {quoted(self.criteria)} of cohort {self.cohort}"


def unmet_needs(planned: Iterable[PlannedCheck], cohorts: Mapping[str, Cohort]) -> list[Unmet]:
    """What criteria need of the cohorts and these lack, each need once."""
    planned = list(planned)
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
            checks=tuple(check for check in planned if check.criterion in those),
        )
        for (name, problem, remedy), those in lacking.items()
    ]


def keyword_of_rest(unmet: Iterable[Unmet], ids: Iterable[str], keyword: str = "") -> str | None:
    """The `-k` of a run without the criteria that can have no value; None where there are none such.

    Parameters
    ----------
    ids : of all checks that the run has without it.
    keyword : the expression of `-k` that the command line has.
    """
    checks = list({check.id: check for one in unmet for check in one.checks}.values())
    lacking = {check.id for check in checks}
    return keyword_without(checks, [name for name in ids if name not in lacking], keyword) if checks else None


def without_unmet(unmet: Sequence[Unmet], ids: Iterable[str], keyword: str = "") -> str:
    """A clause that says how a run does without them; parameters as in `keyword_of_rest`."""
    expression = keyword_of_rest(unmet, ids, keyword)
    option = "-k" if expression is None else f'-k "{expression}"'
    them = "it" if len({check.id for one in unmet for check in one.checks}) == 1 else "them"
    return f"do without {them} by {option} on the command line or by 'required = false' in a criteria file"


def refuse_unmet_needs(unmet: Sequence[Unmet], ids: Iterable[str], keyword: str = "") -> None:
    """Refuse a run some of whose criteria cannot have a value.

    Parameters
    ----------
    unmet : what they lack, criteria that are not required among them.
    ids, keyword : as in `without_unmet`.

    Raises
    ------
    CohortError : of the first need of a required criterion; it says how many more there are.
    """
    required = [one for one in unmet if one.required]
    if not required:
        return
    first, others = required[0], required[1:]
    more = f" (and {counted(len(others), 'more fault')} like this)" if others else ""
    raise CohortError(
        f"{first.what} cannot be measured: {first.problem}{more}",
        remedy=f"{first.remedy}; or {without_unmet(unmet, ids, keyword)}",
    )


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
