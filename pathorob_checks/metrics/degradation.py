"""Normalized integrated performance degradation (nIPD): what share of a classifier's skill confounding takes.

Source: Grisi et al., A distributional robustness margin for pathology foundation models, arXiv 2607.25497.
With A(V) the mean balanced accuracy over repetitions at Cramér's V and c that of chance, it is the area
under (A(V) - A(0)) / (A(0) - c) for V from 0 to 1, by trapezoids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """The degradation over the splits of a schedule.

    Attributes
    ----------
    cramers_v : of each split, ascending from 0 to 1.
    chance : balanced accuracy of guessing, 1 / classes.
    """

    cramers_v: tuple[float, ...]
    chance: float

    @property
    def weights(self) -> Float64:
        """(splits,) of the trapezoids, together 1."""
        half = np.diff(self.cramers_v) / 2
        return np.asarray(np.append(half, 0) + np.append(0, half))

    def curve(self, means: Float64) -> Float64 | None:
        """(splits,) change of the mean accuracy in shares of the skill; None where there is no skill."""
        skill = float(means[0] - self.chance)
        return None if skill <= 0 else np.asarray((means - means[0]) / skill)

    def drops_and_slopes(self, accuracies: Float64) -> tuple[Float64, Float64] | None:
        """What each repetition adds to the mean, (R,), and (R, splits) derivatives by its accuracies.

        Parameters
        ----------
        accuracies : (R, splits).

        Returns
        -------
        None where the mean accuracy at split 0 is not above chance.
        """
        means = accuracies.mean(axis=0)
        curve = self.curve(means)
        if curve is None:
            return None
        skill, value = float(means[0] - self.chance), float(self.weights @ curve)
        slope = self.weights / skill
        slope[0] -= (1 + value) / skill
        return value + (accuracies - means) @ slope, np.tile(slope, (len(accuracies), 1))
