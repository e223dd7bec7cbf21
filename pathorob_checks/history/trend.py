"""The values of an FM family over runs, and which of them fell by more than chance explains."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pathorob_checks.errors import MetricError
from pathorob_checks.history.families import family_of
from pathorob_checks.history.kept import KeptCheck
from pathorob_checks.metrics.differences import Difference, difference
from pathorob_checks.metrics.ends import why_not_drawn
from pathorob_checks.metrics.intervals import CONFIDENCE
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.p_values import p_value

LEVEL = 0.05  # of all comparisons together, one-sided
_WORTH_A_LOOK = 4 * LEVEL  # p-values beyond are not worth thirty more intervals

_NOT_DRAWN = "a value is at an end of its scale or unstable"

Basis = Literal["paired", "intervals", "not compared"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a value differs from that of the run before.

    Attributes
    ----------
    value : new minus old, in the metric's unit.
    interval : of the change, at 95 %; None where it was not compared.
    basis : `paired`: the same slides (cases, repetitions) are drawn for both. `intervals`: by the intervals
        of both values, as if they were independent. `not compared`: there is no p-value.
    reason : why it is not paired; "" where it is.
    p_value : one-sided, of the hypothesis that the truth has not become worse.
    corrected : the same after Holm's correction for all comparisons that are shown.
    """

    value: float
    interval: tuple[float, float] | None
    basis: Basis
    reason: str = ""
    p_value: float | None = None
    corrected: float | None = None

    @property
    def is_fall(self) -> bool:
        """Whether the value became worse by more than chance explains."""
        return self.corrected is not None and self.corrected <= LEVEL


@dataclass(frozen=True, kw_only=True)
class Point:
    """A check, and the change of its value since the one before; None for the first, and without a value."""

    check: KeptCheck
    change: Change | None = None


@dataclass(frozen=True, kw_only=True)
class Trend:
    """The checks of one criterion on one FM family, the newest last."""

    family: str
    method: str
    cohort: str
    metric: str
    label: str
    criterion: str
    points: tuple[Point, ...]

    @property
    def falls(self) -> tuple[Point, ...]:
        """Those whose value became worse by more than chance explains."""
        return tuple(point for point in self.points if point.change is not None and point.change.is_fall)


def trends_of(checks: Iterable[KeptCheck], pattern: re.Pattern[str] | None = None) -> tuple[Trend, ...]:
    """The trends of checks, with their falls after Holm's correction for all comparisons in them.

    Parameters
    ----------
    checks : those that are shown, the newest last.
    pattern : of families, see `family_of`.
    """
    groups: dict[tuple[str, ...], list[KeptCheck]] = {}
    for check in checks:
        family = family_of(check.fm, pattern)
        key = (family, check.method, check.cohort, check.metric, check.quantity, check.criterion)
        groups.setdefault(key, []).append(check)
    trends = [
        Trend(
            family=key[0],
            method=key[1],
            cohort=key[2],
            metric=key[3],
            label=group[-1].label,
            criterion=key[5],
            points=_points(group),
        )
        for key, group in groups.items()
    ]
    return _corrected(trends)


def compared(trends: Iterable[Trend]) -> list[Change]:
    """The changes that have a p-value."""
    changes = [point.change for trend in trends for point in trend.points]
    return [change for change in changes if change is not None and change.p_value is not None]


def change_between(new: KeptCheck, old: KeptCheck) -> Change:
    """How a measured value differs from an earlier one.

    Parameters
    ----------
    new, old : two checks with a value, of one criterion.
    """
    assert new.value is not None and old.value is not None  # noqa: S101, PT018 (the caller looked)
    value = new.value - old.value
    if settings := _differing(new, old):
        return Change(value=value, interval=None, basis="not compared", reason=settings)
    reason = "a value has no slides or repetitions to draw from"
    if new.packed is not None and old.packed is not None:
        try:
            return _by_slides(new, old)
        except (MetricError, ArithmeticError, ValueError, IndexError):  # a file may hold anything
            reason = "their slides, repetitions or settings differ"
    if new.interval is None or old.interval is None:
        return Change(value=value, interval=None, basis="not compared", reason="a value has no interval")
    interval = _of_intervals(new, old)
    return Change(
        value=value, interval=interval, basis="intervals", reason=reason, p_value=_p(new, value, interval)
    )


