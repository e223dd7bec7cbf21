"""What is taken of many margins: their median, the share below zero, and the mean of the worst tenth.

Each statistic has an influence function: by how much the statistic moves, to first order, when the share of
patches with some margin grows. Effects of slides are sums of it (Hampel 1974, The influence curve and its
role in robust estimation, Journal of the American Statistical Association 69, 383-393).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.resampling import Scale

Float64 = npt.NDArray[np.float64]
TAIL = 0.10  # share of the patches whose mean is the lower tail's
_LEAST_SPREAD, _MOST_SPREAD = 0.02, 0.4  # of shares of patches, about the median


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A number taken of (Q,) margins.

    Attributes
    ----------
    metric : name of the metric.
    value : the number.
    influence : from all margins to a function of some margins.
    scale : on which effects add up.
    slope : from all margins and the standard error of the influence's sum to a factor of the influence; None
        where there is none.
    """

    metric: str
    value: Callable[[Float64], float]
    influence: Callable[[Float64], Callable[[Float64], Float64]]
    scale: Scale
    slope: Callable[[Float64, float], float] | None = None


def _median_influence(margins: Float64) -> Callable[[Float64], Float64]:
    """In shares of patches; the slope of the quantiles makes it one in margins."""
    middle = np.median(margins)
    return lambda some: np.sign(some - middle) / 2


def _quantile_slope(margins: Float64, error: float) -> float:
    """How far the quantiles go apart per share of patches, within a standard error of the median's place."""
    spread = min(max(error, _LEAST_SPREAD), _MOST_SPREAD)
    low, high = np.quantile(margins, (0.5 - spread, 0.5 + spread))
    return float(high - low) / (2 * spread)


def share_below_zero(margins: Float64) -> float:
    """Share of margins of 0 or less: nothing about a margin of exactly 0 says that biology decides."""
    return float((margins <= 0).mean())


def _share_influence(margins: Float64) -> Callable[[Float64], Float64]:
    share = share_below_zero(margins)
    return lambda some: (some <= 0).astype(np.float64) - share


def tail_mean(margins: Float64) -> float:
    """Mean of the margins up to the 10 % quantile, which is interpolated linearly between margins."""
    return float(margins[margins <= np.quantile(margins, TAIL)].mean())


def _tail_influence(margins: Float64) -> Callable[[Float64], Float64]:
    border, mean = float(np.quantile(margins, TAIL)), tail_mean(margins)
    return lambda some: np.asarray(np.minimum(some - border, 0) / TAIL + border - mean, dtype=np.float64)


STATISTICS = (
    Statistic(
        metric="croma_median",
        value=lambda margins: float(np.median(margins)),
        influence=_median_influence,
        slope=_quantile_slope,
        scale="bounded",
    ),
    Statistic(
        metric="croma_f0",
        value=share_below_zero,
        influence=_share_influence,
        scale="logit",
    ),
    Statistic(
        metric="croma_ltm10",
        value=tail_mean,
        influence=_tail_influence,
        scale="bounded",
    ),
)
