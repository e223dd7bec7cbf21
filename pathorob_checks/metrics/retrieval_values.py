"""What the queries of a repetition found, and the values of case retrieval with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.drop_effects import DropEffects, drop_effects
from pathorob_checks.metrics.drop_uncertainty import (
    CellScores,
    drop_groups,
    drop_resampling,
    mean_scores,
    worst_slides,
)
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.measurement import CellValue, Interval
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.retrieval_entries import Entries
from pathorob_checks.metrics.retrieval_lists import Retrieved, Scored
from pathorob_checks.metrics.retrieval_result import ACCURACY, DROP, SAME_CENTER, RetrievalValue
from pathorob_checks.wording import rounded_percent

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What the queries of a domain found in one repetition.

    Attributes
    ----------
    queries : (n,) int64 entries.
    right, preference : scores at every split.
    right_of_first : from a number of results to (splits, n) scores.
    average_precision, same_center, expected : (splits, n) float64.
    """

    queries: Int64
    right: list[Scored]
    preference: list[Scored]
    right_of_first: dict[int, Float64]
    average_precision: Float64
    same_center: Float64
    expected: Float64


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Values with intervals from what the in-domain queries found."""

    slides: Entries
    protocol: Mapping[str, object]
    confidence: float

    def by_split(self, metric: str, retrieved: Retrieved) -> tuple[Float64, tuple[Interval | None, ...]]:
        """(splits, repetitions) mean scores of the classes, and the interval of each split's mean."""
        scores, intervals = np.empty((0, 0)), []
        for factors in np.eye(len(retrieved.of_repetition[0])):
            effects = _effects(retrieved, factors)
            scores = effects.accuracies
            intervals.append(self._interval(self._resampling(metric, retrieved, effects)))
        return scores, tuple(intervals)

    def accuracy(self, retrieved: Retrieved) -> RetrievalValue:
        """With the balanced database."""
        cells = [
            _cell(one, one.first, f"{rounded_percent(one.first)} of its queries find their class")
            for one in mean_scores(retrieved)
        ]
        balanced = _balanced(retrieved)
        effects = _effects(retrieved, balanced)
        return self._value(ACCURACY, retrieved, effects, cells, "accuracy", "higher", balanced)

    def drop(self, retrieved: Retrieved) -> RetrievalValue | None:
        """Mean over the confounded databases, relative to the balanced one; None where that has nothing."""
        retrieved = replace(retrieved, scale="bounded")
        # As of a group: the accuracy of one repetition can be 0.
        effects = drop_effects(retrieved, np.ones(len(self.slides.cells), dtype=bool))
        if effects is None:
            return None
        cells = [
            _cell(
                one,
                one.later - one.first,
                f"the share of its queries that find their class goes from {one.first:.3f} in the balanced "
                f"database to {one.later:.3f} on average in the confounded ones",
                unit="in the share of right queries",
            )
            for one in mean_scores(retrieved)
        ]
        return self._value(DROP, retrieved, effects, cells, "drop", "smaller")

    def same_center(self, preferred: Retrieved, retrieved: list[Searched]) -> RetrievalValue:
        """With the balanced database."""
        shares = {
            name: replace(preferred, of_repetition=[getattr(one, name) for one in retrieved])
            for name in ("same_center", "expected")
        }
        pairs = zip(*(mean_scores(of) for of in (preferred, *shares.values())), strict=True)
        cells = [
            _cell(
                one,
                one.first,
                f"{rounded_percent(share.first)} of the results come from the query's own medical center, "
                f"which has {rounded_percent(expected.first)} of the database",
            )
            for one, share, expected in pairs
        ]
        balanced = _balanced(preferred)
        effects = _effects(preferred, balanced)
        return self._value(SAME_CENTER, preferred, effects, cells, "preference", "lower", balanced)

    def _value(
        self,
        metric: str,
        retrieved: Retrieved,
        effects: DropEffects,
        cells: list[CellValue],
        what: str,
        better: str,
        factors: Float64 | None = None,
    ) -> RetrievalValue:
        higher_is_better = metric != SAME_CENTER
        resampling = self._resampling(metric, retrieved, effects)
        return RetrievalValue(
            value=resampling.value,
            interval=self._interval(resampling),
            resampling=resampling,
            cells=tuple(sorted(cells, key=lambda cell: cell.value if higher_is_better else -cell.value)),
            slides=worst_slides(resampling, retrieved, what, better, higher_is_better=higher_is_better),
            groups=drop_groups(
                metric,
                retrieved,
                self.confidence,
                factors=factors,
                patches=self.slides.patches,
                higher_is_better=higher_is_better,
            ),
        )

    def _resampling(self, metric: str, retrieved: Retrieved, effects: DropEffects) -> Resampling:
        return drop_resampling(metric, effects, retrieved, self.protocol)

    def _interval(self, resampling: Resampling) -> Interval | None:
        return interval_of(resampling, confidence=self.confidence)


def _balanced(retrieved: Retrieved) -> Float64:
    """(splits,) factors of the balanced database alone."""
    return np.asarray(np.eye(len(retrieved.of_repetition[0]))[0])


def _effects(retrieved: Retrieved, factors: Float64) -> DropEffects:
    effects = drop_effects(retrieved, factors=factors)
    assert effects is not None  # noqa: S101 (a split always has an accuracy)
    return effects


def _cell(one: CellScores, value: float, meaning: str, unit: str = "") -> CellValue:
    return CellValue(
        medical_center=one.medical_center,
        biological_class=one.biological_class,
        value=value,
        meaning=meaning,
        unit=unit,
    )
