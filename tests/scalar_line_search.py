"""One line search, written plainly: the reference of those that run many at the same time.

Source: Moré and Thuente, "Line search algorithms with guaranteed sufficient decrease", ACM
Transactions on Mathematical Software 20 (1994), with the constants of L-BFGS-B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pathorob_checks.numerics.line_search import DECREASE, FLATNESS

_WIDTH = 0.1
_LARGEST = 1e10
_MOST_TRIALS = 50


@dataclass(frozen=True)
class Trial:
    """A point on the line: step, function value and slope."""

    step: float
    value: float
    slope: float


class LineSearch:
    """The search along one line; `step` is the next trial, until `advance` returns True.

    Parameters
    ----------
    value, slope : at step 0; the slope is negative.
    step : the first trial.
    """

    def __init__(self, value: float, slope: float, step: float) -> None:
        self.step = step
        self.failed = False
        self._start = Trial(0.0, value, slope)
        self._best = self._other = self._start
        self._bracketed = False
        self._simple = True  # until a step has sufficient decrease and a slope of at least zero
        self._low, self._high = 0.0, 5 * step
        self._width = [2 * _LARGEST, _LARGEST]
        self._trials = 0

    def advance(self, value: float, slope: float) -> bool:
        """Continue with value and slope at `step`; True at the end: the step is good unless `failed`."""
        start, test = self._start, DECREASE * self._start.slope
        trial = Trial(self.step, value, slope)
        self._trials += 1
        bound = start.value + trial.step * test
        if self._simple and value <= bound and slope >= 0:
            self._simple = False
        if value <= bound and abs(slope) <= FLATNESS * -start.slope:
            return True
        stuck = self._bracketed and (
            not self._low < trial.step < self._high or self._high - self._low <= _WIDTH * self._high
        )
        at_limit = trial.step == _LARGEST and value <= bound and slope <= test
        if stuck or at_limit or self._trials >= _MOST_TRIALS or not math.isfinite(value):
            self.failed = value > start.value or not math.isfinite(value)
            return True
        if self._simple and bound < value <= self._best.value:
            # The function minus its allowed decrease leads to a point with sufficient decrease.
            best, other, step = self._next(
                *(_tilt(point, test) for point in (self._best, self._other, trial))
            )
            self._best, self._other = _tilt(best, -test), _tilt(other, -test)
        else:
            self._best, self._other, step = self._next(self._best, self._other, trial)
        self.step = self._bounded(step)
        return False

    def _bounded(self, step: float) -> float:
        best, other = self._best.step, self._other.step
        if self._bracketed:
            if abs(other - best) >= 0.66 * self._width[0]:
                step = best + 0.5 * (other - best)
            self._width = [self._width[1], abs(other - best)]
            self._low, self._high = min(best, other), max(best, other)
        else:
            self._low, self._high = step + 1.1 * (step - best), step + 4 * (step - best)
        step = min(max(step, 0.0), _LARGEST)
        if self._bracketed and (
            not self._low < step < self._high or self._high - self._low <= _WIDTH * self._high
        ):
            return best
        return step

    def _next(self, best: Trial, other: Trial, trial: Trial) -> tuple[Trial, Trial, float]:
        """The updated interval and the next step, by cubic and secant steps."""
        opposite = trial.slope * math.copysign(1, best.slope) < 0
        if trial.value > best.value:
            cubic, quadratic = _cubic(best, trial), _quadratic(best, trial)
            step = cubic if abs(cubic - best.step) < abs(quadratic - best.step) else (cubic + quadratic) / 2
            self._bracketed = True
        elif opposite:
            cubic, secant = _cubic(trial, best), _secant(best, trial)
            step = cubic if abs(cubic - trial.step) > abs(secant - trial.step) else secant
            self._bracketed = True
        elif abs(trial.slope) < abs(best.slope):
            step = self._flatter(best, other, trial)
        elif self._bracketed:
            step = _cubic(trial, other)
        else:
            step = self._high if trial.step > best.step else self._low
        if trial.value > best.value:
            return best, trial, step
        return trial, (best if opposite else other), step

    def _flatter(self, best: Trial, other: Trial, trial: Trial) -> float:
        secant = _secant(best, trial)
        cubic = _cubic_beyond(best, trial, self._low, self._high)
        nearer = abs(cubic - trial.step) < abs(secant - trial.step)
        if not self._bracketed:
            step = secant if nearer else cubic
            return min(max(step, self._low), self._high)
        step = cubic if nearer else secant
        limit = trial.step + 0.66 * (other.step - trial.step)
        return min(limit, step) if trial.step > best.step else max(limit, step)


def _tilt(point: Trial, slope: float) -> Trial:
    return replace(point, value=point.value - point.step * slope, slope=point.slope - slope)


def _cubic_terms(a: Trial, b: Trial) -> tuple[float, float, float]:
    theta = 3 * (a.value - b.value) / (b.step - a.step) + a.slope + b.slope
    scale = max(abs(theta), abs(a.slope), abs(b.slope))
    inner = (theta / scale) * (theta / scale) - (a.slope / scale) * (b.slope / scale)
    return theta, scale, inner


def _cubic(a: Trial, b: Trial) -> float:
    """The minimizer of the cubic through both, as a fraction from a to b."""
    theta, scale, inner = _cubic_terms(a, b)
    gamma = math.copysign(scale * math.sqrt(max(inner, 0.0)), b.step - a.step)
    fraction = ((gamma - a.slope) + theta) / (((gamma - a.slope) + gamma) + b.slope)
    return a.step + fraction * (b.step - a.step)


def _cubic_beyond(best: Trial, trial: Trial, low: float, high: float) -> float:
    """The cubic's minimizer if it is beyond the trial, else the end of the interval."""
    theta, scale, inner = _cubic_terms(best, trial)
    gamma = math.copysign(scale * math.sqrt(max(inner, 0.0)), best.step - trial.step)
    fraction = ((gamma - trial.slope) + theta) / ((gamma + (best.slope - trial.slope)) + gamma)
    if fraction < 0 and gamma != 0:
        return trial.step + fraction * (best.step - trial.step)
    return high if trial.step > best.step else low


def _quadratic(a: Trial, b: Trial) -> float:
    """The minimizer of the parabola through both values and a's slope."""
    return a.step + a.slope / ((a.value - b.value) / (b.step - a.step) + a.slope) / 2 * (b.step - a.step)


def _secant(a: Trial, b: Trial) -> float:
    """The zero of the line through both slopes, from b."""
    return b.step + b.slope / (b.slope - a.slope) * (a.step - b.step)
