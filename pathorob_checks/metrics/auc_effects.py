"""AUCs of slide-level predictions, their drop, and by how much each test slide moves it.

With several classes the AUC is the mean over classes of the AUC of the class against the others. An AUC is
the share of pairs that a score puts in the right order; to first order a slide moves it by the share of its
own pairs (its placement; DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.bags import BagTable
from pathorob_checks.metrics.drop_effects import (
    DropEffects,
    Predictions,
    SlideDeletions,
    slopes_of_ratio,
)
from pathorob_checks.metrics.inputs import Int64

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
GUESS = 0.5  # the AUC of one


@dataclass(frozen=True, kw_only=True)
class ScoredBags:
    """What the models of all repetitions and splits say of one domain's test bags.

    Attributes
    ----------
    tested : for each repetition the (n,) numbers of its test bags.
    log_odds : for each repetition (splits, n, K), of each class against all others.
    bags : the table of all bags.
    """

    tested: list[Int64]
    log_odds: list[Float64]
    bags: BagTable

    @property
    def predictions(self) -> Predictions:
        """The likeliest classes, in the form of the performance drop with a bag in place of a patch.

        What the models would say without a training slide is not known: nothing is left out.
        """
        bags = self.bags
        trains = np.zeros(len(bags.units), dtype=bool)
        trains[bags.units.codes[~bags.outside]] = True
        return Predictions(
            rows=self.tested,
            predicted=[list(odds.argmax(axis=2).astype(np.int64)) for odds in self.log_odds],
            without=[[_nothing_left_out(odds.shape[1])] * len(odds) for odds in self.log_odds],
            classes=bags.classes,
            centers=bags.centers,
            slides=bags.slides,
            units=bags.units,
            trains=trains,
        )


def _nothing_left_out(tested: int) -> SlideDeletions:
    return SlideDeletions(
        units=np.zeros(0, dtype=np.int64), share=np.zeros(0), predicted=np.zeros((0, tested), dtype=np.int16)
    )


def log_odds(scores: Float64) -> Float64:
    """(..., K) log-odds of each class against all others, from (..., K) class scores."""
    from scipy.special import logsumexp

    classes = scores.shape[-1]
    others = [np.delete(scores, cls, axis=-1) for cls in range(classes)]
    return np.asarray(scores - np.stack([logsumexp(other, axis=-1) for other in others], axis=-1))


def placements(scores: Float64, member: Bool) -> Float64:
    """(S, n) share of right pairs of each of n bags under S scores; a tie is half a pair.

    A pair is a member of the class and another bag, and is right where the member has the higher score. The
    mean over members, and that over the others, is the AUC.
    """
    from scipy.stats import rankdata

    placed, everywhere = np.empty_like(scores), rankdata(scores, axis=1)
    for own in (member, ~member):
        below = (everywhere[:, own] - rankdata(scores[:, own], axis=1)) / (~own).sum()
        placed[:, own] = below if own is member else 1 - below
    return placed


def auc_effects(
    scored: ScoredBags, chosen: Bool | None = None, *, cls: int | None = None, factors: Float64 | None = None
) -> DropEffects | None:
    """AUCs at every split, the drop, and the effects of the test slides on it.

    The drop is the ratio of means over repetitions, (mean AUC of splits 1.. / mean AUC of split 0) - 1: with
    few test slides the AUC of one repetition can be 0. An AUC of split 0 below that of a guess counts as
    a guess.

    Parameters
    ----------
    chosen : (B,) bool, the bags of a group; None for all.
    cls : the AUC of this class alone takes the place of the mean over classes.
    factors : (splits,) float64; the sum of the AUCs with these factors takes the place of the drop.

    Returns
    -------
    The effects (`accuracies` are AUCs, `training` is 0); None where fewer than two repetitions have a class
    and others to tell it from.
    """
    of_repetition = [
        one
        for tested, odds in zip(scored.tested, scored.log_odds, strict=True)
        if (one := _Repetition.of(scored.bags, tested, odds, chosen, cls)) is not None
    ]
    if len(of_repetition) < 2:
        return None
    aucs = np.stack([one.auc for one in of_repetition])  # (R, splits)
    mean = aucs.mean(axis=0)
    if factors is not None:
        slope, drops = factors, aucs @ factors
    else:
        base = max(float(mean[0]), GUESS)
        ratio = float(mean[1:].mean() / base)
        of_first = -ratio / base if mean[0] > GUESS else 0.0
        slope = slopes_of_ratio(np.array([of_first]), np.array([base]), aucs[:, 1:])[0]
        drops = ratio - 1 + (aucs - mean) @ slope
    units = scored.bags.units
    usual = _usual_placements(scored.bags, of_repetition)
    test = np.zeros((len(of_repetition), len(units)))
    for place, one in enumerate(of_repetition):
        deviation = (one.placed - usual[:, scored.bags.cells[one.bags]]) * one.weights
        test[place] = np.bincount(units.codes[one.bags], slope @ deviation.sum(axis=2), minlength=len(units))
    return DropEffects(
        value=float(drops.mean()),
        accuracies=aucs.T,
        drops=drops,
        test=test,
        training=np.zeros_like(test),
        through=None,
        tested=np.unique(units.codes[np.concatenate([one.bags for one in of_repetition])]),
        least_error=scored.predictions.least_error(_weight_of_a_bag(scored.bags, of_repetition)),
    )


@dataclass(frozen=True)
class _Repetition:
    """The test of one repetition, or a group of its bags.

    Attributes
    ----------
    bags : (n,) numbers.
    auc : (splits,) mean over classes.
    placed : (splits, n, K) placements for each class; 0 for a class without an AUC.
    weights : (n, K) derivative of the AUC by the placements.
    """

    bags: Int64
    auc: Float64
    placed: Float64
    weights: Float64

    @classmethod
    def of(
        cls, table: BagTable, tested: Int64, odds: Float64, chosen: Bool | None, only: int | None
    ) -> _Repetition | None:
        """None where no class has both bags of its own and others."""
        here = np.ones(len(tested), dtype=bool) if chosen is None else chosen[tested]
        bags, odds = tested[here], odds[:, here]
        codes = table.classes.codes[bags]
        classes = [code for code in np.unique(codes) if only in (None, code) and (codes != code).any()]
        if not classes:
            return None
        placed, weights, auc = np.zeros_like(odds), np.zeros(odds.shape[1:]), np.zeros(len(odds))
        for code in classes:
            member = codes == code
            placed[..., code] = placements(odds[..., code], member)
            auc += placed[:, member, code].mean(axis=1) / len(classes)
            weights[:, code] = 1 / np.where(member, member.sum(), (~member).sum()) / len(classes)
        return cls(bags, auc, placed, weights)


def _usual_placements(table: BagTable, of_repetition: list[_Repetition]) -> Float64:
    """(splits, cells, K) mean over the bags of a cell of their mean placement over repetitions."""
    splits, _, classes = of_repetition[0].placed.shape
    total, times = np.zeros((splits, len(table.patches), classes)), np.zeros(len(table.patches))
    for one in of_repetition:
        total[:, one.bags] += one.placed
        times[one.bags] += 1
    seen = np.flatnonzero(times)
    cells = np.zeros((splits, len(table.centers) * len(table.classes), classes))
    for cell in np.unique(table.cells[seen]):
        own = seen[table.cells[seen] == cell]
        cells[:, cell] = (total[:, own] / times[own, None]).mean(axis=1)
    return cells


def _weight_of_a_bag(table: BagTable, of_repetition: list[_Repetition]) -> Float64:
    """(cells,) derivative of the mean AUC of all repetitions by one bag of each cell."""
    cells = len(table.centers) * len(table.classes)
    weight = sum(
        np.bincount(table.cells[one.bags], one.weights.sum(axis=1), minlength=cells) for one in of_repetition
    )
    seen = np.unique(np.concatenate([one.bags for one in of_repetition]))
    count = np.bincount(table.cells[seen], minlength=cells)
    return np.asarray(weight / len(of_repetition) / np.maximum(count, 1))
