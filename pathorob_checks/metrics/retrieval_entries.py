"""What a search of slides compares: for each slide, the mean embedding of its patches of one class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import Float32, Int64, Labels, Units
from pathorob_checks.metrics.labelled import PatchLabels

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Entries:
    """Entries of all databases, and all queries: the patches of one class on one slide.

    A slide with patches of several classes is several entries, and none of them finds another one of the
    slide.

    Attributes
    ----------
    of_patch : (N,) int64 entry of each patch.
    patches : (E,) int64 number of patches of each entry.
    directions : (E, D) float64 mean embeddings, scaled to length 1.
    classes, centers, slides : labels of the entries.
    units : slides, or the cases that they belong to.
    outside : (E,) bool, whether the entry is out-of-domain.
    """

    of_patch: Int64
    patches: Int64
    directions: Float64
    classes: Labels
    centers: Labels
    slides: Labels
    units: Units
    outside: npt.NDArray[np.bool_]

    @cached_property
    def similarity(self) -> Float64:
        """(E, E) cosine similarities."""
        return np.asarray(self.directions @ self.directions.T)

    @cached_property
    def cells(self) -> Int64:
        """(E,) int64 cell (center x class) of each entry."""
        return self.centers.codes * len(self.classes) + self.classes.codes


def entries(array: Float32, read: PatchLabels, metric: str) -> Entries:
    """Average the patches of every slide and class.

    Raises
    ------
    MetricError : the mean of a slide's embeddings is zero, so that it has no direction.
    """
    assert read.slides is not None and read.units is not None  # noqa: S101, PT018 (they are needed)
    _, first, of_patch = np.unique(
        read.slides.codes * len(read.classes) + read.classes.codes, return_index=True, return_inverse=True
    )
    patches = np.bincount(of_patch)
    order, begins = np.argsort(of_patch, kind="stable"), np.append(0, np.cumsum(patches))
    means = np.stack(
        [array[order[begin:end]].mean(axis=0, dtype=np.float64) for begin, end in pairwise(begins)]
    )
    length = np.linalg.norm(means, axis=1)
    if not length.all():
        slide = read.slides.texts()[first[int(np.flatnonzero(length == 0)[0])]]
        raise MetricError(
            f"{metric}: the mean embedding of slide {slide!r} is all zero",
            remedy="check the model's preprocessing, or leave out this slide",
        )

    def of_entries(labels: Labels) -> Labels:
        return Labels(labels.codes[first], labels.names)

    return Entries(
        of_patch=of_patch,
        patches=patches,
        directions=means / length[:, None],
        classes=of_entries(read.classes),
        centers=of_entries(read.centers),
        slides=of_entries(read.slides),
        units=Units(read.units.codes[first], read.units.names, read.units.noun),
        outside=read.outside[first],
    )
