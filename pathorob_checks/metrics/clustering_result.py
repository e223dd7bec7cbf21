"""Result of `clustering_score`: whether clusters follow biology or medical centers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from pathorob_checks.metrics.cluster_combinations import Pair
from pathorob_checks.metrics.cluster_pictures import value_by_pairs
from pathorob_checks.metrics.cluster_uncertainty import CLASS_ARI, METRIC, Combination, ScoreUncertainty
from pathorob_checks.metrics.measurement import CellValue, GroupValue, Interval, Measurement, SlideValue
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import patches_text, short_text, value_text
from pathorob_checks.wording import counted


@dataclass(frozen=True, kw_only=True)
class ClusteringScore:
    """Result of `clustering_score`.

    Attributes
    ----------
    value : float
        Mean over combinations; +1 clusters are biology, -1 clusters are centers.
    interval : tuple of (float, float) or None
        At `confidence`, for new slides and other seeds; None without slides.
    interval_note : str
        How it was made and what it leaves out.
    confidence : float
        Of the intervals, between 0 and 1.
    deviation : float
        Sample standard deviation over trials of the mean over combinations; 0 for one trial.
    combinations : tuple of Combination
        One for each pair of classes x pair of centers, or for each of a sample of them.
    all_combinations : int
        How many there are; more than in `combinations` where those are a sample.
    trials : int
        Number of k-means runs at the chosen K.
    rows : int
        Number of in-domain patches, which are those that it reads.
    left_out : int
        Number of out-of-domain patches of the table, which it does not read.
    slides : tuple of SlideValue
        Those without which the score would rise most, worst first.
    groups : mapping of str to tuple of GroupValue
        Score of the combinations with each "medical_center" and "biological_class", lowest first.
    resampling : Resampling or None
        Effects of slides and trials, for paired intervals.
    class_ari : Measurement
        How the same clusters agree with the biological class alone: the mean of ARI(class).

    See Also
    --------
    clustering_score : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import clustering_score
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> result = clustering_score(embeddings, patches, trials=3, clusters=range(2, 5))
    >>> combination = result.combinations[0]
    >>> combination.classes, combination.centers, combination.K
    (('normal', 'tumor'), ('Aachen', 'Bonn'), 3)
    >>> result.measurements()["clustering_score"] == result.measurement()
    True
    >>> round(result.class_ari.value, 2)
    0.5
    """

    value: float
    interval: Interval | None
    interval_note: str
    confidence: float
    deviation: float
    combinations: tuple[Combination, ...]
    all_combinations: int
    trials: int
    rows: int
    left_out: int
    slides: tuple[SlideValue, ...]
    groups: Mapping[str, tuple[GroupValue, ...]]
    resampling: Resampling | None
    class_ari: Measurement

    main_metrics = (METRIC,)

    def __repr__(self) -> str:
        combinations = counted(len(self.combinations), "combination")
        rests_on = f"{combinations}, {counted(self.trials, 'trial')}, {patches_text(self.rows)}"
        return short_text("ClusteringScore", value_text(self.value, self.interval, self.confidence), rests_on)

    def measurements(self) -> dict[str, Measurement]:
        """Return both values by the name of their metric.

        Returns
        -------
        dict of str to Measurement
            With the keys `clustering_score` and `class_ari`.
        """
        return {METRIC: self.measurement(), CLASS_ARI: self.class_ari}

    def measurement(self) -> Measurement:
        """Return the value as criteria and reports take it.

        Returns
        -------
        Measurement
            Of the metric `clustering_score`.
        """
        return Measurement(
            metric=METRIC,
            value=self.value,
            interval=self.interval,
            support=None,
            rows=self.rows,
            protocol={
                "trials": self.trials,
                "deviation_over_trials": self.deviation,
                "all_combinations": self.all_combinations,
                "combinations": [
                    {
                        "classes": list(c.classes),
                        "centers": list(c.centers),
                        "K": c.K,
                        "ari_class": float(c.ari_class.mean()),
                        "ari_center": float(c.ari_center.mean()),
                    }
                    for c in self.combinations
                ],
            },
            cells=cells_of(METRIC, self.combinations),
            interval_note=self.interval_note,
            confidence=self.confidence,
            resampling=self.resampling,
            slides=self.slides,
            groups=self.groups,
            unstable=self.resampling.unstable if self.resampling else "",
            grids=(value_by_pairs(METRIC, self.combinations),),
        )


def class_ari_of(
    done: tuple[Combination, ...], uncertainty: ScoreUncertainty, *, rows: int, confidence: float
) -> Measurement:
    """The mean of ARI(class) over combinations, with the uncertainty that was computed for it."""
    return Measurement(
        metric=CLASS_ARI,
        value=float(np.mean([one.value_of(CLASS_ARI) for one in done])),
        interval=uncertainty.interval,
        support=None,
        rows=rows,
        protocol={"trials": len(done[0].ari_class), "combinations": len(done)},
        cells=cells_of(CLASS_ARI, done),
        interval_note=uncertainty.note,
        confidence=confidence,
        resampling=uncertainty.resampling,
        slides=uncertainty.slides,
        groups=uncertainty.groups,
        unstable=uncertainty.resampling.unstable if uncertainty.resampling else "",
        grids=(value_by_pairs(CLASS_ARI, done),),
    )


def cells_of(metric: str, done: tuple[Combination, ...]) -> tuple[CellValue, ...]:
    """Mean value of the combinations in which a center and a class take part, lowest first."""
    taking_part: dict[Pair, list[Combination]] = {}
    for combination in done:
        for cell in product(combination.centers, combination.classes):
            taking_part.setdefault(cell, []).append(combination)
    cells = [
        CellValue(
            medical_center=center,
            biological_class=cls,
            value=float(np.mean([c.value_of(metric) for c in parts])),
            meaning=f"in {counted(len(parts), 'combination')} with it, clusters agree with the class at "
            f"{np.mean([c.ari_class.mean() for c in parts]):.3f} and with the center at "
            f"{np.mean([c.ari_center.mean() for c in parts]):.3f} (adjusted Rand index)",
        )
        for (center, cls), parts in taking_part.items()
    ]
    return tuple(sorted(cells, key=lambda cell: cell.value))
