"""A profile: a named set of criteria, and how their verdicts are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    StrictStr,
    field_validator,
)

from pathorob_checks.canonical import digest_of
from pathorob_checks.criteria.bounds import finite
from pathorob_checks.criteria.criterion import Criterion, CriterionEntry, RuleOrNone, one_of
from pathorob_checks.criteria.published import published_digest
from pathorob_checks.criteria.release import FAMILIES, Family
from pathorob_checks.criteria.verdict import DEFAULT_RULE, RULES, Rule
from pathorob_checks.metrics.definition import Computation
from pathorob_checks.metrics.registry import metric as definition
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.wording import hint, shortened

SCHEMA = "pathorob-checks/criteria/1"
Inconclusive = Literal["fail", "warn", "xfail"]
INCONCLUSIVE: tuple[Inconclusive, ...] = get_args(Inconclusive)

_FROZEN = ConfigDict(frozen=True, extra="forbid")


def _margin(value: object) -> float:
    margin = finite(value, "must be a number")
    if not 0 <= margin <= 1:
        raise ValueError(f"is {margin:g}, outside 0..1")
    return margin


def _confidence(value: object) -> float:
    confidence = finite(value, "must be a number")
    if not 0.5 <= confidence < 1:
        raise ValueError(f"is {confidence:g}; give a share such as 0.95")
    return confidence


def _repetitions(value: object) -> object:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 2):
        raise ValueError(f"is {shortened(value)}; give a whole number from 2")
    return value


Margin = Annotated[float, BeforeValidator(_margin)]


def _known_metric(name: str) -> str:
    if name not in metrics():
        raise ValueError(
            f"has the unknown key {shortened(name)}; " + hint(name, metrics(), "known keys are {known}")
        )
    return name


class BaselineTerms(BaseModel):
    """`[baseline]`: when an FM counts as not worse than the one that it is compared with.

    Attributes
    ----------
    margin : by metric, how much worse it may be, in the metric's unit; a metric that is not named has the
        margin of its definition.
    rule : how differences are judged; None: as the profile's criteria.
    """

    model_config = _FROZEN

    margin: Mapping[Annotated[str, AfterValidator(_known_metric)], Margin] = {}
    rule: RuleOrNone = None

    def margin_of(self, metric: str) -> float:
        """How much worse than the baseline the metric may be."""
        return self.margin.get(metric, definition(metric).margin)


class Profile(BaseModel):
    """A named set of criteria.

    Attributes
    ----------
    name : in reports and results; the names of this package's profiles are theirs alone.
    description : what the profile is for.
    rule : how criteria are judged that name no rule of their own.
    inconclusive : what an inconclusive verdict does: fail the test, warn, or xfail it.
    confidence : of every interval.
    family : how the failures of an FM's criteria are taken together: as they are, or by Holm's correction.
    pass_confidence : one-sided confidence with which a release must meet every criterion; None: by the
        intervals.
    worst_ood_center : whether a criterion about all out-of-domain medical centers also holds for the worst
        of them.
    repetitions : draws of slides of the performance drop; None: the protocol's.
    require_complete : a run that leaves out a required criterion fails.
    baseline : margins against `--fm-baseline`.
    criteria : what must hold, at least one.
    """

    model_config = _FROZEN

    name: StrictStr
    description: StrictStr = ""
    rule: Annotated[Rule, one_of(tuple(RULES), "rules")] = DEFAULT_RULE
    inconclusive: Annotated[Inconclusive, one_of(INCONCLUSIVE, "choices")] = "fail"
    confidence: Annotated[float, BeforeValidator(_confidence)] = 0.95
    family: Annotated[Family, one_of(FAMILIES, "choices")] = "none"
    pass_confidence: Annotated[float, BeforeValidator(_confidence)] | None = None
    worst_ood_center: StrictBool = False
    repetitions: Annotated[int | None, BeforeValidator(_repetitions)] = None
    require_complete: StrictBool = False
    baseline: BaselineTerms = BaselineTerms()
    criteria: tuple[CriterionEntry, ...]

    @field_validator("name")
    @classmethod
    def _name_is_given(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value

    @field_validator("criteria")
    @classmethod
    def _some_are_given(cls, value: tuple[CriterionEntry, ...]) -> tuple[CriterionEntry, ...]:
        if not value:
            raise ValueError("must hold at least one criterion")
        return value

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the criteria are about, in the order of tables."""
        return tuple(name for name in metrics() if any(entry.metric == name for entry in self.criteria))

    def criteria_for(self, cohorts: Iterable[str]) -> tuple[Criterion, ...]:
        """Every criterion of a run on these cohorts: cohort by cohort, then those over several cohorts.

        Raises
        ------
        CriteriaError : a bound refers to published values and none exist for the cohort.
        """
        names = tuple(cohorts)
        places = [(place, entry) for entry in self._entries() for place in entry.places(names)]
        places.sort(key=lambda one: (len(one[0]) > 1, names.index(one[0][0]) if len(one[0]) == 1 else 0))
        return tuple(entry.resolved(place, profile=self.name, rule=self.rule) for place, entry in places)

    def _entries(self) -> Iterator[CriterionEntry]:
        """The criteria, those out of domain also for the worst medical center if the file has none for it."""
        present = {(entry.metric, entry.group) for entry in self.criteria}
        for entry in self.criteria:
            yield entry
            plain = entry.quantity == "value" and definition(entry.metric).out_of_domain
            if self.worst_ood_center and plain and (entry.metric, "worst-center") not in present:
                yield entry.model_copy(update={"id": f"{entry.id}-worst", "group": "worst-center"})

    def difference_criterion(self, prefix: str, metric: str, cohort: str, rationale: str) -> Criterion:
        """That a metric is not worse than another measurement of it, by the margin and rule of `[baseline]`.

        Parameters
        ----------
        prefix : of its id.
        rationale : with `{margin}` where the margin belongs.
        """
        margin, of_metric = self.baseline.margin_of(metric), definition(metric)
        return Criterion(
            id=f"{prefix}{metric.replace('_', '-')}",
            metric=metric,
            cohort=cohort,
            cohorts=(cohort,),
            quantity="difference",
            bound=-of_metric.sign * margin + 0.0,
            direction=of_metric.good_direction,
            rule=self.baseline.rule or self.rule,
            rationale=rationale.replace("{margin}", f"{margin:g}"),
        )

    def settings_of(self, computation: Computation) -> dict[str, Any]:
        """The settings of a computation, with the profile's repetitions where it has any."""
        settings = dict(computation.settings)
        if self.repetitions is not None and "repetitions" in settings:
            settings["repetitions"] = self.repetitions
        return settings

    def criteria_elsewhere(self, cohorts: Iterable[str]) -> tuple[Criterion, ...]:
        """Every criterion about one named cohort that is not among these.

        Raises
        ------
        CriteriaError : as `criteria_for`.
        """
        present = set(cohorts)
        return tuple(
            entry.resolved((name,), profile=self.name, rule=self.rule)
            for entry in self.criteria
            for name in (() if entry.aggregate else entry.cohorts or ())
            if name not in present
        )

    @property
    def content(self) -> dict[str, Any]:
        """The profile as builtin types, whatever the layout of its file.

        It has every metric's margin, and the digest of the published scores where a bound depends on them:
        equal content means equal bounds.
        """
        content = {"schema": SCHEMA, **self.model_dump(mode="json")}
        named = {*self.metrics, *self.baseline.margin}
        content["baseline"]["margin"] = {name: self.baseline.margin_of(name) for name in sorted(named)}
        if relative := [entry.metric for entry in self.criteria if entry.is_relative]:
            content["published"] = published_digest(relative)
        return content

    @property
    def digest(self) -> str:
        """SHA-256 of `content`."""
        return digest_of(self.content)
