"""Result of `case_retrieval`, and what criteria take of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.drop_uncertainty import draws_share
from pathorob_checks.metrics.measurement import CellValue, GroupValue, Interval, Measurement, SlideValue
from pathorob_checks.metrics.pictured import DECIMALS, Curve, rounded
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import patches_text, short_text, value_text
from pathorob_checks.wording import counted, percent, rounded_percent

Float64 = npt.NDArray[np.float64]
ACCURACY, DROP, SAME_CENTER = "retrieval_accuracy", "retrieval_drop", "retrieval_same_center"
_NOTE = (
    "Student's t with the effects of every {noun} as query and in the databases: what other {noun}s from the "
    "same medical centers would show. {share} of its variance is the draw of {repetitions} repetitions; more "
    "of them narrow that part only."
)


@dataclass(frozen=True, kw_only=True)
class RetrievalValue:
    """One of the values of `case_retrieval`, measured with the in-domain queries.

    Attributes
    ----------
    value : float
        On the scale of its metric.
    interval : tuple of (float, float) or None
        Confidence interval for the value over all slides of these medical centers and classes;
        None where a center and class has only one slide (or case).
    resampling : Resampling
        The slides and repetitions, for paired intervals.
    cells : tuple of CellValue
        Centers x classes of the queries, worst first.
    slides : tuple of SlideValue
        Slides that make the value worse, as queries or in the databases, largest effect first.
    groups : mapping of str to tuple of GroupValue
        By "medical_center" and "biological_class" of the queries, worst first.

    See Also
    --------
    case_retrieval : The function that measures it.

    Examples
    --------
    >>> from pathorob_checks.metrics import Resampling, RetrievalValue
    >>> resampling = Resampling(
    ...     metric="retrieval_accuracy", value=0.9, scale="share", drawn="slides and repetitions",
    ...     units=(), cells=(), effects=(), protocol={},
    ... )
    >>> RetrievalValue(
    ...     value=0.9, interval=(0.8, 1.0), resampling=resampling, cells=(), slides=(), groups={}
    ... ).interval
    (0.8, 1.0)
    """

    value: float
    interval: Interval | None
    resampling: Resampling
    cells: tuple[CellValue, ...]
    slides: tuple[SlideValue, ...]
    groups: Mapping[str, tuple[GroupValue, ...]]


@dataclass(frozen=True, kw_only=True)
class CaseRetrieval:
    """Result of `case_retrieval`. Accuracies are means over the classes, at every split of the schedule.

    Attributes
    ----------
    accuracy : RetrievalValue
        Share of the queries whose class is the majority's, with the balanced database.
    drop : RetrievalValue or None
        Relative change of the accuracy in the confounded databases: -0.1 means 10 % less than in the balanced
        one. None where no query finds its class in the balanced database.
    same_center : RetrievalValue
        How far results of the balanced database prefer the query's own medical center: 0 not, 1 all results.
    id_accuracies : (splits, repetitions) ndarray of float64
        Accuracies of the in-domain queries, 0 to 1.
    ood_accuracies : (splits, repetitions) ndarray of float64 or None
        The same, of the out-of-domain queries; None without any.
    id_accuracy_intervals, ood_accuracy_intervals : tuple of ((float, float) or None)
        Of the mean accuracy at every split; empty without such queries.
    same_center_intervals : tuple of ((float, float) or None)
        Of `preference_by_split`.
    accuracies_by_results : mapping of int to tuple of float
        From the number of results that vote to the mean accuracy in-domain at every split.
    average_precision : mapping of str to tuple of float
        From the biological class of the in-domain queries to their mean average precision at every split.
    same_center_by_split, expected_by_split, preference_by_split : tuple of float
        In-domain at every split: share of the results from the query's center, the share that this center
        has of the database, and how far results prefer it.
    cramers_v : tuple of float
        Of every split's database, 0 (class and center independent) to 1.
    queried : float
        Share (0 to 1) of the in-domain patches whose slides were queries.
    confidence : float
        Of the intervals, between 0 and 1.
    schedule : str
        Name of the schedule.
    top : int
        Number of results that vote.
    database_slides : int
        Number of slides in each database.
    classes : int
        Number of biological classes.
    rows : int
        Number of patches.

    See Also
    --------
    case_retrieval : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import case_retrieval
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(2)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 4 * (patches.biological_class == "tumor")
    >>> result = case_retrieval(embeddings, patches)
    >>> list(result.measurements())
    ['retrieval_accuracy', 'retrieval_drop', 'retrieval_same_center']
    >>> sorted(result.average_precision), result.ood_accuracies
    (['normal', 'tumor'], None)
    """

    accuracy: RetrievalValue
    drop: RetrievalValue | None
    same_center: RetrievalValue
    id_accuracies: Float64
    ood_accuracies: Float64 | None
    id_accuracy_intervals: tuple[Interval | None, ...]
    ood_accuracy_intervals: tuple[Interval | None, ...]
    same_center_intervals: tuple[Interval | None, ...]
    accuracies_by_results: Mapping[int, tuple[float, ...]]
    average_precision: Mapping[str, tuple[float, ...]]
    same_center_by_split: tuple[float, ...]
    expected_by_split: tuple[float, ...]
    preference_by_split: tuple[float, ...]
    cramers_v: tuple[float, ...]
    queried: float
    confidence: float
    schedule: str
    top: int
    database_slides: int
    classes: int
    rows: int

    def __repr__(self) -> str:
        parts = (("accuracy", self.accuracy), ("drop", self.drop), ("same center", self.same_center))
        values = ", ".join(
            f"{name} {value_text(part.value, part.interval, self.confidence)}" for name, part in parts if part
        )
        splits, repetitions = self.id_accuracies.shape
        rests_on = f"{counted(splits, 'database')}, {counted(repetitions, 'repetition')}"
        return short_text("CaseRetrieval", values, f"{rests_on}, {patches_text(self.rows)}")

    def measurements(self) -> dict[str, Measurement]:
        """Return the measurements by the name of the metric.

        Returns
        -------
        dict of str to Measurement
            With the keys `retrieval_accuracy`, `retrieval_same_center` and, where it is defined,
            `retrieval_drop`.
        """
        inside = self._curve("in-domain", self.id_accuracies, self.id_accuracy_intervals)
        curves = [inside]
        if self.ood_accuracies is not None:
            curves.append(self._curve("out-of-domain", self.ood_accuracies, self.ood_accuracy_intervals))
        curves.append(self._curve_of_precision())
        measured = {ACCURACY: self._measurement(ACCURACY, self.accuracy, curves)}
        if self.drop is not None:
            measured[DROP] = self._measurement(DROP, self.drop, curves)
        measured[SAME_CENTER] = self._measurement(SAME_CENTER, self.same_center, [self._curve_of_centers()])
        return measured

    def _measurement(self, metric: str, of: RetrievalValue, curves: Sequence[Curve]) -> Measurement:
        return Measurement(
            metric=metric,
            value=of.value,
            interval=of.interval,
            support=None,
            rows=self.rows,
            protocol=self._protocol(metric),
            cells=of.cells,
            interval_note=_NOTE.format(
                noun=of.resampling.noun,
                share=rounded_percent(draws_share(of.resampling)),
                repetitions=self.id_accuracies.shape[1],
            ),
            confidence=self.confidence,
            resampling=of.resampling,
            slides=of.slides,
            groups=of.groups,
            curves=tuple(curves),
        )

    def _protocol(self, metric: str) -> dict[str, object]:
        protocol: dict[str, object] = {
            "schedule": self.schedule,
            "database_slides": self.database_slides,
            "top": self.top,
            "cramers_v": list(rounded(self.cramers_v)),
            "repetitions": self.id_accuracies.shape[1],
            "queried": round(self.queried, DECIMALS),
        }
        if metric == SAME_CENTER:
            return {
                **protocol,
                "same_center_by_split": list(rounded(self.same_center_by_split)),
                "expected_by_split": list(rounded(self.expected_by_split)),
            }
        protocol["chance"] = round(1 / self.classes, DECIMALS)
        protocol["accuracy_by_split"] = list(rounded(self.id_accuracies.mean(axis=1)))
        if self.ood_accuracies is not None:
            protocol["ood_accuracy_by_split"] = list(rounded(self.ood_accuracies.mean(axis=1)))
        for count, values in self.accuracies_by_results.items():
            protocol[f"accuracy_of_top_{count}_by_split"] = list(rounded(values))
        protocol["mean_average_precision_by_class"] = {
            name: list(rounded(values)) for name, values in self.average_precision.items()
        }
        return protocol

    def _curve(self, domain: str, accuracies: Float64, intervals: tuple[Interval | None, ...]) -> Curve:
        return self._over_v(
            f"accuracy of the majority of {counted(self.top, 'result')}, {domain}",
            accuracies.mean(axis=1).tolist(),
            intervals,
            level=round(1 / self.classes, DECIMALS),
            level_name="chance",
        )

    def _curve_of_precision(self) -> Curve:
        precision = np.mean(list(self.average_precision.values()), axis=0)
        return self._over_v("mean average precision, in-domain", precision.tolist())

    def _curve_of_centers(self) -> Curve:
        return self._over_v(
            "preference of the query's medical center",
            self.preference_by_split,
            self.same_center_intervals,
            level=0.0,
            level_name="no preference",
        )

    def _over_v(
        self,
        name: str,
        values: Sequence[float],
        intervals: tuple[Interval | None, ...] = (),
        level: float | None = None,
        level_name: str = "",
    ) -> Curve:
        ends = [(math.nan, math.nan) if interval is None else interval for interval in intervals]
        return Curve(
            name=name,
            over="Cramér's V of class and center in the database",
            x=tuple(round(v, DECIMALS) for v in self.cramers_v),
            y=rounded(values),
            low=rounded([low for low, _ in ends]),
            high=rounded([high for _, high in ends]),
            band=f"{percent(self.confidence)} interval" if ends else "",
            level=level,
            level_name=level_name,
        )
