"""Profiles: named sets of criteria, read from TOML.

A criteria file says what an FM is held to; a profile is that file, checked. `Profile.criteria_for` turns its
entries into criteria with a number for one cohort.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    StrictBool,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from pathorob_checks.criteria.published import (
    is_average_over_cohorts,
    published_digest,
    published_quantile,
    published_values,
)
from pathorob_checks.criteria.verdict import Direction
from pathorob_checks.errors import CriteriaError
from pathorob_checks.metrics.measurement import METRICS

SCHEMA = "pathorob-checks/criteria/1"
BUILT_IN = ("floor", "median", "frontier")

# The values a bound may take. An accuracy cannot fall below nothing (-1); that it more than doubles by
# confounded training (+1) is no sensible demand.
METRIC_RANGES: Mapping[str, tuple[float, float]] = {
    "robustness_index": (0.0, 1.0),
    "performance_drop_id": (-1.0, 1.0),
    "performance_drop_ood": (-1.0, 1.0),
    "clustering_score": (-1.0, 1.0),
}

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it becomes part of a test's id
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Criterion(BaseModel):
    """What one metric of one cohort is held to: a number, a direction, and why."""

    model_config = _FROZEN

    id: str
    metric: str
    cohort: str
    bound: float
    direction: Direction
    required: bool
    rationale: str
    source: str | None


class PublishedQuantile(BaseModel):
    """A bound that is the quantile of the published FMs on the cohort in question."""

    model_config = _FROZEN

    published_quantile: float


class CriterionEntry(BaseModel):
    """One `[[criteria]]` of a file. Exactly one of `at_least` and `at_most` is given."""

    model_config = _FROZEN

    id: StrictStr
    metric: StrictStr
    at_least: float | PublishedQuantile | None = None
    at_most: float | PublishedQuantile | None = None
    cohorts: tuple[StrictStr, ...] | None = None
    required: StrictBool = True
    rationale: StrictStr
    source: StrictStr | None = None

    @field_validator("id")
    @classmethod
    def _id_fits_a_test_id(cls, value: str) -> str:
        if not _IDENTIFIER.fullmatch(value):
            raise ValueError(f"must be letters, digits, '.', '_' and '-', not {value!r}")
        return value

    @field_validator("metric")
    @classmethod
    def _metric_is_known(cls, value: str) -> str:
        if value not in METRICS:
            raise ValueError(f"is {value!r}, {_unknown(value, METRICS, 'metrics')}")
        return value

    @field_validator("at_least", "at_most", mode="before")
    @classmethod
    def _bound_is_a_number_or_a_quantile(cls, value: object) -> float | PublishedQuantile:
        if isinstance(value, dict) and set(value) == {"published_quantile"}:
            quantile = _finite(value["published_quantile"], "published_quantile")
            if not 0 <= quantile <= 1:
                raise ValueError(f"has the published_quantile {quantile:g}, outside 0..1")
            return PublishedQuantile(published_quantile=quantile)
        return _finite(value, None)

    @field_validator("cohorts")
    @classmethod
    def _cohorts_are_named(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (not value or not all(name.strip() for name in value)):
            raise ValueError("must name at least one cohort; leave the key out to mean all")
        return value

    @field_validator("rationale")
    @classmethod
    def _rationale_says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must say why this bound was chosen")
        return value.strip()

    @model_validator(mode="after")
    def _has_one_bound_within_range(self) -> CriterionEntry:
        if self.at_least is not None and self.at_most is not None:
            raise ValueError("gives both at_least and at_most; give one of them")
        limit = self._limit  # raises where neither is given
        low, high = METRIC_RANGES[self.metric]
        if isinstance(limit, float) and not low <= limit <= high:
            raise ValueError(f"has the bound {limit:g}, but {self.metric} lies in {low:g}..{high:g}")
        return self

    @property
    def _limit(self) -> float | PublishedQuantile:
        limit = self.at_least if self.at_least is not None else self.at_most
        if limit is None:
            raise ValueError("gives no bound; give at_least or at_most")
        return limit

    @property
    def direction(self) -> Direction:
        """`>=` for at_least, `<=` for at_most."""
        return ">=" if self.at_least is not None else "<="

    @property
    def is_quantile(self) -> bool:
        """Whether the bound depends on the published table."""
        return isinstance(self._limit, PublishedQuantile)

    def applies_to(self, cohort: str) -> bool:
        """Whether this criterion is asked of the cohort."""
        return self.cohorts is None or cohort in self.cohorts

    def resolved(self, cohort: str, *, profile: str) -> Criterion:
        """The criterion with its number for one cohort; `profile` is named in the error."""
        limit, rationale = self._limit, self.rationale
        if isinstance(limit, PublishedQuantile):
            count = len(published_values(self.metric, cohort))
            if not count:
                raise CriteriaError(
                    f"profile {profile} has no published values for cohort {cohort} (criterion {self.id})",
                    remedy="use floor or give a number",
                )
            quantile = limit.published_quantile
            bound = published_quantile(self.metric, cohort, quantile)
            rationale += f" The bound is the {100 * quantile:g} % quantile of {count} published FMs "
            # Said here and not in the files, because it is a fact of the table and holds for users' too.
            if is_average_over_cohorts(self.metric):
                rationale += "(each FM's average over the benchmark's cohorts; none is published per cohort)."
            else:
                rationale += f"on {cohort}."
        else:
            bound = limit
        return Criterion(
            id=self.id,
            metric=self.metric,
            cohort=cohort,
            bound=bound,
            direction=self.direction,
            required=self.required,
            rationale=rationale,
            source=self.source,
        )


class Profile(BaseModel):
    """A named set of criteria."""

    model_config = _FROZEN

    name: StrictStr
    description: StrictStr = ""
    criteria: tuple[CriterionEntry, ...]

    @field_validator("name")
    @classmethod
    def _name_is_given(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value

    @field_validator("criteria")
    @classmethod
    def _ids_are_distinct(cls, value: tuple[CriterionEntry, ...]) -> tuple[CriterionEntry, ...]:
        if not value:
            raise ValueError("must hold at least one criterion")
        seen: set[str] = set()
        for entry in value:
            if entry.id in seen:
                raise ValueError(f"has the id {entry.id!r} twice")
            seen.add(entry.id)
        return value

    def criteria_for(self, cohort_name: str, metric: str | None = None) -> tuple[Criterion, ...]:
        """The criteria asked of a cohort, in the file's order, with numbers; of one metric, if named.

        Raises
        ------
        CriteriaError : a bound is a published quantile and nothing is published for the cohort.
        """
        return tuple(
            entry.resolved(cohort_name, profile=self.name)
            for entry in self.criteria
            if entry.applies_to(cohort_name) and metric in (None, entry.metric)
        )

    @property
    def digest(self) -> str:
        """SHA-256 of what the profile says, whatever the layout of its file.

        It covers the published table where a bound depends on it: equal digests mean equal bounds.
        """
        content = {"schema": SCHEMA, **self.model_dump(mode="json")}
        if any(entry.is_quantile for entry in self.criteria):
            content["published"] = published_digest()
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()


def load_profile(name_or_path: str | Path) -> Profile:
    """Read a built-in profile by its name, else a criteria file by its path.

    Raises
    ------
    CriteriaError : neither exists, or the file is not a valid criteria file.
    """
    name = str(name_or_path)
    if name in BUILT_IN:
        text = (files("pathorob_checks.criteria") / "profiles" / f"{name}.toml").read_text(encoding="utf-8")
        return _parse(text, f"profile {name}")
    path = Path(name)
    is_path = path.suffix == ".toml" or len(path.parts) > 1 or isinstance(name_or_path, Path)
    if not is_path and not path.exists():
        raise CriteriaError(
            f"profile {name!r} is unknown",
            remedy=_hint(name, BUILT_IN, "use one of {known} or the path of a criteria file"),
        )
    try:
        # Editors on Windows put a byte order mark in front, which TOML does not know.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CriteriaError(
            f"the criteria file {name} is not UTF-8 text", remedy="save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CriteriaError(
            f"the criteria file {name} cannot be read ({reason})",
            remedy=f"give the path of a TOML file or one of {', '.join(BUILT_IN)}",
        ) from None
    return _parse(text, f"criteria file {name}")


def _parse(text: str, where: str) -> Profile:
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CriteriaError(f"{where} is not valid TOML: {error}", remedy="mend that line") from None
    schema = content.pop("schema", None)
    if schema != SCHEMA:
        said = f"says schema = {schema!r}" if schema is not None else "says no schema"
        raise CriteriaError(f"{where} {said}", remedy=f'its first line must be schema = "{SCHEMA}"')
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        raise _in_a_sentence(error.errors(include_url=False)[0], content, where) from None


_TYPE_WORDS: Mapping[str, str] = {
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def _in_a_sentence(detail: ErrorDetails, content: Mapping[str, object], where: str) -> CriteriaError:
    """pydantic's first complaint, told with the criterion's id and the key as the user wrote them."""
    place = list(detail["loc"])
    model: type[BaseModel] = Profile
    if place[:1] == ["criteria"] and len(place) > 1:
        where = f"{where}: {_criterion_name(content['criteria'], place[1])}"
        model, place = CriterionEntry, place[2:]
    key = str(place[0]) if place else ""
    remedy = f"known keys are {', '.join(model.model_fields)}"
    match detail["type"]:
        case "extra_forbidden":
            known = tuple(model.model_fields)
            near = _hint(key, known, "known keys are {known}")
            return CriteriaError(f"{where} has the unknown key {key!r}", remedy=near)
        case "missing":
            return CriteriaError(f"{where} has no {key!r}", remedy="add it; " + remedy)
        case "value_error":
            problem, _, advice = str(detail["ctx"]["error"]).partition("; ")
            subject = f"{where}: {key!r}" if key else where
            return CriteriaError(f"{subject} {problem}", remedy=advice or "correct the file")
        case kind:
            wanted = _TYPE_WORDS.get(kind, detail["msg"])
            subject = f"{where}: {key!r}" if key else where
            return CriteriaError(
                f"{subject} must be {wanted}, not {detail['input']!r}", remedy="correct the file"
            )


def _criterion_name(criteria: object, index: int | str) -> str:
    """`criterion 'robustness-index'`, or its number where it has no usable id."""
    entry = criteria[index] if isinstance(criteria, list) and isinstance(index, int) else None
    name = entry.get("id") if isinstance(entry, dict) else None
    if isinstance(name, str) and name:
        return f"criterion {name!r}"
    return f"criterion number {index + 1}" if isinstance(index, int) else "criteria"


def _finite(value: object, key: Literal["published_quantile"] | None) -> float:
    """A TOML number as a finite float; raises ValueError with a clause for the user."""
    wanted = f"needs a number as {key}" if key else "must be a number or { published_quantile = 0.5 }"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{wanted}, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{wanted} that is finite, not {number}")
    return number + 0.0  # -0.0 becomes 0.0, which reads better and has one digest


def _unknown(value: str, known: Iterable[str], what: str) -> str:
    return "which is unknown; " + _hint(value, tuple(known), "known " + what + " are {known}")


def _hint(value: str, known: tuple[str, ...], sentence: str) -> str:
    """`sentence` with the known values, after the nearest of them if one is near."""
    near = difflib.get_close_matches(value, known, n=1)
    text = sentence.format(known=", ".join(known))
    return f"did you mean {near[0]!r}? {text[0].upper()}{text[1:]}" if near else text
