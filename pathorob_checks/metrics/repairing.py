"""Repairs inside metrics that train: fitted anew on the patches of every training set.

A repair that had seen the test slides would be better there than on new slides. So metrics with training
sets do not read embeddings that are repaired already: they have the FM's own repaired once for each set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import Float32, Int64
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.wording import counted

FIXED = (
    "The repair counts as fixed where a training slide is left out: what the slide adds by way of the repair "
    "shows in the spread of the repetitions only."
)


class Repairing(Protocol):
    """A repair of embeddings that knows the medical center, and the class if it may, of every patch."""

    def __call__(self, embeddings: Float32, training: Int64, /) -> Float32:
        """Fit on the training patches alone, and repair all patches.

        It is called for one training set after the other, and from several threads at the same time.

        Parameters
        ----------
        embeddings : (N, D) float32, read-only, in the order of the metric's patch table.
        training : (n,) int64 row numbers; a row occurs once.

        Returns
        -------
        (N, E) float32.

        Raises
        ------
        MethodError : it cannot be fitted on these patches.
        """
        ...


def repaired(repair: Repairing, embeddings: Float32, training: Int64, metric: str) -> Float32:
    """All patches, repaired by what the training patches say: C-contiguous float32, writable.

    Raises
    ------
    MetricError : the repair gave another number of rows, no columns, or NaN or infinity.
    """
    array, rows = embeddings.view(), training.view()
    array.flags.writeable = rows.flags.writeable = False
    after = np.require(repair(array, rows), np.float32, ("C", "W"))
    remedy = "report it to the authors of the method, or leave the method out"
    if after.ndim != 2 or len(after) != len(array) or after.shape[1] == 0:
        raise MetricError(
            f"{metric}: the repair of {counted(len(array), 'embedding')} has the shape {after.shape}",
            remedy=remedy,
        )
    broken = ~np.isfinite(after).all(axis=1)
    if broken.any():
        raise MetricError(
            f"{metric}: the repair gives {counted(int(broken.sum()), 'embedding')} with NaN or infinity, the "
            f"first in row {int(np.flatnonzero(broken)[0])}",
            remedy=remedy,
        )
    return after


def with_fixed_repair(measured: Mapping[str, Measurement]) -> dict[str, Measurement]:
    """The measurements, whose notes on intervals say that the repair counts as fixed."""
    return {
        name: replace(one, interval_note=f"{one.interval_note} {FIXED}") if one.interval_note else one
        for name, one in measured.items()
    }