def _points(group: Sequence[KeptCheck]) -> tuple[Point, ...]:
    points, before = [], None
    for check in group:
        change = None
        if check.value is not None:
            change = change_between(check, before) if before else None
            before = before if check.sound is False else check
        points.append(Point(check=check, change=change))
    return tuple(points)


def _differing(new: KeptCheck, old: KeptCheck) -> str:
    """Why two values say nothing about each other, as a clause; "" where they do."""
    if new.sound is False or old.sound is False:
        return "embeddings are not sound"
    if new.neighbors != old.neighbors:
        return f"k is {new.neighbors}, before {old.neighbors}"
    if new.metric_version != old.metric_version:
        return f"the metric is of version {new.metric_version}, before {old.metric_version}"
    return "" if new.direction == old.direction else "the bound is on the other side"


def _by_slides(new: KeptCheck, old: KeptCheck) -> Change:
    """A change by what both intervals were drawn from; not paired where no slide tells of a value."""
    here, there = new.resampling, old.resampling
    assert here is not None and there is not None  # noqa: S101, PT018 (the caller looked)

    def at(confidence: float) -> Difference:
        return difference(here, there, confidence=confidence)

    made = at(CONFIDENCE)
    if made.interval is None:
        raise MetricError("no slide has another one beside it", remedy="compare the intervals")
    p = _p(new, made.value, made.interval)
    if p <= _WORTH_A_LOOK:
        exact = p_value(_as_measurement(new, made.value, made.interval), 0.0, lambda c: at(c).interval)
        p = p if exact is None else exact
    reason = _NOT_DRAWN if why_not_drawn((here, there)) else ""
    return Change(
        value=made.value,
        interval=made.interval,
        basis="intervals" if reason else "paired",
        reason=reason,
        p_value=p,
    )


def _of_intervals(new: KeptCheck, old: KeptCheck) -> tuple[float, float]:
    """The interval of a difference from those of two independent values: squares of their sides add up."""
    sides = [_errors(one) for one in (new, old)]
    value, quantile = new.value - old.value, _quantile(CONFIDENCE)  # type: ignore[operator]
    below = math.hypot(sides[0][0], sides[1][1])
    above = math.hypot(sides[0][1], sides[1][0])
    return value - quantile * below, value + quantile * above


def _errors(check: KeptCheck) -> tuple[float, float]:
    """Standard errors of a value below and above it, from its interval."""
    assert check.interval is not None and check.value is not None  # noqa: S101, PT018 (the caller looked)
    quantile = _quantile(check.confidence or CONFIDENCE)
    return (check.value - check.interval[0]) / quantile, (check.interval[1] - check.value) / quantile


def _quantile(confidence: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf((1 + confidence) / 2))


def _p(new: KeptCheck, value: float, interval: tuple[float, float]) -> float:
    """One-sided, of the hypothesis that the truth has not become worse."""
    toward = p_value(_as_measurement(new, value, interval), 0.0)
    assert toward is not None  # noqa: S101 (there is an interval)
    is_worse = value < 0 if new.direction == ">=" else value > 0
    return toward if is_worse else 1 - toward


def _as_measurement(check: KeptCheck, value: float, interval: tuple[float, float]) -> Measurement:
    return Measurement(
        metric=check.metric, value=value, interval=interval, confidence=CONFIDENCE, support=None, rows=0
    )


def _corrected(trends: Sequence[Trend]) -> tuple[Trend, ...]:
    """The trends with p-values after Holm's correction (Holm 1979)."""
    known = sorted(change.p_value for change in compared(trends) if change.p_value is not None)
    by_p: dict[float, float] = {}
    highest = 0.0
    for place, p in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - place)))
        by_p.setdefault(p, highest)

    def corrected(point: Point) -> Point:
        change = point.change
        if change is None or change.p_value is None:
            return point
        return replace(point, change=replace(change, corrected=by_p[change.p_value]))

    return tuple(replace(trend, points=tuple(map(corrected, trend.points))) for trend in trends)
