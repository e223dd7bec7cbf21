"""Result of `performance_drop`: both drops, and what criteria take of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.degradation import Degradation
from pathorob_checks.metrics.diagnostic_errors import (
    DiagnosticErrors,
    ErrorAsymmetry,
    asymmetry_measurement,
    errors_measurement,
)
from pathorob_checks.metrics.drop_effects import Predictions, drop_effects
from pathorob_checks.metrics.drop_uncertainty import NOTE, draws_share, drop_resampling, worst_slides
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.measurement import CellValue, GroupValue, Measurement, SlideValue
from pathorob_checks.metrics.pictured import DECIMALS, Curve, rounded
from pathorob_checks.metrics.repairing import with_fixed_repair
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import patches_text, short_text, value_text
from pathorob_checks.wording import counted, percent, rounded_percent

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PerformanceDrop:
    """Result of `performance_drop`. Drops are relative: -0.05 means 5 % of the accuracy is lost.

    Attributes
    ----------
    id_drop : float
        Mean drop over repetitions, in-domain.
    ood_drop : float or None
        Mean drop over repetitions, out-of-domain; None without out-of-domain patches.
    id_interval : tuple of (float, float) or None
        Confidence interval for the value over all slides of these medical centers and classes,
        at `confidence`; None where a center and class has only one slide (or case) to learn from.
    ood_interval : tuple of (float, float) or None
        The same, out-of-domain.
    id_accuracies : (splits, repetitions) ndarray of float64
        Balanced accuracies, 0 to 1.
    ood_accuracies : (splits, repetitions) ndarray of float64 or None
        The same, out-of-domain.
    id_accuracy_intervals : tuple of ((float, float) or None)
        The same of the mean accuracy at every split.
    ood_accuracy_intervals : tuple of ((float, float) or None)
        The same, out-of-domain; empty without out-of-domain patches.
    degradations : mapping of str to Measurement
        `nipd_id` and `nipd_ood`: the share of the accuracy above chance that is lost, integrated over
        Cramér's V. Missing where the accuracy at the balanced split is not above chance.
    cramers_v : tuple of float
        Of every split's training slides, 0 (class and center independent) to 1.
    regularisation : (splits, repetitions) ndarray of float64
        The C that validation chose.
    id_cells, ood_cells : tuple of CellValue
        Centers x classes, largest loss of recall first.
    id_slides, ood_slides : tuple of SlideValue
        Test slides, largest loss of recall first.
    id_groups, ood_groups : mapping of str to tuple of GroupValue
        Drop by "medical_center" and "biological_class" of the test patches, worst first.
    id_resampling : Resampling
        The slides and repetitions, for paired intervals.
    ood_resampling : Resampling or None
        The same, out-of-domain.
    id_errors : DiagnosticErrors or None
        What each class is called at each center, in-domain; None where no cell is tested by two repetitions.
    ood_errors : DiagnosticErrors or None
        The same, out-of-domain; None also without out-of-domain patches.
    asymmetry : ErrorAsymmetry or None
        Whether in-domain errors go towards the classes that go with the patch's center in training; None
        where the schedule makes no class go with a center.
    confidence : float
        Of the intervals, between 0 and 1.
    schedule : str
        Name of the schedule.
    training_slides : int
        Number of slides in each training set.
    classes : int
        Number of biological classes.
    rows : int
        Number of patches.
    repaired : bool
        Whether a repair was fitted in every repetition and split. It counts as fixed where a training slide
        is left out, as the measurements' notes on intervals say.

    See Also
    --------
    performance_drop : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import performance_drop
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(2)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> patches["subset"] = "ID"
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> result = performance_drop(embeddings, patches, repetitions=2)
    >>> result.cramers_v
    (0.0, 0.25, 0.5, 0.75, 1.0)
    >>> result.id_accuracies.shape, result.ood_drop
    ((5, 2), None)
    >>> list(result.measurements())
    ['performance_drop_id', 'diagnostic_errors_id', 'error_asymmetry', 'nipd_id']
    """

    id_drop: float
    ood_drop: float | None
    id_interval: tuple[float, float] | None
    ood_interval: tuple[float, float] | None
    id_accuracies: Float64
    ood_accuracies: Float64 | None
    id_accuracy_intervals: tuple[tuple[float, float] | None, ...]
    ood_accuracy_intervals: tuple[tuple[float, float] | None, ...]
    degradations: Mapping[str, Measurement]
    cramers_v: tuple[float, ...]
    regularisation: Float64
    id_cells: tuple[CellValue, ...]
    ood_cells: tuple[CellValue, ...]
    id_slides: tuple[SlideValue, ...]
    ood_slides: tuple[SlideValue, ...]
    id_groups: Mapping[str, tuple[GroupValue, ...]]
    ood_groups: Mapping[str, tuple[GroupValue, ...]]
    id_resampling: Resampling
    ood_resampling: Resampling | None
    id_errors: DiagnosticErrors | None
    ood_errors: DiagnosticErrors | None
    asymmetry: ErrorAsymmetry | None
    confidence: float
    schedule: str
    training_slides: int
    classes: int
    rows: int
    repaired: bool = False
    # What a test means that checks the result without the name of a metric.
    main_metrics: ClassVar[tuple[str, ...]] = ("performance_drop_id", "performance_drop_ood")

    def __repr__(self) -> str:
        drops = f"in-domain {value_text(self.id_drop, self.id_interval, self.confidence)}"
        if self.ood_drop is not None:
            drops += f", out-of-domain {value_text(self.ood_drop, self.ood_interval, self.confidence)}"
        splits, repetitions = self.id_accuracies.shape
        rests_on = f"{counted(splits, 'training split')}, {counted(repetitions, 'repetition')}"
        return short_text("PerformanceDrop", drops, f"{rests_on}, {patches_text(self.rows)}")

    def measurements(self) -> dict[str, Measurement]:
        """Return the drops, the diagnostic errors behind them and the degradations by metric name.

        Returns
        -------
        dict of str to Measurement
            With the keys `performance_drop_id`, `diagnostic_errors_id` and `error_asymmetry`, and, where
            there are out-of-domain patches, `performance_drop_ood` and `diagnostic_errors_ood`; and those of
            `degradations`.
        """
        measured = {
            "performance_drop_id": Measurement(
                metric="performance_drop_id",
                value=self.id_drop,
                interval=self.id_interval,
                support=None,
                rows=self.rows,
                protocol=self._protocol(self.id_accuracies),
                cells=self.id_cells,
                interval_note=_interval_note(self.id_resampling),
                confidence=self.confidence,
                resampling=self.id_resampling,
                slides=self.id_slides,
                groups=self.id_groups,
                curves=(self._curve("in-domain", self.id_accuracies, self.id_accuracy_intervals),),
            )
        }
        if self.ood_drop is not None and self.ood_accuracies is not None and self.ood_resampling is not None:
            measured["performance_drop_ood"] = replace(
                measured["performance_drop_id"],
                metric="performance_drop_ood",
                value=self.ood_drop,
                interval=self.ood_interval,
                protocol=self._protocol(self.ood_accuracies),
                cells=self.ood_cells,
                resampling=self.ood_resampling,
                interval_note=_interval_note(self.ood_resampling),
                slides=self.ood_slides,
                groups=self.ood_groups,
                curves=(self._curve("out-of-domain", self.ood_accuracies, self.ood_accuracy_intervals),),
            )
        for errors, accuracies in (
            (self.id_errors, self.id_accuracies),
            (self.ood_errors, self.ood_accuracies),
        ):
            if errors is not None and accuracies is not None:
                measured[errors.metric] = errors_measurement(errors, self._protocol(accuracies), self.rows)
        if self.asymmetry is not None:
            note = _interval_note(self.asymmetry.resampling)
            measured["error_asymmetry"] = asymmetry_measurement(
                self.asymmetry, self._protocol(self.id_accuracies), self.rows, note
            )
        measured |= self.degradations
        return with_fixed_repair(measured) if self.repaired else measured

    def _curve(
        self, domain: str, accuracies: Float64, intervals: tuple[tuple[float, float] | None, ...]
    ) -> Curve:
        ends = [(math.nan, math.nan) if interval is None else interval for interval in intervals]
        return Curve(
            name=f"balanced accuracy, {domain}",
            over="Cramér's V of class and center in the training slides",
            x=tuple(round(v, DECIMALS) for v in self.cramers_v),
            y=rounded(accuracies.mean(axis=1)),
            low=rounded([low for low, _ in ends]),
            high=rounded([high for _, high in ends]),
            band=f"{percent(self.confidence)} interval",
            level=round(1 / self.classes, DECIMALS),
            level_name="chance",
        )

    def _protocol(self, accuracies: Float64) -> dict[str, object]:
        return {
            "schedule": self.schedule,
            "training_slides": self.training_slides,
            "cramers_v": [round(v, 6) for v in self.cramers_v],
            "repetitions": int(accuracies.shape[1]),
            "chance": round(1 / self.classes, 6),
            "accuracy_by_split": [round(float(a), 6) for a in accuracies.mean(axis=1)],
        }


def degradation_of(
    name: str,
    domain: str,
    tested: Predictions,
    degradation: Degradation,
    protocol: Mapping[str, object],
    confidence: float,
    rows: int,
) -> Measurement | None:
    """The degradation in a domain with its interval and slides; None where there is no skill to lose."""
    effects = drop_effects(tested, degradation=degradation)
    if effects is None:
        return None
    curve = degradation.curve(effects.accuracies.mean(axis=1))
    resampling = drop_resampling(name, effects, tested, protocol)
    return Measurement(
        metric=name,
        value=resampling.value,
        interval=interval_of(resampling, confidence=confidence),
        rows=rows,
        protocol={**protocol, "chance": round(degradation.chance, DECIMALS)},
        interval_note=_interval_note(resampling),
        confidence=confidence,
        resampling=resampling,
        slides=worst_slides(resampling, tested, "degradation"),
        curves=(
            Curve(
                name=f"change of the accuracy above chance, {domain}",
                over="Cramér's V of class and center in the training slides",
                x=tuple(round(v, DECIMALS) for v in degradation.cramers_v),
                y=() if curve is None else rounded(curve),
                level=0.0,
                level_name="nothing is lost",
            ),
        ),
    )


def _interval_note(resampling: Resampling) -> str:
    share = rounded_percent(draws_share(resampling))
    return NOTE.format(share=share, noun=resampling.noun, repetitions=resampling.protocol["repetitions"])
