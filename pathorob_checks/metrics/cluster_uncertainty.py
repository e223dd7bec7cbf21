"""Intervals of the clustering score and the class ARI: from trials, slides, and clusters that move.

A slide's effect is computed from the tables of label x cluster: its patches are taken out of them, the
clusters stay. Halves of the slides are clustered anew; what their scores vary beyond that is added, and where
they jump, the interval includes the least and the greatest of them. Where cases are known they take the place
of slides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.cluster_combinations import CombinationSample, Pair
from pathorob_checks.metrics.cluster_halves import HalfIndices
from pathorob_checks.metrics.ends import own_interval
from pathorob_checks.metrics.inputs import Int64, Labels, Units
from pathorob_checks.metrics.measurement import GroupValue, Interval, SlideValue
from pathorob_checks.metrics.rand_index import adjusted_rand, contingency
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.strata import Strata

METRIC, CLASS_ARI = "clustering_score", "class_ari"
_CENTER_COUNTS = {METRIC: 1.0, CLASS_ARI: 0.0}  # how often ARI(center) is subtracted from ARI(class)
Float64 = npt.NDArray[np.float64]
_SLIDES_NAMED = 10
_ALIKE = 1e-18  # a variance below it is that of rounding
_TRIALS, _HALVES, _COMBINATIONS = "trials", "halves", "combinations"  # strata of their own
NOUNS = {METRIC: "score", CLASS_ARI: "class ARI"}
NOTE = (
    "The interval is about other {unit}s of the same classes and centers, and other seeds of k-means. "
    "{Unit}s are drawn within each center x class, and how the clusters and their number move is estimated "
    "from {halves} halves of the {unit}s. It does not cover other centers."
)
NOTE_ALIKE = (
    "All {unit}s contribute alike to the clusters, so they show no variation. The interval is that of "
    "Clopper and Pearson, a trial for each {unit}; it is wide. It does not cover other centers."
)
NOTE_HELD = (
    "The interval is about other {unit}s of the same classes and centers and other seeds, with fixed "
    "clusters, because halves of the {unit}s have too few patches to cluster. New {unit}s would also move "
    "the clusters, so the interval is too narrow."
)
SAMPLE_NOTE = (
    " The {noun} is the mean over {taken:,} of {total:,} combinations of classes and centers, drawn so that "
    "each takes part about equally often; the interval includes by how much another sample would change it."
)
UNSTABLE_NOTE = (
    " {Unstable}. The interval includes both. In simulations of such cohorts 95 % "
    "intervals contained the true value in 94 to 96 %."
)
# By how many standard deviations of what slides with fixed clusters do the scores of the halves must differ.
# Halves of stable clusters differ by about four; by more than ten in 0 to 5 % of simulated cohorts with
# stable clusters, and in 93 to 97 % of those whose clusters follow biology or centers by chance.
_JUMPS = 10.0


@dataclass(frozen=True, kw_only=True)
class Combination:
    """One pair of classes x pair of centers.

    `silhouettes` maps every K to the mean cosine silhouette; `ari_class`, `ari_center` are (trials,) float64.
    """

    classes: Pair
    centers: Pair
    K: int
    silhouettes: dict[int, float]
    ari_class: Float64
    ari_center: Float64

    def by_trial(self, metric: str = METRIC) -> Float64:
        """(trials,) ARI(class) - ARI(center), or ARI(class) alone."""
        return self.ari_class - _CENTER_COUNTS[metric] * self.ari_center

    @property
    def score(self) -> float:
        """Mean over trials of ARI(class) - ARI(center)."""
        return self.value_of(METRIC)

    def value_of(self, metric: str) -> float:
        """Mean over trials of what a metric reads."""
        return float(self.by_trial(metric).mean())


@dataclass(frozen=True, kw_only=True)
class ScoresWithout:
    """One combination's ARI(class) - ARI(center) without each slide (or case), mean over trials.

    `units` (S,) int64 are those that have patches in the combination; `class_without` and
    `center_without` (S,) float64 are the two ARIs without each of them.
    """

    units: Int64
    class_without: Float64
    center_without: Float64

    def lost(self, value: float, metric: str = METRIC) -> Float64:
        """(S,) fall of the combination's `value` without each of them."""
        return np.asarray(value - (self.class_without - _CENTER_COUNTS[metric] * self.center_without))


def scores_without(units: Int64, classes: Int64, centers: Int64, labelings: list[Int64]) -> ScoresWithout:
    """ARIs of a combination without each slide (or case).

    Parameters
    ----------
    units, classes, centers : (n,) int64 of the combination's patches.
    labelings : (n,) int64 clusters of each trial.
    """
    present, unit = np.unique(units, return_inverse=True)
    without = []
    for column in (classes, centers):
        _, label = np.unique(column, return_inverse=True)
        by_trial = []
        for clusters in labelings:
            tables = contingency(unit, label, clusters)
            by_trial.append(adjusted_rand(tables.sum(axis=0) - tables))
        without.append(np.mean(by_trial, axis=0))
    return ScoresWithout(units=present, class_without=without[0], center_without=without[1])


