"""The paired difference of two measurements: same slides, same repetitions, another FM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.ends import combined, why_not_drawn
from pathorob_checks.metrics.intervals import (
    CONFIDENCE,
    DRAWS,
    SEED,
    check_settings,
    enclosing,
    from_scale,
    reach,
    tails,
    to_scale,
    widening,
)
from pathorob_checks.metrics.measurement import Interval, Measurement
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.strata import Strata

_NOTES = {
    "slides": "Paired: the same {noun}s are drawn for both.",
    "repetitions": "Paired: Student's t of the differences of the same repetitions; other slides are not "
    "covered.",
    "slides and repetitions": "Paired: Student's t with the differences of the effects of the same slides "
    "and repetitions.",
}
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Difference:
    """New minus base: positive where the new FM has the higher value.

    Attributes
    ----------
    value : float
        In the metric's unit.
    interval : tuple of (float, float) or None
        Paired, at `confidence`; None where no unit can be compared with another.
    note : str
        How the interval was made.
    confidence : float
        Of the interval, between 0 and 1.

    See Also
    --------
    difference : The function that makes it.

    Examples
    --------
    >>> from pathorob_checks.metrics import Difference
    >>> change = Difference(value=-0.02, interval=(-0.05, 0.01), note="", confidence=0.95)
    >>> change.value, change.interval
    (-0.02, (-0.05, 0.01))
    """

    value: float
    interval: Interval | None
    note: str
    confidence: float


def difference(
    new: Measurement | Resampling,
    base: Measurement | Resampling,
    *,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Difference:
    """Difference of two measurements on the same slides (repetitions), with a paired interval.

    Every draw takes the same slides for both, so that what a slide does to both cancels.

    Parameters
    ----------
    new : Measurement or Resampling
        Of the FM in question.
    base : Measurement or Resampling
        Of the FM that it is compared with, on the same cohort by the same protocol.
    confidence : float, default 0.95
        Of the interval, between 0 and 1.
    draws : int, default 2000
        Number of bootstrap draws, at least 100.
    seed : int, default 17845
        Of the draws, from a NumPy generator of their own.

    Returns
    -------
    Difference
        New minus base, and its interval.

    Raises
    ------
    MetricError
        One of the two has nothing to draw from; or metric, protocol, slides or repetitions differ; or a
        confidence outside 0 to 1 or too few draws.

    Notes
    -----
    Repetitions have a Student's t interval of their differences. Where a value is at an end of its scale, no
    slide makes a difference, and where one is unstable, no slide alone; then the interval is not paired:
    distances from each value to the ends of its own interval are squared and added [1]_.

    References
    ----------
    .. [1] Newcombe 1998. Interval estimation for the difference between independent proportions: comparison
       of eleven methods. Statistics in Medicine 17, 873-890.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import difference, robustness_index
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> base = robustness_index(embeddings, patches, k=5)
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")  # a larger distance between the centers
    >>> new = robustness_index(embeddings, patches, k=5)
    >>> change = difference(new.measurement(), base.measurement())
    >>> round(change.value, 2)
    -0.3
    >>> change.interval[1] < 0
    True
    """
    first, second = _resampling(new, "new"), _resampling(base, "base")
    check_settings(confidence, first.metric, draws)
    refuse_unpaired(first, second)
    order = {key: place for place, key in enumerate(zip(second.units, second.cells, strict=True))}
    places = [order[key] for key in zip(first.units, first.cells, strict=True)]
    effects = np.stack([np.array(first.effects), np.array(second.effects)[places]], axis=1)
    value = first.value - second.value
    note = _NOTES[first.drawn].format(noun=first.noun)
    if reason := why_not_drawn((first, second)):
        interval = combined((first, second), (1, -1), confidence, draws, seed)
        note = f"{reason}. The interval is therefore not paired but combines those of both; it is wide."
        return Difference(
            value=value,
            interval=interval and enclosing((value,), *interval),
            note=note,
            confidence=confidence,
        )
    strata = Strata(first.cells, first.weights)
    if strata.says_nothing(first.drawn):
        return Difference(value=value, interval=None, note="", confidence=confidence)
    residuals = strata.residuals(effects)
    slopes = np.array([_slope(side) for side in (first, second)])
    freedom = strata.degrees_of_freedom(residuals @ (slopes * (1, -1)))
    if first.drawn != "slides":
        variance = float(((residuals @ (1, -1)) ** 2).sum())
        least = float(np.hypot(first.least_error, second.least_error))
        half = reach(variance, freedom, least, confidence)
        away = np.array([-half, half])
    else:
        drawn = strata.draw(residuals, draws, np.random.default_rng(seed))
        sides = [
            from_scale(to_scale(side.value, side.scale) + drawn[:, column], side.scale)
            for column, side in enumerate((first, second))
        ]
        away = np.quantile(sides[0] - sides[1], tails(confidence)) - value
        away *= widening(freedom, confidence)
    return Difference(
        value=value,
        interval=enclosing((value,), value + away[0], value + away[1]),
        note=note,
        confidence=confidence,
    )


def refuse_unpaired(new: Resampling, base: Resampling) -> None:
    """Raise MetricError where two measurements do not share metric, protocol and units."""
    if new.metric != base.metric:
        raise MetricError(
            f"{new.metric} and {base.metric} have no difference", remedy="compare values of one metric"
        )
    settings = sorted(
        key for key in {*new.protocol, *base.protocol} if new.protocol.get(key) != base.protocol.get(key)
    )
    if settings or new.drawn != base.drawn:
        differing = ", ".join(
            f"{key} {base.protocol.get(key)!r} and {new.protocol.get(key)!r}" for key in settings
        )
        raise MetricError(
            f"{new.metric}: base and new were measured by different protocols ({differing or 'other units'})",
            remedy="measure the base again with the same cohort and settings",
        )
    here, there = (set(zip(side.units, side.cells, strict=True)) for side in (new, base))
    if here != there:
        only = sorted(unit for unit, _ in here ^ there)
        raise MetricError(
            f"{new.metric}: base and new were not measured on the same {new.noun}s ({len(only)} differ, "
            f"among them {', '.join(map(repr, only[:_SHOWN]))})",
            remedy="measure the base again on this cohort",
        )


def _resampling(side: Measurement | Resampling, name: str) -> Resampling:
    resampling = side.resampling if isinstance(side, Measurement) else side
    if resampling is None:
        raise MetricError(
            f"the {name} measurement has no slides or repetitions to draw from",
            remedy="measure it again with this version",
        )
    return resampling


def _slope(side: Resampling) -> float:
    """How much the value changes with its scale."""
    return side.value * (1 - side.value) if side.scale == "logit" else 1.0
