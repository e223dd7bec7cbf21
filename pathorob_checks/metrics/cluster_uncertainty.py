"""Interval of the clustering score: from trials, from slides with fixed clusters, and from moving clusters.

A slide's effect is computed from the tables of label x cluster: its patches are taken out of them, the
clusters stay. Halves of the slides are clustered anew; what their scores vary beyond that is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.cluster_combinations import Chosen
from pathorob_checks.metrics.ends import own_interval
from pathorob_checks.metrics.inputs import Int64, Labels
from pathorob_checks.metrics.measurement import GroupValue, Interval, SlideValue
from pathorob_checks.metrics.rand_index import adjusted_rand, contingency
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.strata import Strata

METRIC = "clustering_score"
Float64 = npt.NDArray[np.float64]
Pair = tuple[str, str]
_SLIDES_NAMED = 10
_TRIALS, _HALVES, _COMBINATIONS = "trials", "halves", "combinations"  # strata of their own
NOTE = (
    "The interval is about other slides of the same classes and centers, and other seeds of k-means. Slides "
    "are drawn within each center x class, and how the clusters move is estimated from {halves} halves of "
    "the slides. It does not cover another number of clusters or other centers."
)
NOTE_HELD = (
    "The interval is about other slides of the same classes and centers and other seeds, with fixed "
    "clusters, because halves of the slides have too few patches to cluster. New slides would also move the "
    "clusters, so the interval is too narrow."
)
SAMPLE_NOTE = (
    " The score is the mean over {taken:,} of {total:,} combinations of classes and centers, drawn so that "
    "each takes part about equally often; the interval includes by how much another sample would change it."
)
UNSTABLE = 3.0  # variance of the halves' scores beyond what slides account for, over the latter
UNSTABLE_NOTE = (
    " The clusters are unstable: on halves of the slides the score goes from {lowest:.2f} to {highest:.2f}. "
    "In simulations of such cohorts 95 % intervals contained the true value in 64 to 88 %."
)


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

    @property
    def by_trial(self) -> Float64:
        """(trials,) ARI(class) - ARI(center)."""
        return self.ari_class - self.ari_center

    @property
    def score(self) -> float:
        """Mean over trials of ARI(class) - ARI(center)."""
        return float(self.by_trial.mean())


@dataclass(frozen=True, kw_only=True)
class SlideScores:
    """One combination's ARI(class) - ARI(center), whole and without each slide, mean over trials.

    `slides` (S,) int64 are those that have patches in the combination; `class_without` and
    `center_without` (S,) float64 are the two ARIs without each of them.
    """

    slides: Int64
    class_without: Float64
    center_without: Float64


def slide_scores(slides: Int64, classes: Int64, centers: Int64, labelings: list[Int64]) -> SlideScores:
    """ARIs of a combination without each slide.

    Parameters
    ----------
    slides, classes, centers : (n,) int64 of the combination's patches.
    labelings : (n,) int64 clusters of each trial.
    """
    present, slide = np.unique(slides, return_inverse=True)
    without = []
    for column in (classes, centers):
        _, label = np.unique(column, return_inverse=True)
        by_trial = []
        for clusters in labelings:
            tables = contingency(slide, label, clusters)
            by_trial.append(adjusted_rand(tables.sum(axis=0) - tables))
        without.append(np.mean(by_trial, axis=0))
    return SlideScores(slides=present, class_without=without[0], center_without=without[1])


@dataclass(frozen=True, kw_only=True)
class ScoreUncertainty:
    """Result of `score_uncertainty`; see `ClusteringScore`."""

    interval: Interval | None
    note: str
    resampling: Resampling | None
    slides: tuple[SlideValue, ...]
    groups: Mapping[str, tuple[GroupValue, ...]]


def score_uncertainty(
    combinations: list[Combination],
    without: list[SlideScores],
    of_halves: list[list[float]],
    slides: Labels | None,
    classes: Labels,
    centers: Labels,
    chosen: Chosen,
    *,
    confidence: float,
    draws: int,
    seed: int,
) -> ScoreUncertainty:
    """Interval of the score and of each center's and class's, and the slides that lower it most.

    Parameters
    ----------
    combinations, without, of_halves : in the same order, the last with the scores of halves of the slides
        (NaN where there is none); without slides (None) the last two are empty.
    slides, classes, centers : of all N patches.
    chosen : which of how many combinations these are.
    confidence, draws, seed : as in `clustering_score`.
    """
    if slides is None:
        return ScoreUncertainty(interval=None, note="", resampling=None, slides=(), groups={})
    measured = _Measured(combinations, without, np.array(of_halves), slides, classes, centers)
    settings = _Settings(confidence, draws, seed)
    whole = measured.resampling(list(range(len(combinations))), chosen.total)
    note = measured.note(whole)
    if note and chosen.is_sample:
        note += SAMPLE_NOTE.format(taken=len(combinations), total=chosen.total)
    return ScoreUncertainty(
        interval=own_interval(whole, *settings),
        note=note,
        resampling=whole,
        slides=measured.worst_slides(),
        groups={
            "medical_center": measured.groups(
                centers, [c.centers for c in combinations], chosen.of_center, settings
            ),
            "biological_class": measured.groups(
                classes, [c.classes for c in combinations], chosen.of_class, settings
            ),
        },
    )


class _Settings(NamedTuple):
    confidence: float
    draws: int
    seed: int


class _Measured:
    """Scores of the combinations, whole and without each slide, and intervals for the mean of any of them."""

    def __init__(
        self,
        combinations: list[Combination],
        without: list[SlideScores],
        of_halves: Float64,
        slides: Labels,
        classes: Labels,
        centers: Labels,
    ) -> None:
        self._combinations, self._without, self._of_halves = combinations, without, of_halves
        self._names, self._rows = slides.names, len(slides.codes)
        self._standing: list[list[tuple[str, str]]] = [[] for _ in slides.names]
        there = np.unique(np.stack([slides.codes, centers.codes, classes.codes], axis=1), axis=0)
        for slide, center, cls in there.tolist():
            self._standing[slide].append((centers.names[center], classes.names[cls]))

    def resampling(self, chosen: list[int], total: int) -> Resampling:
        """Effects on the mean score of `total` combinations, of which these were measured.

        Of the variance of the halves' scores, what slides alone do not account for is spread over the halves.
        What another sample of combinations would change is read off the spread of all that were measured,
        because a center has too few for a spread of its own.
        """
        by_trial = np.mean([self._combinations[n].by_trial for n in chosen], axis=0)
        value = float(by_trial.mean())
        effects = np.zeros(len(self._names))
        for n in chosen:
            effects[self._without[n].slides] += self._lost(n) / len(chosen)
        there = np.unique(np.concatenate([self._without[n].slides for n in chosen]))
        cells = tuple(tuple(map(" / ".join, self._standing[slide])) for slide in there)
        held = float((Strata(cells).residuals(effects[there]) ** 2).sum())
        away = self._of_halves[chosen].mean(axis=0)
        away = away[np.isfinite(away)]
        variance = float(away.var(ddof=1)) if len(away) > 1 else 0.0
        beyond = max(0.0, 1 - held / variance) if variance > 0 else 0.0
        of_trials = (by_trial - value) / len(by_trial)
        moved = (away - away.mean()) * np.sqrt(beyond / len(away)) if len(away) else away
        scores = np.array([each.score for each in self._combinations])
        others = (scores - scores.mean()) if len(chosen) < total else scores[:0]
        others = others * np.sqrt((1 / len(chosen) - 1 / total) / len(scores))
        return Resampling(
            metric=METRIC,
            value=value,
            scale="bounded",
            drawn="slides",
            units=(
                *(self._names[slide] for slide in there),
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
            protocol={"trials": len(by_trial), "patches": self._rows},
            informative_slides=len(there) if abs(value) >= 1 else None,
        )

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

    def worst_slides(self) -> tuple[SlideValue, ...]:
        """Slides without which the score of their combinations would be higher; value: their part in it."""
        lost: dict[int, list[float]] = {}
        for n, scores in enumerate(self._without):
            for slide, fall in zip(scores.slides.tolist(), self._lost(n).tolist(), strict=True):
                lost.setdefault(slide, []).append(fall)
        means = sorted((float(np.mean(falls)), slide) for slide, falls in lost.items())
        return tuple(
            SlideValue(
                slide_id=self._names[slide],
                medical_center=" + ".join(dict.fromkeys(center for center, _ in self._standing[slide])),
                biological_class=" + ".join(dict.fromkeys(cls for _, cls in self._standing[slide])),
                value=mean,
                meaning=f"with its patches the score of its combinations is {-mean:.4f} lower",
            )
            for mean, slide in means[:_SLIDES_NAMED]
            if mean < 0
        )

    def note(self, whole: Resampling) -> str:
        """How the interval was made, and whether the clusters are so unstable that it is too narrow."""
        from pathorob_checks.metrics.cluster_halves import HALVES

        scores = self._of_halves.mean(axis=0)
        scores = scores[np.isfinite(scores)]
        if len(scores) < 2:
            return NOTE_HELD
        variance = Strata(whole.cells).residuals(np.array(whole.effects)) ** 2
        of_halves = variance[[cells == (_HALVES,) for cells in whole.cells]].sum()
        other = variance[[cells in ((_TRIALS,), (_COMBINATIONS,)) for cells in whole.cells]].sum()
        text = NOTE.format(halves=HALVES)
        if of_halves > UNSTABLE * (variance.sum() - of_halves - other):
            text += UNSTABLE_NOTE.format(lowest=scores.min(), highest=scores.max())
        return text

    def _lost(self, n: int) -> Float64:
        """Fall of a combination's score without each of its slides."""
        scores = self._without[n]
        return self._combinations[n].score - (scores.class_without - scores.center_without)
