"""One value for several cohorts: their mean, and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.ends import combined
from pathorob_checks.metrics.intervals import (
    CONFIDENCE,
    DRAWS,
    SEED,
    check_settings,
    from_scale,
    tails,
    to_scale,
    widening,
)
from pathorob_checks.metrics.measurement import Interval, Measurement
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.strata import Float64, Strata
from pathorob_checks.wording import counted


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """Mean over cohorts, each with the same weight; `interval` and `note` as in `Measurement`."""

    metric: str
    value: float
    interval: Interval | None
    note: str
    confidence: float
    cohorts: int


def mean_over_cohorts(
    measurements: Sequence[Measurement | Resampling],
    *,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Aggregate:
    """Mean of one metric over cohorts.

    Performance drops have the Masson-Loftus interval over all repetitions (`masson_loftus`). For robustness
    index and clustering score every cohort's slides are drawn independently and the draws averaged; the
    cohorts themselves are given, not drawn.

    Raises
    ------
    MetricError
        No measurements, other metrics among them, or one without anything to draw from.
    """
    given = [side.resampling if isinstance(side, Measurement) else side for side in measurements]
    sides = [side for side in given if side is not None]
    metrics = sorted({side.metric for side in sides})
    if not sides or len(sides) < len(given) or len(metrics) != 1:
        raise MetricError(
            f"no mean over cohorts of {counted(len(given), 'measurement')} ({', '.join(metrics) or 'none'})",
            remedy="give measurements of one metric, each with its slides or repetitions",
        )
    check_settings(confidence, metrics[0], draws)
    value = float(np.mean([side.value for side in sides]))
    if sides[0].drawn == "repetitions":
        values = [side.value + np.array(side.effects) * len(side.effects) for side in sides]
        value, interval = masson_loftus(values, confidence=confidence)
        cohorts = counted(len(sides), "cohort")
        note = (
            f"Masson-Loftus: Student's t over {sum(map(len, values))} repetitions of {cohorts}, "
            "each cohort's mean set to the overall mean; neither new slides nor other cohorts are covered."
        )
        return Aggregate(
            metric=metrics[0],
            value=value,
            interval=interval,
            note=note,
            confidence=confidence,
            cohorts=len(sides),
        )
    if any(side.informative_slides is not None for side in sides):
        return Aggregate(
            metric=metrics[0],
            value=value,
            interval=combined(sides, [1 / len(sides)] * len(sides), confidence, draws, seed),
            note=f"From the intervals of {len(sides)} cohorts, because a value is at an end of its scale; "
            "other cohorts are not covered.",
            confidence=confidence,
            cohorts=len(sides),
        )
    generators = np.random.default_rng(seed).spawn(len(sides))
    drawn, variances, freedoms = np.zeros(draws), [], []
    for side, generator in zip(sides, generators, strict=True):
        strata = Strata(side.cells)
        residuals = strata.residuals(np.array(side.effects))
        place = to_scale(side.value, side.scale)
        values_drawn = from_scale(place + strata.draw(residuals[:, None], draws, generator)[:, 0], side.scale)
        drawn += values_drawn / len(sides)
        variances.append(float(values_drawn.var()))
        freedoms.append(strata.degrees_of_freedom(residuals))
    total = sum(variances)
    parts = zip(variances, freedoms, strict=True)
    freedom = total**2 / sum(v**2 / f for v, f in parts) if total else np.inf
    away = (np.quantile(drawn, tails(confidence)) - value) * widening(freedom, confidence)
    return Aggregate(
        metric=metrics[0],
        value=value,
        interval=(value + float(away[0]), value + float(away[1])),
        note=f"Slides of each of {len(sides)} cohorts drawn independently; other cohorts are not covered.",
        confidence=confidence,
        cohorts=len(sides),
    )


def masson_loftus(
    values: Sequence[Sequence[float] | Float64], *, confidence: float = CONFIDENCE
) -> tuple[float, Interval]:
    """Mean of all values, and its Student's t interval after each cohort's mean was set to the overall mean.

    Parameters
    ----------
    values : of each cohort, one per repetition.

    Source: Masson and Loftus 2003, as PathoROB uses it over three cohorts of 20 repetitions. Degrees of
    freedom are values - 1, so 59 (the published figures use 60, which is 0.03 % narrower).

    Raises
    ------
    MetricError : fewer than two values.
    """
    from scipy.stats import t as student_t

    cohorts = [np.asarray(cohort, dtype=np.float64) for cohort in values]
    everything = np.concatenate(cohorts) if cohorts else np.zeros(0)
    if len(everything) < 2:
        raise MetricError(f"{len(everything)} values have no spread", remedy="give at least two repetitions")
    mean = float(everything.mean())
    level = np.concatenate([cohort - cohort.mean() + mean for cohort in cohorts])
    quantile = student_t.ppf((1 + confidence) / 2, len(level) - 1)
    half = float(quantile * level.std(ddof=1) / np.sqrt(len(level)))
    return mean, (mean - half, mean + half)
