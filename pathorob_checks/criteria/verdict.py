"""From a measurement and a bound to a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pathorob_checks.errors import CriteriaError
from pathorob_checks.metrics.definition import DIRECTIONS, Direction
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.wording import percent

Rule = Literal["point", "confident", "three-way"]
DEFAULT_RULE: Rule = "three-way"


class Verdict(StrEnum):
    """What became of one criterion. Only PASS, FAIL and INCONCLUSIVE follow from a measured value."""

    PASS = "pass"  # noqa: S105 (a verdict, no password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"
    ERROR = "error"

    @property
    def is_measured(self) -> bool:
        """Whether the metric had a value that can be judged."""
        return self in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)


# The order in which a reader of a report needs them.
GRAVEST_FIRST = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.SKIPPED, Verdict.PASS)

# What an interval with the bound inside it leads to; one that lies on one side of the bound is clear. None:
# the interval is not looked at.
RULES: Mapping[Rule, Verdict | None] = {
    "point": None,
    "confident": Verdict.FAIL,
    "three-way": Verdict.INCONCLUSIVE,
}


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
        texts = f"{value:z.{digits}f}", f"{bound:z.{digits}f}"
        if meets(float(texts[0]), direction, float(texts[1])) == meets(value, direction, bound):
            return texts
    return repr(value), repr(bound)


def judge(
    criterion_bound: float,
    direction: Direction,
    measurement: Measurement,
    rule: Rule = DEFAULT_RULE,
    *,
    drift: float | None = None,
    minimum_support: float | None = None,
) -> Judgement:
    """The verdict on one measurement.

    Parameters
    ----------
    criterion_bound : finite float on the metric's scale.
    direction : `>=` or `<=`; the bound itself is good.
    measurement : a value that is not finite gives ERROR, never PASS.
    rule : `point`: the value alone decides. `confident`: pass only where the whole interval meets the bound,
        else fail. `three-way`: pass where the whole interval meets the bound, fail where none of it does,
        inconclusive between. Without an interval the last two judge the value and say so.
    drift : half-width, in the metric's unit, by which the precision of the forward pass moves the value; it
        widens the interval on both sides. None: not measured.
    minimum_support : share of the rows (0..1) that must carry information; with less the verdict is ERROR.

    Raises
    ------
    CriteriaError : unknown rule or direction, or a bound, drift or support that is no such number.
    """
    _check_question(criterion_bound, direction, rule, drift, minimum_support)
    value = measurement.value
    if not math.isfinite(value):
        return Judgement(verdict=Verdict.ERROR, reason=f"{measurement.metric} has no finite value ({value})")
    if minimum_support is not None and not (measurement.support or 0.0) >= minimum_support:
        required = f"the criterion requires {percent(minimum_support)}"
        if measurement.support is None:
            reason = f"it is not known how many patches are informative, and {required}"
        else:
            reason = f"only {percent(measurement.support)} of the patches are informative, and {required}"
        return Judgement(verdict=Verdict.ERROR, reason=reason)
    value_text, bound_text = written(value, criterion_bound, direction)
    good = meets(value, direction, criterion_bound)
    verdict = Verdict.PASS if good else Verdict.FAIL
    against = f"meets {direction}" if good else f"is {'below' if direction == '>=' else 'above'}"
    plain = f"{value_text} {against} {bound_text}"
    if RULES[rule] is None:
        return Judgement(verdict=verdict, reason=plain)
    ends = _interval(measurement, drift)
    if ends is None:
        reason = f"{plain}; only the value was judged, because it has no interval"
        return Judgement(verdict=verdict, reason=reason)
    met = [meets(end, direction, criterion_bound) for end in ends]
    low, high = (written(end, criterion_bound, direction)[0] for end in ends)
    kind = (
        "interval"
        if measurement.interval is None
        else f"{percent(getattr(measurement, 'confidence', 0.95))} interval"
    )
    interval = f"{kind} [{low}, {high}]" + (
        f" (widened by the precision drift of {drift:.3g})" if drift else ""
    )
    if met[0] == met[1]:
        return Judgement(
            verdict=verdict, reason=f"{plain}, and so {'does' if good else 'is'} the whole {interval}"
        )
    between = RULES[rule]
    assert between is not None  # noqa: S101 (checked above; for the type checker)
    reason = f"the value is {value_text}, and its {interval} contains the bound {bound_text}"
    if measurement.unstable:
        reason += f"; {measurement.unstable}"
    return Judgement(verdict=between, reason=reason)


def _interval(measurement: Measurement, drift: float | None) -> tuple[float, float] | None:
    """The interval with the value in it, widened by the drift; None where neither is known."""
    known = measurement.interval
    if known is None or not all(math.isfinite(end) for end in known):
        if not drift:
            return None
        known = (measurement.value, measurement.value)
    # A resampled interval may miss its value by a hair; no rule may be kinder than the value.
    low, high = min(known[0], measurement.value), max(known[1], measurement.value)
    return low - (drift or 0.0), high + (drift or 0.0)


def _check_question(
    bound: float, direction: str, rule: str, drift: float | None, minimum_support: float | None
) -> None:
    if rule not in RULES:
        raise CriteriaError(f"the rule {rule!r} is unknown", remedy=f"use one of {', '.join(RULES)}")
    if direction not in DIRECTIONS:
        raise CriteriaError(f"the direction {direction!r} is unknown", remedy="use >= or <=")
    if not math.isfinite(bound):
        raise CriteriaError(f"the bound {bound} is not a finite number", remedy="give a number")
    if drift is not None and not 0 <= drift < math.inf:
        raise CriteriaError(f"the drift {drift} is no half-width", remedy="give a finite number, 0 or more")
    if minimum_support is not None and not 0 <= minimum_support <= 1:
        raise CriteriaError(f"the support {minimum_support} is no share", remedy="give a number in 0..1")
