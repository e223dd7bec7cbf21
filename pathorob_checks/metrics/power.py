"""How many slides per medical center and biological class would decide about a bound.

The interval of a planned cohort follows from the effects of the slides of a measured one. The variance that
the slides of a stratum make falls with their number, and so does the variance of clusters drawn anew; what
trials, combinations and repetitions make stays. Student's t has the degrees of freedom of the planned number.
A verdict is clear where the interval lies on one side of the bound: with a true value, that happens with the
probability of a noncentral t.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.ends import candidate_interval
from pathorob_checks.metrics.intervals import CONFIDENCE, SEED, from_scale, reach, tails, to_scale
from pathorob_checks.metrics.registry import metric
from pathorob_checks.metrics.resampling import Candidate, Resampling
from pathorob_checks.metrics.strata import Float64, Strata

POWER = 0.8
MOST_SLIDES = 1_000_000  # per cell: what needs more needs another bound
_FEWEST = 2  # one slide says nothing of how slides differ
_LASTING = {("trials",), ("combinations",), ("repetitions",)}  # strata whose part more slides leave as it is
_DRAWS = 1000  # cohorts drawn for the worst of several cells
_CERTAIN = 30.0  # standard errors


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a cohort with some number of slides per cell (medical center x biological class) would show.

    Attributes
    ----------
    slides : int
        Per cell.
    half_width : float
        Of the interval at the true value, in the metric's unit.
    decides : float
        Probability (0 to 1) that the whole interval lies on the true value's side of the bound, so that the
        verdict is PASS or FAIL and not INCONCLUSIVE.

    Examples
    --------
    >>> from pathorob_checks.metrics import Planned
    >>> Planned(slides=14, half_width=0.06, decides=0.81).decides
    0.81
    """

    slides: int
    half_width: float
    decides: float


def planned(
    resampling: Resampling, slides: int, *, bound: float, true: float, confidence: float = CONFIDENCE
) -> Planned:
    """Return what a cohort with some number of slides per cell would show, from a measured one.

    Parameters
    ----------
    resampling : Resampling
        Of the measured value.
    slides : int
        Per medical center and biological class, at least 2.
    bound : float
        That is to be decided about, on the metric's scale.
    true : float
        The true value that is assumed.
    confidence : float, default 0.95
        Of the interval.

    Returns
    -------
    Planned
        Half the width of the interval and the probability of a clear verdict.

    Raises
    ------
    MetricError
        The true value is the bound; the measured value is unstable, or changes as cells grow because its
        number of neighbors is fixed; all slides are alike, so that nothing says how
        slides differ; fewer than 2 slides; or a value that is not within the metric's scale.

    Notes
    -----
    With standard error s, f degrees of freedom and the distance d from the true value to the bound, the
    probability of a clear verdict is that of a noncentral t with f degrees of freedom and noncentrality d / s
    to exceed Student's t quantile [1]_. For the worst of several cells, cohorts are drawn.

    References
    ----------
    .. [1] Johnson and Welch 1940. Applications of the non-central t-distribution. Biometrika 31, 362-389.

    Examples
    --------
    >>> from pathorob_checks.metrics import Resampling, planned
    >>> measured = Resampling(
    ...     metric="robustness_index", value=0.55, scale="logit", drawn="slides",
    ...     units=tuple("abcdefgh"), cells=(("X / tumor",),) * 4 + (("Y / tumor",),) * 4,
    ...     effects=(0.1, -0.1, 0.05, -0.05) * 2, protocol={},
    ... )
    >>> few, many = (planned(measured, n, bound=0.5, true=0.55) for n in (4, 16))
    >>> few.half_width > many.half_width, few.decides < many.decides
    (True, True)
    """
    return _planner(resampling, bound=bound, true=true, confidence=confidence)(slides)


