"""Line searches for steps with sufficient decrease and a flat enough slope, many at the same time.

Source: Moré and Thuente, "Line search algorithms with guaranteed sufficient decrease", ACM
Transactions on Mathematical Software 20 (1994), with the constants of L-BFGS-B.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

DECREASE = 1e-3
FLATNESS = 0.9
_WIDTH = 0.1
_LARGEST = 1e10
_MOST_TRIALS = 50
_STEP, _VALUE, _SLOPE = range(3)
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Points = Float64  # (3, n) step, value and slope of a point on each of n lines


class LineSearches:
    """Searches along n lines, each as if it were alone; `step` has their next trials.

    Parameters
    ----------
    value, slope : (n,) float64 at step 0; slopes are negative.
    step : (n,) float64, the first trials.

    Attributes
    ----------
    step : (n,) float64, at which `advance` takes the next values and slopes.
    """

    def __init__(self, value: Float64, slope: Float64, step: Float64) -> None:
        self.step = step.copy()
        self._start = np.stack([np.zeros_like(step), value, slope])
        self._best, self._other = self._start, self._start
        self._bracketed = np.zeros(len(step), dtype=bool)
        self._simple = ~self._bracketed  # until a step has sufficient decrease and a slope of at least zero
        self._low, self._high = np.zeros_like(step), 5 * step
        self._widths = np.repeat([[2 * _LARGEST], [_LARGEST]], len(step), axis=1)
        self._trials = 0

    def advance(self, value: Float64, slope: Float64) -> tuple[Bool, Bool]:
        """Continue with (n,) values and slopes at `step`, and keep the searches that have not ended.

        Returns
        -------
        (n,) bool, which searches ended at this step, and (n,) bool, which of them failed: the others ended
        at a good step.
        """
        with np.errstate(all="ignore"):  # a step that cannot be computed is not taken, or fails
            ended, failed = self._end(value, slope)
            self._keep(~ended)
            if not ended.all():
                self._continue(value[~ended], slope[~ended])
        return ended, failed

    def _end(self, value: Float64, slope: Float64) -> tuple[Bool, Bool]:
        start, start_slope = self._start[_VALUE], self._start[_SLOPE]
        self._trials += 1
        test = DECREASE * start_slope
        decreased = value <= start + self.step * test
        self._simple &= ~(decreased & (slope >= 0))
        good = decreased & (abs(slope) <= FLATNESS * -start_slope)
        at_limit = (self.step == _LARGEST) & decreased & (slope <= test)
        finite = np.isfinite(value)
        given_up = (self._bracketed & self._tight(self.step)) | at_limit | ~finite
        given_up |= self._trials >= _MOST_TRIALS
        return good | given_up, ~good & given_up & ((value > start) | ~finite)

    def _keep(self, mask: Bool) -> None:
        if not mask.all():
            for name in ("step", "_start", "_best", "_other", "_bracketed", "_simple", "_low", "_high"):
                setattr(self, name, getattr(self, name)[..., mask])
            self._widths = self._widths[:, mask]

    def _continue(self, value: Float64, slope: Float64) -> None:
        trial = np.stack([self.step, value, slope])
        test = DECREASE * self._start[_SLOPE]
        # The function minus its allowed decrease leads to a point with sufficient decrease.
        tilted = self._simple & (value > self._start[_VALUE] + self.step * test)
        tilted &= value <= self._best[_VALUE]
        tilt = np.where(tilted, test, 0.0)
        best, other, step = self._next(
            *(_tilted(points, tilt) for points in (self._best, self._other, trial))
        )
        self._best, self._other = _tilted(best, -tilt), _tilted(other, -tilt)
        self.step = self._bounded(step)

    def _tight(self, step: Float64) -> Bool:
        """Whether the bracket is as small as its limit, or a step is not inside."""
        inside = (self._low < step) & (step < self._high)
        return ~inside | (self._high - self._low <= _WIDTH * self._high)

    def _bounded(self, step: Float64) -> Float64:
        best, other, bracketed = self._best[_STEP], self._other[_STEP], self._bracketed
        width = abs(other - best)
        halve = bracketed & (width >= 0.66 * self._widths[0])
        step = np.where(halve, best + 0.5 * (other - best), step)
        self._widths = np.where(bracketed, [self._widths[1], width], self._widths)
        self._low = np.where(bracketed, np.minimum(best, other), step + 1.1 * (step - best))
        self._high = np.where(bracketed, np.maximum(best, other), step + 4 * (step - best))
        step = np.minimum(np.maximum(step, 0.0), _LARGEST)
        return np.where(bracketed & self._tight(step), best, step)

    def _next(self, best: Points, other: Points, trial: Points) -> tuple[Points, Points, Float64]:
        """The updated intervals and the next steps, by cubic and secant steps."""
        higher = trial[_VALUE] > best[_VALUE]
        opposite = trial[_SLOPE] * np.copysign(1, best[_SLOPE]) < 0
        flatter = abs(trial[_SLOPE]) < abs(best[_SLOPE])
        low, high, before = self._low, self._high, self._bracketed
        forward = trial[_STEP] > best[_STEP]
        step = np.select(
            [higher, opposite, flatter, before],
            [
                _below_a_higher_trial(best, trial),
                _between_opposite_slopes(best, trial),
                _flatter(best, other, trial, np.where(forward, high, low), (low, high), before),
                _cubic(trial, other),
            ],
            np.where(forward, high, low),
        )
        self._bracketed = before | higher | opposite
        return (
            np.where(higher, best, trial),
            np.where(higher, trial, np.where(opposite, best, other)),
            step,
        )


def _tilted(points: Points, slope: Float64) -> Points:
    return np.stack([points[_STEP], points[_VALUE] - points[_STEP] * slope, points[_SLOPE] - slope])


def _below_a_higher_trial(best: Points, trial: Points) -> Float64:
    cubic, quadratic = _cubic(best, trial), _quadratic(best, trial)
    nearer = abs(cubic - best[_STEP]) < abs(quadratic - best[_STEP])
    return np.where(nearer, cubic, (cubic + quadratic) / 2)


def _between_opposite_slopes(best: Points, trial: Points) -> Float64:
    cubic, secant = _cubic(trial, best), _secant(best, trial)
    return np.where(abs(cubic - trial[_STEP]) > abs(secant - trial[_STEP]), cubic, secant)


def _flatter(
    best: Points,
    other: Points,
    trial: Points,
    end: Float64,
    ends: tuple[Float64, Float64],
    bracketed: Bool,
) -> Float64:
    secant, cubic = _secant(best, trial), _cubic_beyond(best, trial, end)
    nearer = abs(cubic - trial[_STEP]) < abs(secant - trial[_STEP])
    free = np.minimum(np.maximum(np.where(nearer, secant, cubic), ends[0]), ends[1])
    step = np.where(nearer, cubic, secant)
    limit = trial[_STEP] + 0.66 * (other[_STEP] - trial[_STEP])
    inside = np.where(trial[_STEP] > best[_STEP], np.minimum(limit, step), np.maximum(limit, step))
    return np.where(bracketed, inside, free)


def _cubic_terms(a: Points, b: Points) -> tuple[Float64, Float64]:
    """The cubic's slope in the middle, and the root of its discriminant."""
    theta = 3 * (a[_VALUE] - b[_VALUE]) / (b[_STEP] - a[_STEP]) + a[_SLOPE] + b[_SLOPE]
    scale = np.maximum(np.maximum(abs(theta), abs(a[_SLOPE])), abs(b[_SLOPE]))
    inner = np.square(theta / scale) - (a[_SLOPE] / scale) * (b[_SLOPE] / scale)
    return theta, scale * np.sqrt(np.maximum(inner, 0.0))


