"""How often each type of neighbor stands at each rank, the quantities made of it, and the best k.

Source: PathoROB, Nature Communications 17, 5218 (2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.inputs import Int64

Float64 = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class Neighborhoods:
    """How often each type of neighbor stands at each rank.

    All arrays are (k,) float64 shares of all (query, neighbor) pairs among the first k ranks, the last
    index of the types in the order same class / other class, same center / other center.
    """

    ss: Float64
    so: Float64
    os: Float64
    oo: Float64

    @property
    def robustness_index(self) -> Float64:
        """SO / (SO + OS) at every k; NaN where no neighbor is of either type."""
        return _ratio(self.so, self.so + self.os)

    @property
    def id_performance(self) -> Float64:
        """SS / (SS + OS): among neighbors of the same center, those of the same class."""
        return _ratio(self.ss, self.ss + self.os)

    @property
    def ood_performance(self) -> Float64:
        """SO / (SO + OO): among neighbors of other centers, those of the same class."""
        return _ratio(self.so, self.so + self.oo)

    @property
    def prediction_performance(self) -> Float64:
        """SS + SO, as a share of all neighbors."""
        return self.ss + self.so

    @property
    def generalization_index(self) -> Float64:
        """(SS SO + SO OS) / (SS SO + SS OO)."""
        return _ratio(self.ss * self.so + self.so * self.os, self.ss * self.so + self.ss * self.oo)

    @property
    def bio_vs_confounding(self) -> Float64:
        """(SS + SO) / (SS + OS): same class against same center."""
        return _ratio(self.ss + self.so, self.ss + self.os)

    @property
    def confounder_insensitivity(self) -> Float64:
        """(SO + OO) / (SS + OS): other centers against the same center."""
        return _ratio(self.so + self.oo, self.ss + self.os)

    @property
    def normalized_confounder_insensitivity(self) -> Float64:
        """`confounder_insensitivity` divided by its value at the largest k."""
        whole = self.confounder_insensitivity
        return _ratio(whole, np.broadcast_to(whole[-1], whole.shape))


def best_k(shares: Neighborhoods, votes: Codes, truth: Int64, classes: int) -> int:
    """The first k of the grid, where the index is defined, whose majority vote is best."""
    reach = votes.shape[1]
    grid = [n for n in (1, 3, 5, 7, 9, *range(11, reach + 1, 10)) if n <= reach]
    defined = [n for n in grid if np.isfinite(shares.robustness_index[n - 1])] or grid[-1:]
    accuracies = [vote_accuracy(votes[:, :n], truth, classes) for n in defined]
    return int(defined[int(np.argmax(accuracies))])


def neighborhoods(same_class: npt.NDArray[np.bool_], same_center: npt.NDArray[np.bool_]) -> Neighborhoods:
    """Of (Q, k) neighbors: whether they share the query's class and its center."""
    pairs = same_class.shape[0] * np.arange(1, same_class.shape[1] + 1, dtype=np.float64)

    def share(kind: npt.NDArray[np.bool_]) -> Float64:
        return np.asarray(np.cumsum(kind.sum(axis=0)) / pairs, dtype=np.float64)

    return Neighborhoods(
        ss=share(same_class & same_center),
        so=share(same_class & ~same_center),
        os=share(~same_class & same_center),
        oo=share(~same_class & ~same_center),
    )


def vote_accuracy(votes: Codes, truth: Int64, classes: int) -> float:
    """Balanced accuracy of the majority vote; argmax takes the lowest label among equals."""
    counts = np.stack([(votes == label).sum(axis=1) for label in range(classes)], axis=1)
    correct = counts.argmax(axis=1) == truth
    return float(np.mean([correct[truth == label].mean() for label in np.unique(truth)]))


def _ratio(numerator: Float64, denominator: Float64) -> Float64:
    out = np.full_like(numerator, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
