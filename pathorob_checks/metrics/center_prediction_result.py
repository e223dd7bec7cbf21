"""Result of `center_prediction`: the accuracy of both probes, and what criteria take of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pathorob_checks.metrics.measurement import CellValue, GroupValue, Interval, Measurement, SlideValue
from pathorob_checks.metrics.pictured import DECIMALS, Grid, rounded
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import patches_text, short_text, value_text
from pathorob_checks.wording import counted

METRIC, KNN = "center_prediction", "center_prediction_knn"
PROBES: Mapping[str, str] = {METRIC: "linear probe", KNN: "k nearest neighbors"}
CHANCE = 0.5


@dataclass(frozen=True, kw_only=True)
class ProbeAccuracy:
    """How well one probe tells medical centers apart.

    Attributes
    ----------
    value : float
        Mean balanced accuracy over the pairs of medical centers within each biological class: 0.5 is chance,
        1 means that the center is always recognized.
    interval : tuple of (float, float) or None
        At the result's confidence, for slides drawn anew.
    class_accuracy : float or None
        Of the same probe for two biological classes within one medical center; None where no center has
        enough slides of two classes.
    cells : tuple of CellValue
        Centers x classes, those whose center is recognized most often first.
    slides : tuple of SlideValue
        Those that raise the value most, first the most responsible.
    groups : mapping of str to tuple of GroupValue
        By "medical_center" (how well it is told from the others) and by "biological_class", highest first.
    resampling : Resampling
        Effects of the slides, for paired intervals.
    confusions : Grid
        For each center, the share of its patches that is put into it and into each other one.

    See Also
    --------
    center_prediction : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import center_prediction
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 1] += 6 * (patches.medical_center == "Bonn")
    >>> linear = center_prediction(embeddings, patches).linear
    >>> linear.value > 0.9, linear.class_accuracy < 0.7
    (True, True)
    """

    value: float
    interval: Interval | None
    class_accuracy: float | None
    cells: tuple[CellValue, ...]
    slides: tuple[SlideValue, ...]
    groups: Mapping[str, tuple[GroupValue, ...]]
    resampling: Resampling
    confusions: Grid


@dataclass(frozen=True, kw_only=True)
class CenterPrediction:
    """Result of `center_prediction`.

    Attributes
    ----------
    linear : ProbeAccuracy
        Of the logistic regression.
    knn : ProbeAccuracy
        Of the vote of the nearest neighbors.
    pairs : int
        Number of pairs of medical centers within a class that are told apart.
    class_pairs : int
        Number of pairs of classes within a medical center.
    folds : int
        Most folds of a pair.
    neighbors : int
        Most neighbors that vote.
    support : float
        Share (0 to 1) of the patches that are tested; the others are beyond the most patches of a cell, or in
        cells with fewer than three slides or without another center.
    rows : int
        Number of in-domain patches, each counted once.
    left_out : int
        Number of out-of-domain patches of the table, which it does not read.
    confidence : float
        Of the intervals, between 0 and 1.
    interval_note : str
        How the intervals were made and what they leave out.

    See Also
    --------
    center_prediction : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import center_prediction
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 1] += 6 * (patches.medical_center == "Bonn")
    >>> result = center_prediction(embeddings, patches)
    >>> result.pairs, result.support
    (2, 1.0)
    >>> list(result.measurements())
    ['center_prediction', 'center_prediction_knn']
    """

    linear: ProbeAccuracy
    knn: ProbeAccuracy
    pairs: int
    class_pairs: int
    folds: int
    neighbors: int
    support: float
    rows: int
    left_out: int
    confidence: float
    interval_note: str

    def __repr__(self) -> str:
        return short_text(
            "CenterPrediction",
            f"linear {value_text(self.linear.value, self.linear.interval, self.confidence)}",
            f"k-NN {value_text(self.knn.value, self.knn.interval, self.confidence)}",
            f"{counted(self.pairs, 'pair')} of centers, {patches_text(self.rows)}",
        )

    def measurements(self) -> dict[str, Measurement]:
        """Return the measurement of each probe by the metric's name.

        Returns
        -------
        dict of str to Measurement
            With the keys `center_prediction` (logistic regression) and `center_prediction_knn`.
        """
        probes = {METRIC: self.linear, KNN: self.knn}
        return {name: self._measurement(name, probe) for name, probe in probes.items()}

    def _measurement(self, name: str, probe: ProbeAccuracy) -> Measurement:
        return Measurement(
            metric=name,
            value=probe.value,
            interval=probe.interval,
            support=self.support,
            rows=self.rows,
            protocol={
                **probe.resampling.protocol,
                "chance": CHANCE,
                "pairs_of_centers": self.pairs,
                "pairs_of_classes": self.class_pairs,
                "class_accuracy": None
                if probe.class_accuracy is None
                else round(probe.class_accuracy, DECIMALS),
            },
            cells=probe.cells,
            interval_note=self.interval_note if probe.interval else "",
            confidence=self.confidence,
            resampling=probe.resampling,
            slides=probe.slides,
            groups=probe.groups,
            grids=(self._beside_classes(), probe.confusions),
        )

    def _beside_classes(self) -> Grid:
        """Balanced accuracy of both probes for the medical center, beside that for the class."""
        none = float("nan")
        probes = (self.linear, self.knn)
        classes = [none if probe.class_accuracy is None else probe.class_accuracy for probe in probes]
        return Grid(
            name="balanced accuracy",
            row_name="labels",
            column_name="probe",
            rows=("two medical centers", "two biological classes"),
            columns=tuple(PROBES.values()),
            values=(rounded([probe.value for probe in probes]), rounded(classes)),
            neutral=CHANCE,
            is_share=True,
        )
