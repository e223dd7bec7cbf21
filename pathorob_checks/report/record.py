"""The record of one check: what travels from a test to every report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal

from pathorob_checks.criteria.criterion import QUANTITIES
from pathorob_checks.criteria.verdict import DIRECTIONS, Judgement, Verdict
from pathorob_checks.errors import CacheError, MetricError

if TYPE_CHECKING:
    from pathorob_checks.criteria.criterion import Criterion
    from pathorob_checks.metrics.measurement import Measurement


def builtin(value: object, *, non_finite: Literal["refuse", "none"] = "refuse", where: str = "value") -> Any:
    """`value` as JSON knows it: dict, list, str, int, float, bool, None.

    Numbers of numpy and torch become Python's. NaN and infinities are refused, or become None.

    Raises
    ------
    MetricError : a number is not finite, or an object is nothing that JSON can say; names `where`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)  # a plain string also of an enum's member
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        if non_finite == "none":
            return None
        raise MetricError(f"{where} is {value}, which no report can hold", remedy="record it as an error")
    if isinstance(value, Mapping):
        return {
            str(key): builtin(item, non_finite=non_finite, where=f"{where}.{key}")
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [builtin(item, non_finite=non_finite, where=f"{where}[{i}]") for i, item in enumerate(value)]
    to_python = getattr(value, "tolist", None)  # numpy's and torch's scalars and arrays
    if callable(to_python):
        return builtin(to_python(), non_finite=non_finite, where=where)
    raise MetricError(
        f"{where} is a {type(value).__name__}, which no report can hold",
        remedy="use numbers, text, lists and mappings",
    )


# The fields of a record by what they may hold.
_TEXTS = ("id", "fm", "cohort", "metric", "criterion", "direction", "rule", "reason", "rationale", "quantity",
          "interval_note")  # fmt: skip
_TEXTS_OR_NONE = ("group", "source", "owner")
_NUMBERS_OR_NONE = ("value", "support", "confidence", "drift", "minimum_support")
_FLAGS = ("required", "registered")
_MAPPINGS = ("protocol", "groups")
_MAPPINGS_OR_NONE = ("baseline", "resampling")
_LISTS: Mapping[str, type] = {"weakest": dict, "slides": dict, "suspects": str, "requirements": str}


@dataclass(frozen=True, kw_only=True)
class CheckRecord:
    """One criterion, asked of one FM on one cohort, and what came of it.

    Attributes
    ----------
    id : the test's id.
    criterion : the criterion's id within its profile.
    value, interval, support, confidence, interval_note : as in `Measurement`; None where there is none. Of
        the worst group, of the mean over cohorts or of the difference, where `quantity` says so.
    quantity : `value`, `worst-center`, `worst-class`, `mean` or `difference`.
    group : the name of the worst medical center or biological class.
    drift : half-width that the precision of the forward pass adds on both sides of the interval.
    required, minimum_support, source, owner, requirements : as the criterion says.
    registered : whether the criterion is one of the profile, which the digest covers.
    weakest, slides, groups : builtin forms of what `Measurement` has, worst first.
    suspects : sentences on what is likely to be at fault, the likeliest first; of a criterion not met.
    baseline : name and value of the FM compared with.
    resampling : what a later run needs for a paired interval with this one.

    All fields are builtin types (`verdict` is a `str` as well) and all numbers finite; a record with the
    verdict pass, fail or inconclusive has a value.
    """

    id: str
    fm: str
    cohort: str
    metric: str
    criterion: str
    value: float | None
    interval: tuple[float, float] | None
    support: float | None
    bound: float
    direction: str
    rule: str
    verdict: Verdict
    reason: str
    rationale: str
    quantity: str = "value"
    group: str | None = None
    confidence: float | None = None
    interval_note: str = ""
    drift: float | None = None
    minimum_support: float | None = None
    required: bool = True
    registered: bool = True
    source: str | None = None
    owner: str | None = None
    requirements: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    baseline: dict[str, Any] | None = None
    protocol: dict[str, Any] = field(default_factory=dict)
    weakest: list[dict[str, Any]] = field(default_factory=list)
    slides: list[dict[str, Any]] = field(default_factory=list)
    groups: dict[str, Any] = field(default_factory=dict)
    resampling: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for names, wanted in (
            (_TEXTS, str),
            (_TEXTS_OR_NONE, (str, NoneType)),
            (_NUMBERS_OR_NONE, (int, float, NoneType)),
            (("bound",), (int, float)),
            (_FLAGS, bool),
            (_MAPPINGS, Mapping),
            (_MAPPINGS_OR_NONE, (Mapping, NoneType)),
        ):
            for name in names:
                put(name, _kind(wanted, builtin(getattr(self, name), where=name), name))
        for name in (*_NUMBERS_OR_NONE, "bound"):
            number = getattr(self, name)
            put(name, None if number is None else float(number))
        for name, kind in _LISTS.items():
            items = builtin(getattr(self, name), where=name)
            if not isinstance(items, list) or not all(isinstance(item, kind) for item in items):
                raise MetricError(f"{name} of {self.id} is {items!r}", remedy="give a list of the right kind")
            put(name, items)
        for name, known in (("direction", DIRECTIONS), ("quantity", QUANTITIES)):
            if getattr(self, name) not in known:
                raise MetricError(
                    f"the record {self.id} has the {name} {getattr(self, name)!r}",
                    remedy=f"use one of {', '.join(known)}",
                )
        if self.interval is not None:
            ends = builtin(self.interval, where="interval")
            if not isinstance(ends, list) or len(ends) != 2:
                raise MetricError(f"the interval of {self.id} is {ends!r}", remedy="give its two ends")
            put("interval", tuple(float(_kind((int, float), end, "interval")) for end in ends))
        try:
            put("verdict", Verdict(self.verdict))
        except ValueError:
            raise MetricError(
                f"the record {self.id} has the unknown verdict {self.verdict!r}",
                remedy=f"use one of {', '.join(Verdict)}",
            ) from None
        if self.verdict.is_measured and self.value is None:
            raise MetricError(
                f"the record {self.id} says {self.verdict} without a value", remedy="record it as an error"
            )

    @classmethod
    def of_measurement(
        cls,
        *,
        test_id: str,
        fm: str,
        criterion: Criterion,
        measurement: Measurement,
        judgement: Judgement,
        **more: Any,
    ) -> CheckRecord:
        """The record of a judged measurement; what is not finite in it becomes None.

        `more` are other fields: `group`, `drift`, `registered`, `suspects`, `baseline`.
        """
        resampling = measurement.resampling

        def told(value: object, where: str) -> Any:
            return builtin(value, non_finite="none", where=where)

        return cls(
            id=test_id,
            fm=fm,
            **_asked(criterion),
            value=told(measurement.value, "value"),
            interval=_interval_or_none(measurement.interval),
            support=told(measurement.support, "support"),
            confidence=None if measurement.interval is None else measurement.confidence,
            interval_note=measurement.interval_note,
            verdict=judgement.verdict,
            reason=judgement.reason,
            protocol=told(measurement.protocol, "protocol"),
            weakest=[told(asdict(item), "weakest") for item in measurement.weakest],
            slides=[told(asdict(item), "slides") for item in measurement.slides],
            groups={
                by: [told(asdict(item), "groups") for item in items]
                for by, items in measurement.groups.items()
            },
            resampling=None if resampling is None else told(resampling.to_dict(), "resampling"),
            **more,
        )

    @classmethod
    def not_measured(
        cls,
        *,
        test_id: str,
        fm: str,
        criterion: Criterion,
        reason: str,
        verdict: Verdict = Verdict.ERROR,
    ) -> CheckRecord:
        """The record of a criterion whose metric gave no value: an error or a named skip."""
        return cls(
            id=test_id,
            fm=fm,
            **_asked(criterion),
            value=None,
            interval=None,
            support=None,
            verdict=verdict,
            reason=reason,
        )

    def to_dict(self) -> dict[str, Any]:
        """The record as builtin types, the interval as a list, in the order of the results file."""
        return {name.name: builtin(getattr(self, name.name), where=name.name) for name in fields(self)}

    def to_json(self) -> str:
        """One line of strict JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> CheckRecord:
        """Read what `to_json` wrote.

        Raises
        ------
        CacheError : the text is no JSON, has keys too many or too few, or values that no record holds.
        """
        remedy = "run the check again"
        try:
            content = json.loads(text, parse_constant=_refuse_constant)
        except ValueError as error:
            raise CacheError(f"the record of a check is not strict JSON ({error})", remedy=remedy) from None
        names = {name.name for name in fields(cls)}
        if not isinstance(content, dict) or set(content) != names:
            wrong = ", ".join(sorted(set(content) ^ names)) if isinstance(content, dict) else "no object"
            raise CacheError(f"the record of a check has other keys than expected ({wrong})", remedy=remedy)
        try:
            return cls(**content)
        except MetricError as error:
            raise CacheError(f"the record of a check is damaged: {error.problem}", remedy=remedy) from None


def _asked(criterion: Criterion) -> dict[str, Any]:
    """What a record repeats of its criterion."""
    content = criterion.model_dump(mode="json", exclude={"id", "cohorts"})
    return {**content, "criterion": criterion.id}


def _kind(wanted: type | tuple[type, ...], value: object, name: str) -> Any:
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise MetricError(f"{name} of a record is {value!r}", remedy="give a value of the right type")
    return value


def _interval_or_none(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """A half-open interval (one end not finite) says less than it seems to: none at all then."""
    if interval is None or not all(math.isfinite(end) for end in interval):
        return None
    return (float(interval[0]), float(interval[1]))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