def slides_needed(
    resampling: Resampling,
    *,
    bound: float,
    true: float,
    power: float = POWER,
    confidence: float = CONFIDENCE,
) -> int | None:
    """Return the number of slides per cell with which a verdict is clear with some probability.

    Parameters
    ----------
    resampling : Resampling
        Of the measured value.
    bound : float
        That is to be decided about, on the metric's scale.
    true : float
        The true value that is assumed.
    power : float, default 0.8
        Probability of PASS or FAIL instead of INCONCLUSIVE, between 0 and 1.
    confidence : float, default 0.95
        Of the interval.

    Returns
    -------
    int or None
        Slides per medical center and biological class; None where not even a million would do, because
        trials or repetitions alone leave the value too uncertain.

    Raises
    ------
    MetricError
        As `planned`, or a probability outside 0 to 1.

    Examples
    --------
    >>> from pathorob_checks.metrics import Resampling, slides_needed
    >>> measured = Resampling(
    ...     metric="robustness_index", value=0.55, scale="logit", drawn="slides",
    ...     units=tuple("abcdefgh"), cells=(("X / tumor",),) * 4 + (("Y / tumor",),) * 4,
    ...     effects=(0.1, -0.1, 0.05, -0.05) * 2, protocol={},
    ... )
    >>> slides_needed(measured, bound=0.5, true=0.55)
    53
    """
    if not 0 < power < 1:
        raise MetricError(f"a probability of {power} cannot be planned for", remedy="use e.g. 0.8")
    plan = _planner(resampling, bound=bound, true=true, confidence=confidence)
    return _first(lambda slides: plan(slides).decides >= power)


def _first(enough: Callable[[int], bool]) -> int | None:
    """The least number of slides that is enough, by doubling and halving."""
    high = _FEWEST
    while not enough(high):
        if high >= MOST_SLIDES:
            return None
        high *= 2
    low = high // 2
    while high - low > 1 and high > _FEWEST:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def slides_there(resampling: Resampling) -> int:
    """Slides (or cases) of the cell with fewest."""
    count = Counter(cell for cells in resampling.cells if _is_of_slides(cells) for cell in cells)
    return min(count.values(), default=0)


def _is_of_slides(cells: tuple[str, ...]) -> bool:
    return cells not in _LASTING and cells != ("halves",)


def _planner(
    resampling: Resampling, *, bound: float, true: float, confidence: float
) -> Callable[[int], Planned]:
    _refuse(resampling, bound, true, confidence)
    if resampling.candidates is not None:
        return _Worst(resampling, resampling.candidates, bound, true, confidence)
    return _Plain(resampling, bound, true, confidence)


def _refuse(resampling: Resampling, bound: float, true: float, confidence: float) -> None:
    definition = metric(resampling.metric)
    name = definition.name
    if not 0 < confidence < 1:
        raise MetricError(f"{name}: confidence {confidence} gives no interval", remedy="use e.g. 0.95")
    for what, value in (("bound", bound), ("true value", true)):
        inside = definition.lowest <= value <= definition.highest
        if resampling.scale == "logit":
            inside = definition.lowest < value < definition.highest
        if not inside:
            raise MetricError(
                f"{name}: no number of slides follows from the {what} {value:g}",
                remedy=f"give one between {definition.lowest:g} and {definition.highest:g}",
            )
    if true == bound:
        raise MetricError(
            f"{name}: no number of slides decides about a true value of {true:g} that is the bound itself",
            remedy="assume another true value",
        )
    if resampling.jumps_over(bound):
        raise MetricError(
            f"{name}: {resampling.unstable}, so that more slides may not decide",
            remedy="plan with the other metrics",
        )
    if resampling.unplannable_at_k:
        raise MetricError(
            f"{name}: {resampling.unplannable_at_k}",
            remedy="measure the larger cohort with a k that grows with its cells",
        )
    if resampling.informative_slides is not None:
        raise MetricError(
            f"{name}: all {resampling.noun}s contribute alike to a value of {resampling.value:g}, so that "
            f"nothing says how {resampling.noun}s differ",
            remedy="plan with the results of an FM whose value is not at an end of the scale",
        )
    if Strata(resampling.cells, resampling.weights).says_nothing(resampling.drawn):
        raise MetricError(
            f"{name}: a medical center and class has only 1 {resampling.noun}, so that nothing says how "
            f"{resampling.noun}s differ",
            remedy=f"measure a cohort with at least 2 {resampling.noun}s in each",
        )


