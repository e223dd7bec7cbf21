"""A criterion: one entry of a criteria file, and the same with its numbers for one cohort."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pathorob_checks.criteria.bounds import Bound, finite, number
from pathorob_checks.criteria.verdict import RULES, Rule
from pathorob_checks.errors import CriteriaError
from pathorob_checks.metrics.definition import Direction, Quantity
from pathorob_checks.metrics.registry import metric as definition
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.wording import hint, shortened

GROUPS: tuple[Quantity, ...] = ("worst-center", "worst-class")
AGGREGATES: tuple[Quantity, ...] = ("mean",)
COHORTS_JOINED_BY = "+"
DIFFERENCE_IDS = "not-worse-"  # with these begin the ids of comparisons with a baseline, and no others
KEPT_IDS = "keeps-"  # with these, those of what a repair may not destroy

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it becomes part of a test's id
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Criterion(BaseModel):
    """What one metric of one cohort is held to: a number, a direction, a rule, and why.

    `cohort` joins the names of `cohorts` where the quantity is a mean over several.
    """

    model_config = _FROZEN

    id: str
    metric: str
    cohort: str
    cohorts: tuple[str, ...]
    quantity: Quantity = "value"
    bound: float
    direction: Direction
    rule: Rule
    required: bool = True
    minimum_support: float | None = None
    rationale: str
    source: str | None = None
    owner: str | None = None
    requirements: tuple[str, ...] = ()


def one_of(known: Iterable[str] | Callable[[], Iterable[str]], what: str) -> BeforeValidator:
    """A validator for one of a few words, which its message names; a function gives those known late."""

    def check(value: object) -> object:
        words = tuple(known() if callable(known) else known)
        if value is not None and value not in words:
            raise ValueError(
                f"is {shortened(value)}, which is unknown; "
                + hint(value, words, "known " + what + " are {known}")
            )
        return value

    return BeforeValidator(check)


def share(value: object) -> float | None:
    """A number in 0..1; raises ValueError with a clause for the user."""
    if value is None:
        return None
    number = finite(value, "must be a number")
    if not 0 <= number <= 1:
        raise ValueError(f"is {number:g}, outside 0..1")
    return number


def _supported(value: str | None, before: ValidationInfo) -> str | None:
    """Refuse a quantity that the metric's definition leaves out."""
    name = before.data.get("metric")
    if value and name is not None and value not in definition(name).quantities:
        raise ValueError(
            f"is {value!r}, which {name} does not have; {name} has {', '.join(definition(name).quantities)}"
        )
    return value


RuleOrNone = Annotated[Rule | None, one_of(tuple(RULES), "rules")]


