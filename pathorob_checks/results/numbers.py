"""Intervals and changes as text, with enough decimals to show what is said about them."""

from __future__ import annotations

from pathorob_checks.criteria.verdict import written
from pathorob_checks.metrics.definition import Direction
from pathorob_checks.metrics.measurement import Interval
from pathorob_checks.results.check import Check

_DIGITS = range(3, 10)


def interval_text(interval: Interval) -> str:
    """`[0.301, 0.322]`; what rounds to zero has no sign."""
    return "[{:z.3f}, {:z.3f}]".format(*interval)


def judged_interval(interval: Interval, bound: float, direction: Direction) -> str:
    """With enough decimals to show which ends meet the bound."""
    return "[{}, {}]".format(*(written(end, bound, direction)[0] for end in interval))


def check_interval(check: Check) -> str:
    """The interval of a check, with enough decimals to show which ends meet its bound; "" without one."""
    return judged_interval(check.interval, check.bound, check.direction) if check.interval else ""


def change_and_interval(change: float, interval: Interval | None) -> tuple[str, str]:
    """A change with its sign, and its interval: `+0.147` and `[0.00021, 0.295]`; "" without an interval.

    Where the whole interval is on one side of 0, no number has so few decimals that it looks like 0.
    """
    if interval is None or interval[0] <= 0 <= interval[1]:
        return f"{change:+z.3f}", interval_text(interval) if interval else ""
    return _not_zero(change, "+"), "[{}, {}]".format(*(_not_zero(end) for end in interval))


def _not_zero(number: float, sign: str = "") -> str:
    for digits in _DIGITS:
        text = f"{number:{sign}z.{digits}f}"
        if float(text):
            return text
    return f"{number:{sign}.1e}" if number else "0.000"
