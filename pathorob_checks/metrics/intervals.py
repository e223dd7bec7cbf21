"""Intervals from the effects of slides, repetitions and trials."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.resampling import Resampling, Scale
from pathorob_checks.metrics.strata import Float64, Strata

CONFIDENCE = 0.95
DRAWS = 2000
SEED = 17845  # of every interval, unless another is given
_ENDS: dict[Scale, tuple[float, float]] = {"bounded": (-1, 1), "share": (0, 1), "fisher": (-1, 1)}


def check_settings(confidence: float, metric: str, draws: int = DRAWS) -> None:
    """Raise MetricError for a confidence outside (0, 1) or too few draws."""
    if not 0 < confidence < 1:
        raise MetricError(f"{metric}: confidence {confidence} gives no interval", remedy="use e.g. 0.95")
    if draws < 100:
        raise MetricError(f"{metric}: {draws} draws give no interval", remedy="use at least 100")


def to_scale(value: float, scale: Scale) -> float:
    """A value on the scale on which effects add up."""
    if scale == "logit":
        return math.log(value / (1 - value))
    return value


def from_scale(points: Float64, scale: Scale) -> Float64:
    """Back to the metric's own scale."""
    if scale == "logit":
        return np.asarray(0.5 * (1 + np.tanh(points / 2)))
    ends = _ENDS.get(scale)
    return np.clip(points, *ends) if ends else points


def interval_of(
    resampling: Resampling, *, confidence: float = CONFIDENCE, draws: int = DRAWS, seed: int = SEED
) -> tuple[float, float] | None:
    """Interval of a value from the effects of the units that it was measured on.

    Parameters
    ----------
    resampling : Resampling
        The value, and how much it changes without each slide or repetition.
    confidence : float, default 0.95
        Of the interval.
    draws : int, default 2000
        Number of bootstrap draws of slides.
    seed : int, default 17845
        Of the draws, which come from a generator of their own.

    Returns
    -------
    tuple of float, or None
        The two ends on the metric's scale; None where no unit has another one in its cell, and for drops
        where some unit has none.

    Notes
    -----
    Slides: percentiles of bootstrap draws of the effects, on the scale on which they add up, about the value;
    distances to it times the ratio of Student's t to normal quantiles, with Satterthwaite's degrees of
    freedom, because few slides say little about how slides vary. Where repetitions take part: Student's t,
    with the same degrees of freedom. A value that jumps between halves of the slides has an interval that
    includes the least and the greatest of theirs.

    Examples
    --------
    >>> from pathorob_checks.metrics import Resampling, interval_of
    >>> slides = Resampling(
    ...     metric="robustness_index", value=0.6, scale="logit", drawn="slides",
    ...     units=("a", "b", "c", "d"), cells=(("X / tumor",),) * 4,
    ...     effects=(0.1, -0.1, 0.05, -0.05), protocol={},
    ... )
    >>> low, high = interval_of(slides)
    >>> low < 0.6 < high
    True
    """
    return intervals_of(resampling, (confidence,), draws, seed)[0]


def intervals_of(
    resampling: Resampling, confidences: Sequence[float], draws: int, seed: int
) -> list[tuple[float, float] | None]:
    """`interval_of` at several confidences, from the same draws."""
    strata = Strata(resampling.cells, resampling.weights)
    if strata.says_nothing(resampling.drawn):
        return [None] * len(confidences)
    residuals = strata.residuals(np.array(resampling.effects))
    place, freedom = to_scale(resampling.value, resampling.scale), strata.degrees_of_freedom(residuals)
    drawn = None
    if resampling.drawn == "slides":
        drawn = strata.draw(residuals[:, None], draws, np.random.default_rng(seed))
    intervals: list[tuple[float, float] | None] = []
    for confidence in confidences:
        if resampling.scale == "fisher":
            least = reach(0.0, freedom, resampling.least_error, confidence)
            own = reach(float((residuals**2).sum()), freedom, 0.0, confidence)
            ends = _fisher_ends(place, own, least)
        elif drawn is None:
            half = reach(float((residuals**2).sum()), freedom, resampling.least_error, confidence)
            ends = from_scale(np.array([place - half, place + half]), resampling.scale)
        else:
            away = np.quantile(drawn, tails(confidence)) * widening(freedom, confidence)
            ends = from_scale(place + away, resampling.scale)
        known = (resampling.value, *(resampling.jumps_between or ()))
        intervals.append(enclosing(known, ends[0], ends[1]))
    return intervals


def _fisher_ends(value: float, own: float, least: float) -> Float64:
    """Ends on the scale of Fisher's z (1915), where a value near 1 is less skewed; least error or more."""
    ends = np.array([value, value])
    if abs(value) < 1:
        ends = np.tanh(np.arctanh(value) + np.array([-own, own]) / (1 - value**2))
    return np.asarray(np.clip([min(ends[0], value - least), max(ends[1], value + least)], -1, 1))


def enclosing(values: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """The ends, moved to the values where those lie beyond.

    A clustering score can pass 1 by a hair, because agreement by less than chance is below 0, while
    `bounded` ends at 1; and a sum in another order can differ from the value in its last digit.
    """
    return min(float(low), *values), max(float(high), *values)


def tails(confidence: float) -> tuple[float, float]:
    """Probabilities of the two ends."""
    return (1 - confidence) / 2, (1 + confidence) / 2


def reach(variance: float, freedom: float, least_error: float, confidence: float) -> float:
    """Half the length of Student's t interval, or of the normal one of the least error where that is more."""
    from scipy.stats import norm
    from scipy.stats import t as student_t

    _, upper = tails(confidence)
    own = float(student_t.ppf(upper, freedom) * math.sqrt(variance)) if variance else 0.0
    return max(own, float(norm.ppf(upper)) * least_error)


def widening(freedom: float, confidence: float) -> float:
    """Student's t quantile over the normal one."""
    from scipy.stats import norm
    from scipy.stats import t as student_t

    _, upper = tails(confidence)
    return float(student_t.ppf(upper, freedom) / norm.ppf(upper))