@dataclass(frozen=True, kw_only=True)
class ScoreUncertainty:
    """Result of `score_uncertainty`; see `ClusteringScore`."""

    interval: Interval | None
    note: str
    resampling: Resampling | None
    slides: tuple[SlideValue, ...]
    groups: Mapping[str, tuple[GroupValue, ...]]


@dataclass(frozen=True, kw_only=True)
class MeasuredCombination:
    """A combination with all that its uncertainty is read off.

    `without` is that of the units that are drawn, `without_slides` that of the slides (the same, where slides
    are drawn); `of_halves` are the two indices of halves of the units.
    """

    combination: Combination
    without: ScoresWithout
    without_slides: ScoresWithout
    of_halves: list[HalfIndices]


def score_uncertainty(
    measured: list[MeasuredCombination],
    units: Units,
    slides: Labels,
    classes: Labels,
    centers: Labels,
    chosen: CombinationSample,
    *,
    metric: str = METRIC,
    confidence: float,
    draws: int,
    seed: int,
) -> ScoreUncertainty:
    """Interval of a value and of each center's and class's, and the slides that lower it most.

    Parameters
    ----------
    measured : at least one combination.
    units, slides, classes, centers : of all N patches.
    chosen : which of how many combinations these are.
    metric : the clustering score or the class ARI.
    confidence, draws, seed : as in `clustering_score`.
    """
    uncertainty = _Uncertainty(metric, measured, units, classes, centers)
    settings = _Settings(confidence, draws, seed)
    whole = uncertainty.resampling(list(range(len(measured))), chosen.total)
    note = uncertainty.note(whole)
    if chosen.is_sample:
        note += SAMPLE_NOTE.format(noun=NOUNS[metric], taken=len(measured), total=chosen.total)
    pairs = [each.combination for each in measured]
    return ScoreUncertainty(
        interval=own_interval(whole, *settings),
        note=note,
        resampling=whole,
        slides=worst_slides(metric, measured, slides, classes, centers),
        groups={
            "medical_center": uncertainty.groups(
                centers, [c.centers for c in pairs], chosen.of_center, settings
            ),
            "biological_class": uncertainty.groups(
                classes, [c.classes for c in pairs], chosen.of_class, settings
            ),
        },
    )


def worst_slides(
    metric: str, measured: list[MeasuredCombination], slides: Labels, classes: Labels, centers: Labels
) -> tuple[SlideValue, ...]:
    """Slides without which the value of their combinations would be higher; value: their part in it."""
    lost: dict[int, list[float]] = {}
    for each in measured:
        without = each.without_slides
        falls = without.lost(each.combination.value_of(metric), metric)
        for slide, fall in zip(without.units.tolist(), falls.tolist(), strict=True):
            lost.setdefault(slide, []).append(fall)
    means = sorted((float(np.mean(falls)), slide) for slide, falls in lost.items())
    standing = _standing(slides, classes, centers)
    return tuple(
        SlideValue(
            slide_id=slides.names[slide],
            medical_center=" + ".join(dict.fromkeys(center for center, _ in standing[slide])),
            biological_class=" + ".join(dict.fromkeys(cls for _, cls in standing[slide])),
            value=mean,
            meaning=f"with its patches the {NOUNS[metric]} of its combinations is {-mean:.4f} lower",
        )
        for mean, slide in means[:_SLIDES_NAMED]
        if mean < 0
    )


def _standing(units: Labels, classes: Labels, centers: Labels) -> list[list[Pair]]:
    """Center and class of each cell in which a unit has patches."""
    standing: list[list[Pair]] = [[] for _ in units.names]
    there = np.unique(np.stack([units.codes, centers.codes, classes.codes], axis=1), axis=0)
    for unit, center, cls in there.tolist():
        standing[unit].append((centers.names[center], classes.names[cls]))
    return standing


class _Settings(NamedTuple):
    confidence: float
    draws: int
    seed: int


