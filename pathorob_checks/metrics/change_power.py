"""How many slides per medical center and class would decide about a change: of a method, or from a baseline.

Results keep the paired interval of a change, and not the effects of the slides on it. The interval is taken
to narrow with the square root of the number of slides, and the change to be normally distributed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.intervals import CONFIDENCE, tails
from pathorob_checks.metrics.power import MOST_SLIDES, POWER, Planned


@dataclass(frozen=True, kw_only=True)
class MeasuredChange:
    """A change that was measured on the same slides as what it is compared with.

    Attributes
    ----------
    interval : tuple of (float, float)
        Paired, at `confidence`.
    slides : int
        Per cell (medical center x biological class), in the cell with fewest.
    confidence : float
        Of the interval.

    Raises
    ------
    MetricError
        The interval has no width, or there are no slides.

    Examples
    --------
    >>> from pathorob_checks.metrics.change_power import MeasuredChange
    >>> round(MeasuredChange(interval=(-0.05, 0.03), slides=10).error, 4)
    0.0204
    """

    interval: tuple[float, float]
    slides: int
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        if self.slides < 1:
            raise MetricError(
                "nothing says on how many slides of each medical center and class the change was measured",
                remedy="run the gate again with this version",
            )
        if not self.interval[0] < self.interval[1]:
            raise MetricError(
                "the interval of the change has no width, so that nothing says how slides differ",
                remedy="plan with the results of an FM that the change does something to",
            )

    @property
    def error(self) -> float:
        """The standard error of the change."""
        return (self.interval[1] - self.interval[0]) / 2 / _quantile(self.confidence)


def planned_change(measured: MeasuredChange, slides: int, *, bound: float, true: float) -> Planned:
    """Return what a cohort with some number of slides per cell would show of a change.

    Parameters
    ----------
    measured : MeasuredChange
        Of a cohort of the kind that is planned.
    slides : int
        Per medical center and biological class.
    bound, true : float
        The change that is to be decided about, and the true one that is assumed.

    Raises
    ------
    MetricError
        The true change is the bound.

    Examples
    --------
    >>> from pathorob_checks.metrics.change_power import MeasuredChange, planned_change
    >>> measured = MeasuredChange(interval=(-0.05, 0.03), slides=10)
    >>> few, many = (planned_change(measured, n, bound=-0.02, true=0.0) for n in (10, 40))
    >>> round(few.half_width / many.half_width, 3), few.decides < many.decides
    (2.0, True)
    """
    from scipy.stats import norm

    quantile, distance = _quantile(measured.confidence), _distance(bound, true)
    error = measured.error * math.sqrt(measured.slides / slides)
    decides = float(norm.sf(quantile - distance / error))
    return Planned(slides=slides, half_width=quantile * error, decides=decides)


def slides_needed_for_change(
    measured: MeasuredChange, *, bound: float, true: float, power: float = POWER
) -> int | None:
    """Return the number of slides per cell with which a change is decided with some probability.

    Parameters
    ----------
    measured, bound, true
        As for `planned_change`.
    power : float, default 0.8
        Probability of PASS or FAIL instead of INCONCLUSIVE, between 0 and 1.

    Returns
    -------
    int or None
        Slides per medical center and biological class; None where not even a million would do.

    Raises
    ------
    MetricError
        The true change is the bound, or a probability outside 0 to 1.

    Examples
    --------
    >>> from pathorob_checks.metrics.change_power import MeasuredChange, slides_needed_for_change
    >>> slides_needed_for_change(MeasuredChange(interval=(-0.05, 0.03), slides=10), bound=-0.02, true=0.0)
    82
    """
    from scipy.stats import norm

    if not 0 < power < 1:
        raise MetricError(f"a probability of {power} cannot be planned for", remedy="use e.g. 0.8")
    errors = max(0.0, _quantile(measured.confidence) + float(norm.ppf(power)))
    times = (errors * measured.error / _distance(bound, true)) ** 2
    needed = max(2.0, math.ceil(times * measured.slides)) if times < MOST_SLIDES else math.inf
    return int(needed) if needed <= MOST_SLIDES else None


def _quantile(confidence: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(tails(confidence)[1]))


def _distance(bound: float, true: float) -> float:
    if true == bound:
        raise MetricError(
            f"no number of slides decides about a true change of {true:g} that is the bound itself",
            remedy="assume another true change",
        )
    return abs(true - bound)
