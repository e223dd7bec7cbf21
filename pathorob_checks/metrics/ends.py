"""Intervals where a value is at an end of its scale: no slide makes a difference, yet it is not certain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pathorob_checks.metrics.intervals import intervals_of
from pathorob_checks.metrics.measurement import Interval
from pathorob_checks.metrics.resampling import Resampling

# What a share p of slides that behave like all that were seen gives at least.
_REACHED: Mapping[str, Callable[[float], float]] = {
    "robustness_index": lambda p: p,
    "clustering_score": lambda p: max(0.0, 2 * p - 1) ** 2,  # adjusted Rand index of two equal groups
}
_LOWEST: Mapping[str, float] = {"robustness_index": 0.0, "clustering_score": -1.0}


def end_interval(metric: str, value: float, slides: int, confidence: float) -> Interval:
    """Interval for a value at an end of its scale, from the number of slides that tell of it.

    Were a share p of all slides like those, all of n independent ones would be with a chance of p^n; the
    lowest p that is not too rare is the far end (Clopper and Pearson 1934).
    """
    p = ((1 - confidence) / 2) ** (1 / max(1, slides))
    reach = _REACHED[metric](p)
    if value == 1:
        return (reach, 1.0)
    lowest = _LOWEST[metric]
    return (lowest, 1 - reach if lowest == 0 else -reach)


def own_interval(side: Resampling, confidence: float, draws: int, seed: int) -> Interval | None:
    """The interval of a measurement by what it was drawn from."""
    return own_intervals(side, (confidence,), draws, seed)[0]


def own_intervals(
    side: Resampling, confidences: Sequence[float], draws: int, seed: int
) -> list[Interval | None]:
    """`own_interval` at several confidences."""
    if side.telling is not None:
        return [end_interval(side.metric, side.value, side.telling, each) for each in confidences]
    return intervals_of(side, confidences, draws, seed)


def combined(
    sides: Sequence[Resampling], weights: Sequence[float], confidence: float, draws: int, seed: int
) -> Interval | None:
    """Interval of a weighted sum of measurements from the interval of each, as if they were independent.

    Distances from the value to the near and far ends are squared and added (Newcombe 1998); None where one
    of them has no interval. For values on the same slides it is wide: what they share does not cancel.
    """
    below = above = total = 0.0
    for side, weight in zip(sides, weights, strict=True):
        interval = own_interval(side, confidence, draws, seed)
        if interval is None:
            return None
        low, high = sorted(weight * end for end in interval)
        total += weight * side.value
        below += (weight * side.value - low) ** 2
        above += (high - weight * side.value) ** 2
    return total - float(np.sqrt(below)), total + float(np.sqrt(above))