def _cubic(a: Points, b: Points) -> Float64:
    """The minimizer of the cubic through both, as a fraction from a to b."""
    theta, root = _cubic_terms(a, b)
    gamma = np.copysign(root, b[_STEP] - a[_STEP])
    fraction = ((gamma - a[_SLOPE]) + theta) / (((gamma - a[_SLOPE]) + gamma) + b[_SLOPE])
    return np.asarray(a[_STEP] + fraction * (b[_STEP] - a[_STEP]))


def _cubic_beyond(best: Points, trial: Points, end: Float64) -> Float64:
    """The cubic's minimizer if it is beyond the trial, else the end of the interval."""
    theta, root = _cubic_terms(best, trial)
    gamma = np.copysign(root, best[_STEP] - trial[_STEP])
    fraction = ((gamma - trial[_SLOPE]) + theta) / ((gamma + (best[_SLOPE] - trial[_SLOPE])) + gamma)
    beyond = trial[_STEP] + fraction * (best[_STEP] - trial[_STEP])
    return np.where((fraction < 0) & (gamma != 0), beyond, end)


def _quadratic(a: Points, b: Points) -> Float64:
    """The minimizer of the parabola through both values and a's slope."""
    mean = (a[_VALUE] - b[_VALUE]) / (b[_STEP] - a[_STEP])
    return np.asarray(a[_STEP] + a[_SLOPE] / (mean + a[_SLOPE]) / 2 * (b[_STEP] - a[_STEP]))


def _secant(a: Points, b: Points) -> Float64:
    """The zero of the line through both slopes, from b."""
    return np.asarray(b[_STEP] + b[_SLOPE] / (b[_SLOPE] - a[_SLOPE]) * (a[_STEP] - b[_STEP]))
