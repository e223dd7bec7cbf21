"""A profile: a named set of criteria, and how their verdicts are taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    StrictStr,
    field_validator,
)

from pathorob_checks.criteria.bounds import finite
from pathorob_checks.criteria.criterion import Criterion, CriterionEntry, RuleOrNone, one_of
from pathorob_checks.criteria.published import published_digest
from pathorob_checks.criteria.verdict import DEFAULT_RULE, RULES, Rule

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


Margin = Annotated[float, BeforeValidator(_margin)]


class Margins(BaseModel):
    """By how much each metric may fall behind a baseline's, in the metric's unit.

    The defaults are larger than what a change of precision was seen to do to the same model (up to 0.017 of
    the robustness index) and, for the drops, about the published 95 % half-widths.
    """

    model_config = _FROZEN

    robustness_index: Margin = 0.02
    performance_drop_id: Margin = 0.01
    performance_drop_ood: Margin = 0.01
    clustering_score: Margin = 0.05


class BaselineTerms(BaseModel):
    """`[baseline]`: when an FM counts as not worse than the one that it is compared with."""

    model_config = _FROZEN

    margin: Margins = Margins()
    rule: RuleOrNone = None


class Profile(BaseModel):
    """A named set of criteria.

    Attributes
    ----------
    rule : how criteria are judged that name no rule of their own.
    inconclusive : what an inconclusive verdict does: fail the test, warn, or xfail it.
    confidence : of every interval.
    require_complete : a run that leaves out a required criterion fails.
    baseline : margins against `--fm-baseline`.
    """

    model_config = _FROZEN

    name: StrictStr
    description: StrictStr = ""
    rule: Annotated[Rule, one_of(tuple(RULES), "rules")] = DEFAULT_RULE
    inconclusive: Annotated[Inconclusive, one_of(INCONCLUSIVE, "choices")] = "fail"
    confidence: Annotated[float, BeforeValidator(_confidence)] = 0.95
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

    def criteria_for(self, cohort_name: str, metric: str | None = None) -> tuple[Criterion, ...]:
        """The criteria asked of one cohort, in the file's order, with numbers; of one metric, if named.

        Raises
        ------
        CriteriaError : a bound refers to published values and none exist for the cohort.
        """
        found = (one for one in self.asked_of((cohort_name,)) if len(one.cohorts) == 1)
        return tuple(criterion for criterion in found if metric in (None, criterion.metric))

    def asked_of(self, cohorts: Iterable[str]) -> tuple[Criterion, ...]:
        """Every criterion of a run on these cohorts: cohort by cohort, then those over several cohorts.

        Raises
        ------
        CriteriaError : a bound refers to published values and none exist for the cohort.
        """
        names = tuple(cohorts)
        places = [(place, entry) for entry in self.criteria for place in entry.places(names)]
        places.sort(key=lambda one: (len(one[0]) > 1, names.index(one[0][0]) if len(one[0]) == 1 else 0))
        return tuple(entry.resolved(place, profile=self.name, rule=self.rule) for place, entry in places)

    @property
    def content(self) -> dict[str, Any]:
        """What the profile says, as builtin types, whatever the layout of its file.

        It has the published table's digest where a bound depends on it: equal content means equal bounds.
        """
        content = {"schema": SCHEMA, **self.model_dump(mode="json")}
        if any(entry.is_relative for entry in self.criteria):
            content["published"] = published_digest()
        return content

    @property
    def digest(self) -> str:
        """SHA-256 of `content`."""
        return digest_of(self.content)


def digest_of(content: object) -> str:
    """SHA-256 of builtin types, written as JSON in one way only."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
