"""Where values lie beside their bounds, as the positions of a small drawing in a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pathorob_checks.results.check import Check

WIDTH = 100.0
_MARGIN = 4.0  # on both sides, so that a mark at an end of the scale is whole


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """Positions from the left, in `WIDTH`.

    Attributes
    ----------
    value, bound : of the check.
    low, high : ends of the interval; of no length where there is none.
    good, good_width : where the side of the bound that passes begins, and how wide it is.
    """

    value: float
    bound: float
    low: float
    high: float
    good: float
    good_width: float


def gauges(checks: Sequence[Check]) -> list[Gauge | None]:
    """A gauge for each check, None without a value; those of one metric and quantity share a scale."""
    alike: dict[tuple[str, bool], list[Check]] = {}
    for check in checks:
        if check.value is not None:
            alike.setdefault(_scale(check), []).append(check)
    ends = {scale: _ends(group) for scale, group in alike.items()}
    return [None if check.value is None else _gauge(check, *ends[_scale(check)]) for check in checks]


def _scale(check: Check) -> tuple[str, bool]:
    return check.metric, check.quantity == "difference"


def _ends(checks: Sequence[Check]) -> tuple[float, float]:
    numbers = [number for check in checks for number in _numbers(check)]
    return min(numbers), max(numbers)


def _gauge(check: Check, lowest: float, highest: float) -> Gauge:
    span = highest - lowest

    def place(number: float) -> float:
        share = (number - lowest) / span if span else 0.5
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    value, bound, low, high = map(place, _numbers(check))
    good = (bound, WIDTH) if check.direction == ">=" else (0.0, bound)
    width = round(good[1] - good[0], 1)
    return Gauge(value=value, bound=bound, low=low, high=high, good=good[0], good_width=width)


def _numbers(check: Check) -> tuple[float, float, float, float]:
    """Value, bound and ends of the interval."""
    assert check.value is not None  # noqa: S101 (the caller looked)
    low, high = check.interval or (check.value, check.value)
    return check.value, check.bound, low, high