class _Plain:
    """Plans for a value that is one sum of effects."""

    def __init__(self, resampling: Resampling, bound: float, true: float, confidence: float) -> None:
        self._scale, self._confidence = resampling.scale, confidence
        self._place, self._bound = (to_scale(value, resampling.scale) for value in (true, bound))
        self._least, self._there = resampling.least_error, max(1, slides_there(resampling))
        strata = Strata(resampling.cells, resampling.weights)
        residuals = strata.residuals(np.array(resampling.effects))
        self._variances = np.array([float((residuals[units] ** 2).sum()) for units in strata.units])
        self._freedoms = strata.freedom
        cells = [[resampling.cells[unit] for unit in units] for units in strata.units]
        self._cells = np.array([len({cell for those in of for cell in those}) for of in cells])
        # Slides per cell in each stratum; where slides stand in several cells, each of these counts.
        self._slides = np.array([sum(map(len, of)) for of in cells]) / self._cells
        self._lasts = np.array([of[0] in _LASTING for of in cells])

    def __call__(self, slides: int) -> Planned:
        from scipy.stats import nct, norm
        from scipy.stats import t as student_t

        _refuse_few(slides)
        times = np.where(self._lasts, 1.0, slides / self._slides)
        variances = self._variances / times
        freedoms = np.maximum((self._freedoms + self._cells) * times - self._cells, 1.0)
        variance = float(variances.sum())
        freedom = float(variance**2 / (variances**2 / freedoms).sum()) if variance else math.inf
        least = self._least * self._there / slides
        half = reach(variance, freedom, least, self._confidence)
        ends = from_scale(np.array([self._place - half, self._place + half]), self._scale)
        distance, upper = abs(self._bound - self._place), tails(self._confidence)[1]
        error = max(math.sqrt(variance), least)
        if not error or distance / error > _CERTAIN:
            decides = 1.0
        elif math.isinf(freedom) or error > math.sqrt(variance):
            decides = float(norm.sf(norm.ppf(upper) - distance / error))
        else:
            decides = float(nct.sf(student_t.ppf(upper, freedom), freedom, distance / error))
        return Planned(slides=slides, half_width=float(ends[1] - ends[0]) / 2, decides=decides)


class _Worst:
    """Plans for the worst of several cells: cohorts are drawn, in which the worst cell has the true value.

    The others have their measured values, as far as these are not worse than the true value.
    """

    def __init__(
        self,
        resampling: Resampling,
        candidates: Sequence[Candidate],
        bound: float,
        true: float,
        confidence: float,
    ) -> None:
        self._metric, self._candidates = metric(resampling.metric), candidates
        self._bound, self._confidence = bound, confidence
        worst = min(candidates, key=lambda one: self._metric.badness(one.value))
        self._trues = [
            true if one is worst or self._is_worse(one.value, true) else one.value for one in candidates
        ]
        self._is_good = not self._is_worse(true, bound)
        generator = np.random.default_rng(SEED)
        shape = (_DRAWS, len(candidates))
        self._normal, self._uniform = generator.standard_normal(shape), generator.random(shape)

    def _is_worse(self, one: float, other: float) -> bool:
        return self._metric.badness(one) < self._metric.badness(other)

    def __call__(self, slides: int) -> Planned:
        _refuse_few(slides)
        together = 1 - (1 - self._confidence) / len(self._candidates)
        own, wide = (self._ends(slides, level) for level in (self._confidence, together))
        lower, upper = (own, wide) if self._metric.higher_is_better else (wide, own)
        choose = np.min if self._metric.higher_is_better else np.max
        low, high = choose(lower[0], axis=1), choose(upper[1], axis=1)
        above = self._is_good == self._metric.higher_is_better
        clear = low >= self._bound if above else high <= self._bound
        return Planned(slides=slides, half_width=float((high - low).mean()) / 2, decides=float(clear.mean()))

    def _ends(self, slides: int, confidence: float) -> tuple[Float64, Float64]:
        """Lower and upper ends of every cell in every drawn cohort."""
        from scipy.stats import chi2
        from scipy.stats import t as student_t

        low, high = np.zeros_like(self._normal), np.zeros_like(self._normal)
        for number, (one, true) in enumerate(zip(self._candidates, self._trues, strict=True)):
            times = slides / one.slides
            if one.are_alike:
                alike = one.model_copy(update={"slides": slides, "value": true})
                ends = candidate_interval(self._metric.name, alike, confidence) or (-math.inf, math.inf)
                low[:, number], high[:, number] = ends
                continue
            lasting = max(0.0, (one.error or 0.0) ** 2 - one.slides_error**2)
            error = max(math.sqrt(lasting + one.slides_error**2 / times), one.least_error / times)
            freedom = max(1.0, (one.freedom or 1e6) * times)
            value = true + error * self._normal[:, number]
            spread = np.sqrt(chi2.ppf(self._uniform[:, number], freedom) / freedom)
            half = student_t.ppf(tails(confidence)[1], freedom) * error * spread
            low[:, number] = np.maximum(value - half, self._metric.lowest)
            high[:, number] = np.minimum(value + half, self._metric.highest)
        return low, high


def _refuse_few(slides: int) -> None:
    if slides < _FEWEST:
        raise MetricError(
            f"{slides} slides per medical center and class say nothing of how slides differ",
            remedy=f"plan with at least {_FEWEST}",
        )
