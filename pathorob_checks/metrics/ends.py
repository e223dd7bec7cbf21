"""Intervals where all slides are alike, as at an end of the scale: their effects show no spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pathorob_checks.metrics.intervals import enclosing, intervals_of, reach
from pathorob_checks.metrics.measurement import Interval, interval_of_worst
from pathorob_checks.metrics.registry import metric
from pathorob_checks.metrics.resampling import Candidate, Resampling
from pathorob_checks.wording import counted


def end_interval(name: str, value: float, slides: int, confidence: float) -> Interval | None:
    """Interval for a value to which all slides contribute alike, from the number of informative slides.

    If a share p of all slides were like those seen, all of n independent ones would be with probability p^n;
    the lowest p that is not too improbable gives the far end (Clopper and Pearson 1934). A value within the
    scale can be as far from the truth on both sides. None for a metric whose definition has no rule for the
    ends of its scale.
    """
    definition = metric(name)
    if definition.guaranteed is None:
        return None
    p = ((1 - confidence) / 2) ** (1 / max(1, slides))
    lowest, highest = definition.lowest, definition.highest
    unseen = highest - definition.guaranteed(p)
    inside = min(max(value, lowest), highest)
    return enclosing((value,), max(lowest, inside - unseen), min(highest, inside + unseen))


def own_interval(side: Resampling, confidence: float, draws: int, seed: int) -> Interval | None:
    """The interval of a measurement from its resampling."""
    return own_intervals(side, (confidence,), draws, seed)[0]


def own_intervals(
    side: Resampling, confidences: Sequence[float], draws: int, seed: int
) -> list[Interval | None]:
    """`own_interval` at several confidences."""
    if side.candidates is not None:
        return [worst_interval(side.metric, side.candidates, each) for each in confidences]
    slides = side.informative_slides
    if slides is None:
        return intervals_of(side, confidences, draws, seed)
    ends = [end_interval(side.metric, side.value, slides, each) for each in confidences]
    return [each and enclosing(side.jumps_between or (side.value,), *each) for each in ends]


def worst_interval(name: str, candidates: Sequence[Candidate], confidence: float) -> Interval | None:
    """Interval of the worst of several values of a metric, which allows for the choice (`worst_group`)."""
    together = 1 - (1 - confidence) / max(1, len(candidates))
    own, simultaneous = (
        [candidate_interval(name, one, level) for one in candidates] for level in (confidence, together)
    )
    return interval_of_worst(own, simultaneous, higher_is_better=metric(name).higher_is_better)


def candidate_interval(name: str, candidate: Candidate, confidence: float) -> Interval | None:
    """Student's t interval of one of several values, within the metric's range.

    Where all slides are alike it is that of an end of the scale; None where a slide stands alone.
    """
    if candidate.error is None:
        return None
    if candidate.are_alike:
        return end_interval(name, candidate.value, candidate.slides, confidence)
    half = reach(candidate.error**2, candidate.freedom or np.inf, candidate.least_error, confidence)
    low, high = candidate.value - half, candidate.value + half
    return enclosing((candidate.value,), max(low, metric(name).lowest), min(high, metric(name).highest))


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


def why_not_drawn(sides: Sequence[Resampling]) -> str:
    """Why effects of slides do not add up to an interval of these values together; "" where they do."""
    for side in sides:
        if side.candidates is not None:
            cells = counted(len(side.candidates), "center x class", "centers x classes")
            return f"The value is the worst of {cells}, and of other slides another one may be the worst"
        if side.informative_slides is not None:
            if side.value in (metric(side.metric).lowest, metric(side.metric).highest):
                where = f"A value of {side.value:g} is at the end of its scale"
            else:
                where = f"All slides contribute alike to a value of {side.value:g}"
            return f"{where}, where leaving a slide out changes nothing"
        if side.unstable:
            return f"{side.unstable[:1].upper()}{side.unstable[1:]}, which no effect of a single slide tells"
    return ""
