"""From a measurement and a bound to a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pathorob_checks.errors import CriteriaError
from pathorob_checks.metrics.measurement import Measurement

Direction = Literal[">=", "<="]
DIRECTIONS: tuple[Direction, ...] = (">=", "<=")
RULES = ("point",)


class Verdict(StrEnum):
    """What became of one criterion. Only PASS, FAIL and INCONCLUSIVE follow from a measured value."""

    PASS = "pass"  # noqa: S105 (a verdict, no password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"
    ERROR = "error"

    @property
    def is_measured(self) -> bool:
        """Whether the metric had a value."""
        return self in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict and the clause that says why."""

    verdict: Verdict
    reason: str


def meets(value: float, direction: str, bound: float) -> bool:
    """Whether `value` lies on the good side of `bound`, or on it. NaN never does."""
    return value >= bound if direction == ">=" else value <= bound


def written(value: float, bound: float, direction: str = ">=") -> tuple[str, str]:
    """`value` and `bound` as text with three decimals, and with more where three would hide the verdict.

    0.49996 against a bound of 0.5 must not be printed as `0.500` beside a FAIL.
    """
    for digits in range(3, 10):
        texts = f"{value:.{digits}f}", f"{bound:.{digits}f}"
        if meets(float(texts[0]), direction, float(texts[1])) == meets(value, direction, bound):
            return texts
    return repr(value), repr(bound)


def judge(
    criterion_bound: float, direction: Direction, measurement: Measurement, rule: str = "point"
) -> Judgement:
    """The verdict on one measurement.

    Parameters
    ----------
    criterion_bound : finite float on the metric's scale.
    direction : `>=` or `<=`; the bound itself is good.
    measurement : a value that is not finite gives ERROR, never PASS.
    rule : `point`: the value alone decides, its interval is not looked at.

    Raises
    ------
    CriteriaError : unknown rule or direction, or a bound that is not finite.
    """
    if rule not in RULES:
        raise CriteriaError(f"the rule {rule!r} is unknown", remedy=f"use one of {', '.join(RULES)}")
    if direction not in DIRECTIONS:
        raise CriteriaError(f"the direction {direction!r} is unknown", remedy="use >= or <=")
    if not math.isfinite(criterion_bound):
        raise CriteriaError(f"the bound {criterion_bound} is not a finite number", remedy="give a number")
    value = measurement.value
    if not math.isfinite(value):
        return Judgement(verdict=Verdict.ERROR, reason=f"{measurement.metric} has no finite value ({value})")
    value_text, bound_text = written(value, criterion_bound, direction)
    if meets(value, direction, criterion_bound):
        return Judgement(verdict=Verdict.PASS, reason=f"{value_text} meets {direction} {bound_text}")
    side = "below" if direction == ">=" else "above"
    return Judgement(verdict=Verdict.FAIL, reason=f"{value_text} is {side} {bound_text}")
