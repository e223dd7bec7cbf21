"""Result of `slide_prediction`: what is lost in each domain, and what criteria take of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.auc_effects import GUESS
from pathorob_checks.metrics.drop_uncertainty import draws_share
from pathorob_checks.metrics.measurement import CellValue, GroupValue, Interval, Measurement, SlideValue
from pathorob_checks.metrics.pictured import DECIMALS, Curve, rounded
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import patches_text, short_text, value_text
from pathorob_checks.wording import counted, percent, rounded_percent

Float64 = npt.NDArray[np.float64]
_NAMES = {"id": "in-domain", "ood": "out-of-domain"}
_NOTE = (
    "Student's t with the effects of every {noun} in the test and the spread of {repetitions} repetitions, "
    "from which the part that their training {noun}s have in common is extrapolated: what other {noun}s from "
    "the same medical centers would show. {share} of its variance comes from the repetitions."
)


@dataclass(frozen=True, kw_only=True)
class DomainPrediction:
    """Slide-level predictions tested in one domain, of a `SlidePrediction`.

    Attributes
    ----------
    drop : float
        Mean AUC over splits 1.. and repetitions, relative to that at split 0 (or to 0.5, a guess,
        where that is less), minus 1: -0.05 means that 5 % of the AUC is lost.
    interval : tuple of (float, float) or None
        Confidence interval for the value over all slides of these medical centers and classes;
        None where a center and class has only one slide (or case) to learn from.
    aucs : (splits, repetitions) ndarray of float64
        Areas under the ROC curve, 0 to 1 (0.5: a guess); with several classes the mean over classes of the
        class against the others.
    auc_intervals : tuple of ((float, float) or None)
        Of the mean AUC at every split.
    accuracies : (splits, repetitions) ndarray of float64
        Balanced accuracies of the predicted classes of slides, 0 to 1.
    accuracy_intervals : tuple of ((float, float) or None)
        Of the mean balanced accuracy at every split.
    cells : tuple of CellValue
        Centers x classes, largest loss of recall first.
    slides : tuple of SlideValue
        The test slides (or cases) that make the drop larger, largest effect first.
    groups : mapping of str to tuple of GroupValue
        Drop by "medical_center" of the test slides and by "biological_class" (of the AUC of the class against
        the others), worst first. Centers with slides of one class only are missing.
    resampling : Resampling
        The slides and repetitions, for paired intervals.

    See Also
    --------
    SlidePrediction : The result that has one for each domain.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import slide_prediction
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(4)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> slide_prediction(embeddings, patches, repetitions=2).inside
    <DomainPrediction: drop 0.000; AUC 1.000 to 1.000>
    """

    drop: float
    interval: Interval | None
    aucs: Float64
    auc_intervals: tuple[Interval | None, ...]
    accuracies: Float64
    accuracy_intervals: tuple[Interval | None, ...]
    cells: tuple[CellValue, ...]
    slides: tuple[SlideValue, ...]
    groups: Mapping[str, tuple[GroupValue, ...]]
    resampling: Resampling

    def __repr__(self) -> str:
        first, last = self.aucs[0].mean(), self.aucs[-1].mean()
        return short_text("DomainPrediction", f"drop {self.drop:.3f}", f"AUC {first:.3f} to {last:.3f}")


@dataclass(frozen=True, kw_only=True)
class SlidePrediction:
    """Result of `slide_prediction`.

    Attributes
    ----------
    inside : DomainPrediction
        Tested at the medical centers of the training slides.
    outside : DomainPrediction or None
        Tested at other medical centers; None without out-of-domain patches of two classes.
    cramers_v : tuple of float
        Of every split's training slides, 0 (class and center independent) to 1.
    share_drawn : float
        Share of the in-domain slides that trains in a repetition (0 to 1), from which the interval says how
        much the training slides of all repetitions have in common.
    confidence : float
        Of the intervals, between 0 and 1.
    schedule : str
        Name of the schedule.
    training_slides : int
        Number of slides in each training set; a slide counts once for each of its classes.
    classes : int
        Number of biological classes.
    seed : int
        Of the initial parameters.
    rows : int
        Number of patches.

    See Also
    --------
    slide_prediction : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import slide_prediction
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(4)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> result = slide_prediction(embeddings, patches, repetitions=2)
    >>> result.cramers_v
    (0.0, 0.25, 0.5, 0.75, 1.0)
    >>> result.inside.aucs.shape, result.outside
    ((5, 2), None)
    >>> list(result.measurements())
    ['slide_prediction_id']
    """

    inside: DomainPrediction
    outside: DomainPrediction | None
    cramers_v: tuple[float, ...]
    share_drawn: float
    confidence: float
    schedule: str
    training_slides: int
    classes: int
    seed: int
    rows: int

    def __repr__(self) -> str:
        drops = "; ".join(
            f"{_NAMES[suffix]} {value_text(domain.drop, domain.interval, self.confidence)}"
            for suffix, domain in self._domains().items()
        )
        splits, repetitions = self.inside.aucs.shape
        rests_on = f"{counted(splits, 'training split')}, {counted(repetitions, 'repetition')}"
        return short_text("SlidePrediction", drops, f"{rests_on}, {patches_text(self.rows)}")

    def measurements(self) -> dict[str, Measurement]:
        """Return the in-domain and, where measured, the out-of-domain drop by metric name.

        Returns
        -------
        dict of str to Measurement
            With the keys `slide_prediction_id` and, where there are out-of-domain patches of two classes,
            `slide_prediction_ood`.
        """
        return {
            f"slide_prediction_{suffix}": self._measurement(f"slide_prediction_{suffix}", suffix, domain)
            for suffix, domain in self._domains().items()
        }

    def _domains(self) -> dict[str, DomainPrediction]:
        return {"id": self.inside} | ({"ood": self.outside} if self.outside else {})

    def _measurement(self, metric: str, suffix: str, domain: DomainPrediction) -> Measurement:
        return Measurement(
            metric=metric,
            value=domain.drop,
            interval=domain.interval,
            support=None,
            rows=self.rows,
            protocol=self._protocol(domain),
            cells=domain.cells,
            interval_note=_interval_note(domain),
            confidence=self.confidence,
            resampling=domain.resampling,
            slides=domain.slides,
            groups=domain.groups,
            detail=_at_both_ends(domain),
            curves=(
                self._curve(f"AUC of slides, {_NAMES[suffix]}", domain.aucs, domain.auc_intervals, GUESS),
                self._curve(
                    f"balanced accuracy of slides, {_NAMES[suffix]}",
                    domain.accuracies,
                    domain.accuracy_intervals,
                    1 / self.classes,
                ),
            ),
        )

    def _curve(
        self, name: str, values: Float64, intervals: tuple[Interval | None, ...], chance: float
    ) -> Curve:
        ends = [(math.nan, math.nan) if interval is None else interval for interval in intervals]
        return Curve(
            name=name,
            over="Cramér's V of class and center in the training slides",
            x=tuple(round(v, DECIMALS) for v in self.cramers_v),
            y=rounded(values.mean(axis=1)),
            low=rounded([low for low, _ in ends]),
            high=rounded([high for _, high in ends]),
            band=f"{percent(self.confidence)} interval",
            level=round(chance, DECIMALS),
            level_name="chance",
        )

    def _protocol(self, domain: DomainPrediction) -> dict[str, object]:
        return {
            "schedule": self.schedule,
            "training_slides": self.training_slides,
            "cramers_v": [round(v, 6) for v in self.cramers_v],
            "repetitions": int(domain.aucs.shape[1]),
            "seed": self.seed,
            "chance": round(1 / self.classes, 6),
            "auc_by_split": [round(float(auc), 6) for auc in domain.aucs.mean(axis=1)],
            "accuracy_by_split": [round(float(accuracy), 6) for accuracy in domain.accuracies.mean(axis=1)],
        }


def _interval_note(domain: DomainPrediction) -> str:
    side = domain.resampling
    share = rounded_percent(draws_share(side))
    return _NOTE.format(share=share, noun=side.noun, repetitions=side.protocol["repetitions"])


def _at_both_ends(domain: DomainPrediction) -> str:
    first, last = float(domain.aucs[0].mean()), float(domain.aucs[-1].mean())
    return (
        f"The AUC is {first:.3f} with balanced training slides and {last:.3f} where class and center are "
        f"fully correlated (a guess: {GUESS:.3f})."
    )
