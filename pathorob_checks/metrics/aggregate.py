"""One value for several cohorts: their mean, and its interval."""

from __future__ import annotations

from collections.abc import Sequence
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
from pathorob_checks.metrics.strata import Float64, Strata
from pathorob_checks.wording import counted


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """Mean of one metric over cohorts, each with the same weight.

    Attributes
    ----------
    metric : str
        Name of the metric.
    value : float
        The mean, on the metric's scale.
    interval : tuple of (float, float) or None
        At `confidence`, as in `Measurement`.
    note : str
        How the interval was made and what it leaves out, as `interval_note` of `Measurement`.
    confidence : float
        Of the interval, between 0 and 1.
    cohorts : int
        Number of cohorts.

    See Also
    --------
    mean_over_cohorts : The function that makes it.

    Examples
    --------
    >>> from pathorob_checks.metrics import Aggregate
    >>> mean = Aggregate(
    ...     metric="robustness_index", value=0.6, interval=(0.5, 0.7), note="", confidence=0.95, cohorts=3
    ... )
    >>> mean.value, mean.cohorts
    (0.6, 3)
    """

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

    The slides of every cohort are independent: for performance drops their variances are added, for
    robustness index and clustering score their draws are averaged. The cohorts themselves are given, not
    drawn.

    Parameters
    ----------
    measurements : sequence of Measurement or Resampling
        One for each cohort, all of the same metric.
    confidence : float, default 0.95
        Of the interval, between 0 and 1.
    draws : int, default 2000
        Number of bootstrap draws, at least 100.
    seed : int, default 17845
        Of the draws, from a NumPy generator of their own.

    Returns
    -------
    Aggregate
        The mean, each cohort with the same weight, and its interval.

    Raises
    ------
    MetricError
        No measurements, other metrics among them, one without anything to draw from, a confidence outside 0
        to 1 or too few draws.

    Notes
    -----
    Where a value is at an end of its scale, or unstable, distances from the value to the ends of the cohorts'
    intervals are squared and added [2]_. The mean of drops is that of PathoROB [1]_ over its three cohorts.

    References
    ----------
    .. [1] PathoROB. Nature Communications 17, 5218 (2026).
    .. [2] Newcombe 1998. Interval estimation for the difference between independent proportions: comparison
       of eleven methods. Statistics in Medicine 17, 873-890.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import mean_over_cohorts, robustness_index
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> cohorts = []
    >>> for seed in (0, 1):
    ...     embeddings = np.random.default_rng(seed).normal(size=(len(patches), 8))
    ...     embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    ...     embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    ...     cohorts.append(robustness_index(embeddings, patches, k=5).measurement())
    >>> mean = mean_over_cohorts(cohorts)
    >>> round(mean.value, 2), mean.cohorts
    (0.62, 2)
    >>> mean.interval[0] < mean.value < mean.interval[1]
    True
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
    if reason := why_not_drawn(sides):
        together = combined(sides, [1 / len(sides)] * len(sides), confidence, draws, seed)
        return Aggregate(
            metric=metrics[0],
            value=value,
            interval=together and enclosing((value,), *together),
            note=f"{reason}. The intervals of {len(sides)} cohorts are therefore combined; other cohorts are "
            "not covered.",
            confidence=confidence,
            cohorts=len(sides),
        )
    if sides[0].drawn != "slides":
        return Aggregate(
            metric=metrics[0],
            value=value,
            interval=_student(sides, value, confidence),
            note=f"Student's t with the effects of the slides and repetitions of {len(sides)} independent "
            "cohorts; other cohorts are not covered.",
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
    uncertain = sum((v / total) ** 2 / f for v, f in zip(variances, freedoms, strict=True)) if total else 0
    freedom = 1 / uncertain if uncertain else np.inf  # effects of rounding alone have no degrees of freedom
    away = (np.quantile(drawn, tails(confidence)) - value) * widening(freedom, confidence)
    return Aggregate(
        metric=metrics[0],
        value=value,
        interval=enclosing((value,), value + away[0], value + away[1]),
        note=f"Slides of each of {len(sides)} cohorts drawn independently; other cohorts are not covered.",
        confidence=confidence,
        cohorts=len(sides),
    )


def _student(sides: Sequence[Resampling], value: float, confidence: float) -> Interval | None:
    """Of a mean of independent values: their variances are added, with Satterthwaite's degrees of freedom."""
    variances, freedoms = [], []
    for side in sides:
        strata = Strata(side.cells, side.weights)
        if strata.says_nothing(side.drawn):
            return None
        residuals = strata.residuals(np.array(side.effects))
        variances.append(float((residuals**2).sum()))
        freedoms.append(strata.degrees_of_freedom(residuals))
    total = sum(variances)
    parts = sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    least = float(np.linalg.norm([side.least_error for side in sides]))
    half = reach(total, total**2 / parts if parts else np.inf, least, confidence) / len(sides)
    return value - half, value + half


def masson_loftus(
    values: Sequence[Sequence[float] | Float64], *, confidence: float = CONFIDENCE
) -> tuple[float, Interval]:
    """Mean of all values, and its Student's t interval after each cohort's mean was set to the overall mean.

    Parameters
    ----------
    values : sequence of (R,) array_like of float
        One array for each cohort, with one value for each of its R repetitions.
    confidence : float, default 0.95
        Of the interval, between 0 and 1.

    Returns
    -------
    mean : float
        Of all values.
    interval : tuple of (float, float)
        Its ends (low, high).

    Raises
    ------
    MetricError
        Fewer than two values.

    Notes
    -----
    Source: Masson and Loftus 2003 [1]_, as PathoROB [2]_ uses it over three cohorts of 20 repetitions.
    Degrees of freedom are values - 1, so 59 (the published figures use 60, which is 0.03 % narrower).

    References
    ----------
    .. [1] Masson and Loftus 2003. Using confidence intervals for graphically based data interpretation.
       Canadian Journal of Experimental Psychology 57, 203-220.
    .. [2] PathoROB. Nature Communications 17, 5218 (2026).

    Examples
    --------
    >>> from pathorob_checks.metrics import masson_loftus
    >>> mean, (low, high) = masson_loftus([[-0.10, -0.06], [-0.02, -0.04]])
    >>> round(mean, 3), round(low, 3), round(high, 3)
    (-0.055, -0.084, -0.026)
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
