"""Bags: the patches of one biological class on one slide, as a slide-level prediction reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.inputs import Int64, Labels, Units
from pathorob_checks.metrics.labelled import PatchLabels
from pathorob_checks.metrics.schedules import Repetition


@dataclass(frozen=True, kw_only=True)
class BagTable:
    """The B bags of N patches. A slide with patches of several classes is one bag for each of them.

    Attributes
    ----------
    of_patch : (N,) int64 number of the bag of each patch.
    patches : (B,) int64 number of patches.
    classes, centers, slides : labels of the B bags; names as in the labels of the patches.
    units : what an interval draws anew, of the B bags.
    outside : (B,) bool, out-of-domain bags.
    """

    of_patch: Int64
    patches: Int64
    classes: Labels
    centers: Labels
    slides: Labels
    units: Units
    outside: npt.NDArray[np.bool_]

    @cached_property
    def cells(self) -> Int64:
        """(B,) int64 cell (center x class) of every bag."""
        return self.centers.codes * len(self.classes) + self.classes.codes

    def among(self, rows: Int64) -> tuple[Int64, tuple[Int64, ...]]:
        """The bags that some patches are of, ascending, and which of these patches are in each."""
        numbers, place, count = np.unique(self.of_patch[rows], return_inverse=True, return_counts=True)
        ordered = rows[np.argsort(place, kind="stable")]
        ends = np.cumsum(count)
        return numbers, tuple(ordered[end - size : end] for size, end in zip(count, ends, strict=True))


def bags_of(read: PatchLabels) -> BagTable:
    """The bags of labelled patches, in the order of slides and classes by name."""
    assert read.slides is not None and read.units is not None  # noqa: S101, PT018 (the caller needs them)
    pair = read.slides.codes * len(read.classes) + read.classes.codes
    _, first, of_patch, patches = np.unique(pair, return_index=True, return_inverse=True, return_counts=True)
    return BagTable(
        of_patch=of_patch.astype(np.int64),
        patches=patches.astype(np.int64),
        classes=Labels(read.classes.codes[first], read.classes.names),
        centers=Labels(read.centers.codes[first], read.centers.names),
        slides=Labels(read.slides.codes[first], read.slides.names),
        units=Units(read.units.codes[first], read.units.names, read.units.noun),
        outside=read.outside[first],
    )


def share_drawn(bags: BagTable, drawn: Sequence[Repetition]) -> float:
    """The share f of the in-domain slides that trains in a repetition, as the spread of the draws knows it.

    If k of the N slides of a cell train and their effects add up, the draws of one cohort vary by
    k (1 - k/N) times the variance of a slide, and what they have in common varies between cohorts by k^2/N:
    f / (1 - f) times as much, with f = sum of k^2/N over sum of k, over the cells of all splits but the
    first.
    """
    cells = len(bags.centers) * len(bags.classes)
    there = np.bincount(bags.cells[~bags.outside], minlength=cells)
    squares = total = 0.0
    for draw in drawn:
        for rows in draw.training[1:]:
            k = np.bincount(bags.cells[bags.among(rows)[0]], minlength=cells)
            squares += float((k**2 / np.maximum(there, 1)).sum())
            total += float(k.sum())
    return squares / total
