"""Result of `class_prediction`: how well biological classes are told apart across and within centers."""

from __future__ import annotations

from dataclasses import dataclass

from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.short_text import patches_text, short_text, value_text
from pathorob_checks.wording import counted

ACROSS, WITHIN = "class_prediction", "class_prediction_within"
CHANCE = 0.5


@dataclass(frozen=True, kw_only=True)
class ClassPrediction:
    """Result of `class_prediction`.

    Attributes
    ----------
    across : Measurement or None
        Of the probe that learns from all medical centers together; None where no two centers have enough
        slides of the same two classes.
    within : Measurement
        Of the probes that learn from one medical center each, and are tested there.
    pairs : int
        Number of pairs of classes that are told apart across centers.
    pairs_within : int
        Number of pairs of classes that are told apart within a center, over all centers.
    folds : int
        Most folds of a pair.
    rows : int
        Number of in-domain patches, each counted once.
    left_out : int
        Number of out-of-domain patches of the table, which it does not read.
    confidence : float
        Of the intervals, between 0 and 1.

    See Also
    --------
    class_prediction : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import class_prediction
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 6 * (patches.biological_class == "tumor")
    >>> result = class_prediction(embeddings, patches)
    >>> result.pairs, result.pairs_within, result.within.support
    (1, 2, 1.0)
    >>> list(result.measurements())
    ['class_prediction', 'class_prediction_within']
    """

    across: Measurement | None
    within: Measurement
    pairs: int
    pairs_within: int
    folds: int
    rows: int
    left_out: int
    confidence: float

    def __repr__(self) -> str:
        values = [
            f"{name} {value_text(measured.value, measured.interval, self.confidence)}"
            for name, measured in (("across", self.across), ("within", self.within))
            if measured is not None
        ]
        rests_on = f"{counted(self.pairs_within, 'pair')} of classes in a center, {patches_text(self.rows)}"
        return short_text("ClassPrediction", *values, rests_on)

    def measurements(self) -> dict[str, Measurement]:
        """Return the measurements by the metrics' names.

        Returns
        -------
        dict of str to Measurement
            With the key `class_prediction_within` and, where it has a value, `class_prediction`.
        """
        measured = (self.across, self.within)
        return {each.metric: each for each in measured if each is not None}
