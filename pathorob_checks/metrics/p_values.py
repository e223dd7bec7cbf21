"""How far a bound is from a value, as the confidence at which the interval just reaches it."""

from __future__ import annotations

from collections.abc import Callable

from pathorob_checks.metrics.measurement import Interval, Measurement

IntervalAt = Callable[[float], Interval | None]
_STEPS = 30
_WIDEST = 0.999  # confidence; of 2,000 draws hardly one lies beyond such an interval
_LEAST = 1e-9


def p_value(
    measurement: Measurement, bound: float, interval_at: IntervalAt | None = None, *, drift: float = 0.0
) -> float | None:
    """One-sided p-value of the hypothesis that the truth is on the other side of the bound than the value.

    Parameters
    ----------
    measurement : Measurement
        The value with its interval.
    bound : float
        On the metric's scale.
    interval_at : callable, optional
        Gives the interval at any confidence. None: the measurement's own interval is scaled, as if its sides
        were those of a normal distribution.
    drift : float, default 0
        By how much the precision of the forward pass may move the value; it brings the bound nearer.

    Returns
    -------
    float or None
        At most 0.5; None without an interval.

    Notes
    -----
    At confidence c the interval ends at a distance from the value that the truth exceeds with probability
    (1 - c) / 2. The p-value is that probability for the c at which the interval reaches the bound, so that
    p <= (1 - c) / 2 says the same as an interval at c that lies on one side of the bound. Beyond 99.9 % the
    side of the interval is scaled as that of a normal distribution.
    """
    if measurement.interval is None:
        return None
    distance = abs(measurement.value - bound) - drift
    if distance <= 0:
        return 0.5
    side = 0 if bound < measurement.value else 1

    def reach(confidence: float) -> float:
        assert interval_at is not None  # noqa: S101 (for the type checker)
        interval = interval_at(confidence)
        return abs(interval[side] - measurement.value) if interval else float("inf")

    if interval_at is None:
        return _scaled(distance, abs(measurement.interval[side] - measurement.value), measurement.confidence)
    low, high = 0.0, _WIDEST
    if (widest := reach(high)) < distance:
        return _scaled(distance, widest, high)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if reach(middle) < distance else (low, middle)
    return (1 - high) / 2


def _scaled(distance: float, half: float, confidence: float) -> float:
    from scipy.stats import norm

    if half == 0:
        return _LEAST
    quantile = norm.ppf((1 + confidence) / 2)
    return min(max(float(norm.sf(quantile * distance / half)), _LEAST), 0.5)
