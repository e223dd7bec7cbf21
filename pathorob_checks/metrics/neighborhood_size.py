"""How many neighbors the robustness index reads: k, and what a table must have for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.labelled import PatchLabels
from pathorob_checks.wording import counted

METRIC = "robustness_index"
USUAL_K = 11  # of the benchmark's Camelyon, the smallest of its three
BEST = "best"

# A number, "best" for the k that classifies best, or None for the table's own by `Lists.usual_k`.
ChosenK = int | Literal["best"] | None


@dataclass(frozen=True, kw_only=True)
class Lists:
    """What a table allows neighbor lists to be.

    Attributes
    ----------
    parts : row numbers of each part inside which neighbors are sought.
    longest : how long the lists of all patches can be: patches on other slides, for the largest slide.
    largest_slide : its name, and its patches in a part.
    smallest_class : patches of the smallest biological class.
    metric : named in messages.
    """

    parts: list[Int64]
    longest: int
    largest_slide: tuple[str, int]
    smallest_class: int
    metric: str

    @property
    def usual_k(self) -> int:
        """The k of a table that names none, the same for every FM: 11, or less in a small table."""
        return min(USUAL_K, self.most_k)

    @property
    def most_k(self) -> int:
        """Where k ends unless it is named: the smallest class, as far as the lists reach."""
        return max(1, min(self.longest, self.smallest_class))

    def reach(self, k: ChosenK, largest_k: int | None) -> tuple[int | None, int]:
        """The k, None where it is yet to be searched for, and the largest k of the lists.

        Raises
        ------
        MetricError : k is no number of neighbors, or the table has fewer.
        """
        if not (k is None or k == BEST or _is_number(k)):
            raise MetricError(
                f"{self.metric}: k is {k!r}",
                remedy=f"give a whole number of 1 or more, {BEST!r}, or None for the table's own",
            )
        number = self.usual_k if k is None else int(k) if _is_number(k) else None
        reach = largest_k if largest_k is not None else number or self.most_k
        if not 1 <= (number or 1) <= reach:
            raise MetricError(
                f"{self.metric}: k = {number or 1} exceeds largest_k = {reach}",
                remedy="give at most largest_k",
            )
        if reach > self.longest:
            slide, patches = self.largest_slide
            raise MetricError(
                f"{self.metric}: k = {reach} neighbors were requested, but the "
                f"{counted(patches, 'patch', 'patches')} of slide {slide!r} have only "
                f"{counted(self.longest, 'neighbor')} on other slides",
                remedy="lower k, or add slides",
            )
        return number, reach


def lists_of(read: PatchLabels, slides: Any, paired: bool, metric: str = METRIC) -> Lists:
    """The neighbor lists that a table allows.

    Raises
    ------
    MetricError : a paired subset has one class or one center only.
    """
    parts = _parts(read, metric) if paired else [np.arange(len(read.rows), dtype=np.int64)]
    sizes = [np.bincount(slides.codes[rows]) for rows in parts]
    longest, where = min(
        (len(rows) - int(size.max()), n) for n, (rows, size) in enumerate(zip(parts, sizes, strict=True))
    )
    largest = int(sizes[where].argmax())
    return Lists(
        parts=parts,
        longest=longest,
        largest_slide=(slides.names[largest], int(sizes[where][largest])),
        smallest_class=int(np.bincount(read.classes.codes).min()),
        metric=metric,
    )


def refuse_certain_index(read: PatchLabels, lists: Lists) -> None:
    """Refuse a table whose labels alone decide the index, whatever the embeddings are.

    Raises
    ------
    MetricError : no patch can have a neighbor of another class from its center, or none can have one of its
        class from another center.
    """
    cells = [
        np.unique(np.stack([read.classes.codes[part], read.centers.codes[part]]), axis=1)
        for part in lists.parts
    ]
    for row, certain, sentence in (
        (1, 1, "no medical center has patches of two biological classes"),
        (0, 0, "no biological class has patches from two medical centers"),
    ):
        if not any((np.bincount(of_part[row]) > 1).any() for of_part in cells):
            raise MetricError(
                f"{lists.metric}: {sentence}, so that the index would be {certain} whatever the FM is",
                remedy="add slides so that two centers share two classes",
            )


def _parts(read: PatchLabels, metric: str) -> list[Int64]:
    parts = []
    for code, name in enumerate(read.subsets.names):
        rows = np.flatnonzero(read.subsets.codes == code)
        for labels, noun in ((read.classes, "biological class"), (read.centers, "medical center")):
            codes = np.unique(labels.codes[rows])
            if len(codes) < 2:
                raise MetricError(
                    f"{metric}: the paired subset {name!r} has only the {noun} "
                    f"{labels.names[codes[0]]!r}, and neighbors are sought inside each subset",
                    remedy="put patches of two classes from two centers into every subset, or give "
                    "paired=False",
                )
        parts.append(rows)
    return parts


def _is_number(k: object) -> TypeGuard[int]:
    return isinstance(k, int | np.integer) and not isinstance(k, bool) and bool(k >= 1)