class _Uncertainty:
    """Effects of slides (or cases), trials and halves on the mean value of any of the combinations."""

    def __init__(
        self,
        metric: str,
        measured: list[MeasuredCombination],
        units: Units,
        classes: Labels,
        centers: Labels,
    ) -> None:
        self._metric, self._measured, self._units = metric, measured, units
        self._standing = _standing(units, classes, centers)
        self._values = np.array([each.combination.value_of(metric) for each in measured])

    def resampling(self, chosen: list[int], total: int) -> Resampling:
        """Effects on the mean score of `total` combinations, of which these were measured.

        Of the variance of the halves' scores, what slides alone do not account for is spread over the halves.
        What another sample of combinations would change is read off the spread of all that were measured,
        because a center has too few for a spread of its own.
        """
        these = [self._measured[n] for n in chosen]
        by_trial = np.mean([each.combination.by_trial(self._metric) for each in these], axis=0)
        value = float(by_trial.mean())
        effects = np.zeros(len(self._units))
        for each in these:
            lost = each.without.lost(each.combination.value_of(self._metric), self._metric)
            effects[each.without.units] += lost / len(these)
        there = np.unique(np.concatenate([each.without.units for each in these]))
        cells = tuple(tuple(map(" / ".join, self._standing[unit])) for unit in there)
        strata = Strata(cells)
        held = float((strata.residuals(effects[there]) ** 2).sum())
        of_trials = (by_trial - value) / len(by_trial)
        halves = self._of_halves(these)
        away = halves[:, 0]
        variance = float(away.var(ddof=1)) if len(away) > 1 else 0.0
        beyond = max(0.0, 1 - held / variance) if variance > 0 else 0.0
        moved = (away - away.mean()) * np.sqrt(beyond / len(away)) if len(away) else away
        others = (self._values - self._values.mean()) if len(these) < total else self._values[:0]
        others = others * np.sqrt((1 / len(these) - 1 / total) / len(self._values))
        return Resampling(
            metric=self._metric,
            value=value,
            scale="bounded",
            drawn="slides",
            units=(
                *(self._units.names[unit] for unit in there),
                *(f"trial {number}" for number in range(len(of_trials))),
                *(f"half {number}" for number in range(len(moved))),
                *(f"combination {number}" for number in range(len(others))),
            ),
            cells=(
                *cells,
                *[(_TRIALS,)] * len(of_trials),
                *[(_HALVES,)] * len(moved),
                *[(_COMBINATIONS,)] * len(others),
            ),
            effects=tuple(np.concatenate([effects[there], of_trials, moved, others]).tolist()),
            protocol={
                "trials": len(by_trial),
                "patches": len(self._units.codes),
                **self._units.protocol,
            },
            informative_slides=len(there)
            if abs(value) >= 1 or (strata.are_alike(effects[there]) and variance < _ALIKE)
            else None,
            jumps_between=_jumps_between(halves, held + float((of_trials**2).sum())),
        )

    def _of_halves(self, these: list[MeasuredCombination]) -> Float64:
        """(halves, 3) mean score over combinations: with the chosen K, and least and greatest with their own.

        Which of several K that are about as good a combination takes is chance, and not the same chance as in
        another one: distances from the score with the best of them are squared and added.
        """
        counts = _CENTER_COUNTS[self._metric]
        scores = np.array([[half.scores(counts) for half in each.of_halves] for each in these])
        held, own, least, greatest = np.moveaxis(scores, -1, 0)
        mean = own.mean(axis=0)
        below, above = (np.sqrt((away**2).sum(axis=0)) / len(these) for away in (own - least, greatest - own))
        halves = np.stack([held.mean(axis=0), mean - below, mean + above], axis=1)
        return np.asarray(halves[np.isfinite(halves).all(axis=1)])

    def groups(
        self, column: Labels, taking_part: list[Pair], totals: Int64, settings: _Settings
    ) -> tuple[GroupValue, ...]:
        """Mean score of the combinations in which each center (class) takes part, lowest first."""
        chosen = {name: [n for n, pair in enumerate(taking_part) if name in pair] for name in column.names}
        counts = dict(zip(column.names, totals.tolist(), strict=True))
        resamplings = {name: self.resampling(those, counts[name]) for name, those in chosen.items() if those}
        together = settings._replace(confidence=1 - (1 - settings.confidence) / len(resamplings))
        values = [
            GroupValue(
                name=name,
                value=these.value,
                interval=own_interval(these, *settings),
                simultaneous=own_interval(these, *together),
                support=None,
                rows=int((column.codes == column.names.index(name)).sum()),
            )
            for name, these in resamplings.items()
        ]
        return tuple(sorted(values, key=lambda group: group.value))

    def note(self, whole: Resampling) -> str:
        """How the interval was made, and whether the clusters are unstable."""
        words = {"unit": self._units.noun, "Unit": self._units.noun.capitalize()}
        halves = sum(cells == (_HALVES,) for cells in whole.cells)
        if halves < 2:
            return NOTE_HELD.format(**words)
        text = NOTE.format(halves=halves, **words)
        if whole.informative_slides is not None:
            text = NOTE_ALIKE.format(**words)
        unstable = f"{whole.unstable[:1].upper()}{whole.unstable[1:]}"
        return text + (UNSTABLE_NOTE.format(Unstable=unstable) if unstable else "")


def _jumps_between(halves: Float64, variance: float) -> tuple[float, float] | None:
    """Least and greatest score of the halves, if they differ by more than the score's `variance` explains."""
    if len(halves) < 2:
        return None
    least, greatest = float(halves[:, 1].min()), float(halves[:, 2].max())
    return (least, greatest) if greatest - least > _JUMPS * variance**0.5 else None
