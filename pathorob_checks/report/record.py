"""The record of one check: what travels from a test to every report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from pathorob_checks.criteria.verdict import DIRECTIONS, Judgement, Verdict
from pathorob_checks.errors import CacheError, MetricError

if TYPE_CHECKING:
    from pathorob_checks.criteria.profile import Criterion
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


@dataclass(frozen=True, kw_only=True)
class CheckRecord:
    """One criterion, asked of one FM on one cohort, and what came of it.

    Attributes
    ----------
    id : the test's id.
    criterion : the criterion's id within its profile.
    value, interval, support : as in `Measurement`; None where there is none.
    weakest : dicts with the fields of `Weakness`, worst first.

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
    protocol: dict[str, Any] = field(default_factory=dict)
    weakest: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for name in ("id", "fm", "cohort", "metric", "criterion", "direction", "rule", "reason", "rationale"):
            put(name, builtin(_kind(str, getattr(self, name), name)))
        for name in ("value", "support", "bound"):
            number = builtin(getattr(self, name), where=name)
            if name != "bound" or number is not None:
                number = None if number is None else float(_kind((int, float), number, name))
            put(name, number)
        if self.bound is None or self.direction not in DIRECTIONS:
            raise MetricError(
                f"the record {self.id} has no usable bound ({self.direction} {self.bound})",
                remedy="give a number and >= or <=",
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
        put("protocol", builtin(_kind(Mapping, self.protocol, "protocol"), where="protocol"))
        weakest = builtin(self.weakest, where="weakest")
        if not isinstance(weakest, list) or not all(isinstance(item, dict) for item in weakest):
            raise MetricError(f"weakest of {self.id} is no list of mappings", remedy="give one")
        put("weakest", weakest)

    @classmethod
    def of_measurement(
        cls,
        *,
        test_id: str,
        fm: str,
        criterion: Criterion,
        measurement: Measurement,
        judgement: Judgement,
        rule: str = "point",
    ) -> CheckRecord:
        """The record of a judged measurement; what is not finite in it becomes None."""
        return cls(
            id=test_id,
            fm=fm,
            cohort=criterion.cohort,
            metric=criterion.metric,
            criterion=criterion.id,
            value=builtin(measurement.value, non_finite="none"),
            interval=_interval_or_none(measurement.interval),
            support=builtin(measurement.support, non_finite="none"),
            bound=criterion.bound,
            direction=criterion.direction,
            rule=rule,
            verdict=judgement.verdict,
            reason=judgement.reason,
            rationale=criterion.rationale,
            protocol=builtin(measurement.protocol, non_finite="none", where="protocol"),
            weakest=[builtin(asdict(item), non_finite="none") for item in measurement.weakest],
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
        rule: str = "point",
    ) -> CheckRecord:
        """The record of a criterion whose metric gave no value: an error or a named skip."""
        return cls(
            id=test_id,
            fm=fm,
            cohort=criterion.cohort,
            metric=criterion.metric,
            criterion=criterion.id,
            value=None,
            interval=None,
            support=None,
            bound=criterion.bound,
            direction=criterion.direction,
            rule=rule,
            verdict=verdict,
            reason=reason,
            rationale=criterion.rationale,
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


def _kind(wanted: type | tuple[type, ...], value: object, name: str) -> Any:
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise MetricError(f"{name} of a record is {value!r}", remedy="give a value of the right type")
    return value


def _interval_or_none(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """A half-open interval (one end not finite) says less than it seems to: none at all then."""
    if interval is None or not all(math.isfinite(end) for end in interval):
        return None
    return (float(interval[0]), float(interval[1]))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