class CriterionEntry(BaseModel):
    """One `[[criteria]]` of a file. Exactly one of `at_least` and `at_most` is given.

    Attributes
    ----------
    id : letters, digits, `.`, `_` and `-`; a part of the test's id where a metric has several criteria.
    metric : name of the metric.
    at_least, at_most : the bound, on the metric's scale.
    cohorts : names of the cohorts that it is about; None: every cohort of the run.
    aggregate : `mean` holds the mean over the named cohorts against the bound.
    group : `worst-center` or `worst-class` holds the worst medical center or biological class against it.
    rule : how value and interval are held against the bound; None: the file's.
    required : without it, what cannot be measured is skipped with its reason, and no error.
    minimum_support : with a smaller share of informative patches the verdict is an error.
    rationale : why the bound is what it is.
    source : where the bound comes from, such as a section of a validation plan.
    owner : who answers for the criterion.
    requirements : ids of the requirements that it speaks to.
    override : whether it may be less strict than the criterion of the same id in an earlier file.
    """

    model_config = _FROZEN

    id: StrictStr
    metric: Annotated[StrictStr, one_of(metrics, "metrics")]
    at_least: Bound | None = None
    at_most: Bound | None = None
    cohorts: tuple[StrictStr, ...] | None = None
    aggregate: Annotated[Literal["mean"] | None, one_of(AGGREGATES, "aggregates")] = None
    group: Annotated[Literal["worst-center", "worst-class"] | None, one_of(GROUPS, "groups")] = None
    rule: RuleOrNone = None
    required: StrictBool = True
    minimum_support: Annotated[float | None, BeforeValidator(share)] = None
    rationale: StrictStr
    source: StrictStr | None = None
    owner: StrictStr | None = None
    requirements: tuple[StrictStr, ...] = ()
    override: StrictBool = Field(default=False, exclude=True)

    @field_validator("id")
    @classmethod
    def _id_fits_a_test_id(cls, value: str) -> str:
        if not _IDENTIFIER.fullmatch(value):
            raise ValueError(f"must be letters, digits, '.', '_' and '-', not {shortened(value)}")
        if value.lower().startswith(KEPT_IDS):
            raise ValueError(
                f"begins with {KEPT_IDS!r}, as only criteria of repaired embeddings do; give another one"
            )
        if value.lower().startswith(DIFFERENCE_IDS):
            raise ValueError(
                f"begins with {DIFFERENCE_IDS!r}, as only comparisons with a baseline do; give another one"
            )
        return value

    @field_validator("cohorts")
    @classmethod
    def _cohorts_are_named(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (not value or not all(name.strip() for name in value)):
            raise ValueError("must name at least one cohort; leave the key out to mean all")
        if value is not None and len(set(value)) < len(value):
            raise ValueError("names a cohort twice; name each once")
        return value

    @field_validator("rationale")
    @classmethod
    def _rationale_is_not_empty(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must say why this bound was chosen")
        return value.strip()

    # A validator sees the fields before its own, so that one mistake does not hide another.

    @field_validator("at_least", "at_most")
    @classmethod
    def _bound_lies_in_range(cls, value: Bound | None, before: ValidationInfo) -> Bound | None:
        metric = before.data.get("metric")
        if isinstance(value, float) and metric is not None:
            low, high = definition(metric).lowest, definition(metric).highest
            if not low <= value <= high:
                raise ValueError(f"is {value:g}, but {metric} ranges from {low:g} to {high:g}")
        return value

    @field_validator("aggregate")
    @classmethod
    def _mean_names_its_cohorts(cls, value: str | None, before: ValidationInfo) -> str | None:
        if value and len(before.data.get("cohorts", ("", "")) or ()) < 2:
            raise ValueError("needs the names of its cohorts; give two or more as cohorts")
        return _supported(value, before)

    @field_validator("group")
    @classmethod
    def _group_fits_the_rest(cls, value: str | None, before: ValidationInfo) -> str | None:
        if value and before.data.get("aggregate"):
            raise ValueError("cannot be combined with aggregate; make two criteria of it")
        name = before.data.get("metric")
        higher_is_better = name is None or definition(name).higher_is_better
        key, other = ("at_least", "at_most") if higher_is_better else ("at_most", "at_least")
        if value and before.data.get(other) is not None:
            raise ValueError(
                f"needs {key}, because the worst group has the "
                f"{'lowest' if higher_is_better else 'highest'} value; give {key}"
            )
        if value and not isinstance(before.data.get(key, 0.0), float | None):
            raise ValueError("has no published values; give a number as the bound")
        return _supported(value, before)

    @model_validator(mode="after")
    def _has_one_bound(self) -> CriterionEntry:
        if self.at_least is not None and self.at_most is not None:
            raise ValueError("gives both at_least and at_most; give one of them")
        if self.at_least is None and self.at_most is None:
            raise ValueError("gives no bound; give at_least or at_most")
        return self

    @property
    def bound(self) -> Bound:
        """The value of `at_least` or `at_most`."""
        bound = self.at_least if self.at_least is not None else self.at_most
        assert bound is not None  # noqa: S101 (validated)
        return bound

    @property
    def direction(self) -> Direction:
        """`>=` for at_least, `<=` for at_most."""
        return ">=" if self.at_least is not None else "<="

    @property
    def quantity(self) -> Quantity:
        """What is held against the bound."""
        return self.aggregate or self.group or "value"

    @property
    def is_relative(self) -> bool:
        """Whether the bound depends on the published table."""
        return not isinstance(self.bound, float)

    @property
    def is_upside_down(self) -> bool:
        """Whether the bound keeps the FM from being more robust; seldom what is meant."""
        return self.direction != definition(self.metric).good_direction

    @property
    def upside_down(self) -> str:
        """What is strange about such a bound, as a clause."""
        key = "at_least" if self.direction == ">=" else "at_most"
        better = "lower" if self.direction == ">=" else "higher"
        return f"{better} values of {self.metric} are more robust, and {key} lets the less robust ones pass"

    def places(self, cohorts: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Where it applies in a run on `cohorts`: to each of them, or to all of an aggregate's together."""
        if self.aggregate:
            return (self.cohorts or (),)
        return tuple((name,) for name in cohorts if self.cohorts is None or name in self.cohorts)

    def resolved(self, cohorts: tuple[str, ...], *, profile: str, rule: Rule) -> Criterion:
        """The criterion with its number; `profile` is named in errors, `rule` holds where it has none."""
        rationale = self.rationale
        try:
            bound = number(self.bound, self.metric, cohorts, self.direction)
            if not isinstance(self.bound, float):
                rationale += " " + self.bound.origin(self.metric, cohorts)
            if self.is_upside_down:
                rationale += f" Note: {self.upside_down}."
        except CriteriaError:
            raise CriteriaError(
                f"profile {profile} has no published values for cohort {', '.join(cohorts)} "
                f"(criterion {self.id})",
                remedy="use floor, or a file with numbers as bounds",
            ) from None
        return Criterion(
            id=self.id,
            metric=self.metric,
            cohort=COHORTS_JOINED_BY.join(cohorts),
            cohorts=cohorts,
            quantity=self.quantity,
            bound=bound,
            direction=self.direction,
            rule=self.rule or rule,
            required=self.required,
            minimum_support=self.minimum_support,
            rationale=rationale,
            source=self.source,
            owner=self.owner,
            requirements=self.requirements,
        )
