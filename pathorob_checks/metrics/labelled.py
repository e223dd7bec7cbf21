"""Embeddings with their labels, read the same way for a function that a user calls and for a run.

Out-of-domain patches (subset 'OOD') only test classifiers: the metrics without classifiers leave them out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import (
    Float32,
    Int64,
    Labels,
    Units,
    as_embeddings,
    labels,
    resampling_units,
)
from pathorob_checks.subsets import IN_DOMAIN, OUT_OF_DOMAIN, are_paired, probably_meant
from pathorob_checks.wording import counted, quoted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class PatchLabels:
    """The labels of N patches.

    Attributes
    ----------
    rows : (N,) int64, where the patches are in the table that the caller gave.
    slides : None where a metric does without them and the table has none.
    units : what an interval draws anew, see `inputs.resampling_units`; None without slides.
    left_out : how many patches of that table are not among them.
    """

    rows: Int64
    classes: Labels
    centers: Labels
    subsets: Labels
    slides: Labels | None
    units: Units | None
    left_out: int = 0

    @property
    def outside(self) -> Any:
        """(N,) bool, the out-of-domain patches."""
        return self.subsets.are(OUT_OF_DOMAIN)

    @property
    def are_paired(self) -> bool:
        """Whether the in-domain patches are in paired subsets."""
        return are_paired(self.subsets.names)

    def in_domain(self, metric: str) -> PatchLabels:
        """Without the out-of-domain patches.

        Raises
        ------
        MetricError : nothing is left.
        """
        outside = self.outside
        if not outside.any():
            return self
        if outside.all():
            raise MetricError(
                f"{metric}: all {counted(len(outside), 'patch', 'patches')} are out-of-domain (subset "
                f"'{OUT_OF_DOMAIN}'), and none is in-domain",
                remedy=f"set subset to '{IN_DOMAIN}' for the medical centers that are to be compared",
            )
        return replace(self.take(np.flatnonzero(~outside)), left_out=int(outside.sum()))

    def take(self, some: Int64) -> PatchLabels:
        """The labels of some of the patches; names that none of them has are gone."""
        return replace(
            self,
            rows=self.rows[some],
            classes=self.classes.take(some),
            centers=self.centers.take(some),
            subsets=self.subsets.take(some),
            slides=None if self.slides is None else self.slides.take(some),
            units=None if self.units is None else self.units.take(some),
        )

    def need_two(self, metric: str) -> None:
        """Raise MetricError where there is no patch, or only one class or center."""
        if not len(self.rows):
            raise MetricError(
                f"{metric}: there are no patches to read", remedy="check the cohort's subset column"
            )
        for column, column_labels in (("biological_class", self.classes), ("medical_center", self.centers)):
            if len(column_labels) < 2:
                where = " in in-domain rows" if self.left_out else ""
                raise MetricError(
                    f"{metric}: column {column!r} has only the value {quoted(column_labels.names)}{where}",
                    remedy="give patches of at least 2 different values",
                )

    def table(self) -> pd.DataFrame:
        """The labels as text, with a fresh index."""
        import pandas as pd

        columns = {
            "subset": self.subsets,
            "slide_id": self.slides,
            "biological_class": self.classes,
            "medical_center": self.centers,
        }
        return pd.DataFrame({name: column.texts() for name, column in columns.items() if column is not None})


def read_labels(patches: pd.DataFrame, metric: str, *, needs_slides: bool = True) -> PatchLabels:
    """The labels of a table, checked for what would make two rows one or one center two.

    Parameters
    ----------
    patches : with the columns `biological_class`, `medical_center`, `slide_id` (see `needs_slides`) and
        optionally `subset` (all 'ID' without it) and `patch_id`.

    Raises
    ------
    MetricError : a column is missing, a label is empty, has white space around it or stands in two
        encodings, a subset is unknown, a patch is there twice, a slide is in two centers, or a center is both
        in-domain and out-of-domain.
    """
    classes = labels(patches, "biological_class", metric)
    centers = labels(patches, "medical_center", metric)
    has_slides = needs_slides or "slide_id" in patches.columns
    slides = labels(patches, "slide_id", metric) if has_slides else None
    subsets = Labels(np.zeros(len(patches), dtype=np.int64), (IN_DOMAIN,))
    if "subset" in patches.columns:
        subsets = labels(patches, "subset", metric)
        _check_subsets(subsets, metric)
    read = PatchLabels(
        rows=np.arange(len(patches), dtype=np.int64),
        classes=classes,
        centers=centers,
        subsets=subsets,
        slides=slides,
        units=resampling_units(patches, metric) if has_slides else None,
    )
    _check_places(read, metric)
    _check_patches(patches, metric)
    return read


def read_embeddings(
    embeddings: Any, patches: pd.DataFrame, metric: str, *, needs_slides: bool = True
) -> tuple[Float32, PatchLabels]:
    """The in-domain embeddings and their labels: what every metric but the performance drop reads.

    Returns
    -------
    (n, D) float32 embeddings, and the labels of these n patches.

    Raises
    ------
    MetricError : as `as_embeddings`, `read_labels` and `PatchLabels.in_domain`; or there is only one class or
        center.
    """
    array = as_embeddings(embeddings, patches, metric)
    read = read_labels(patches, metric, needs_slides=needs_slides).in_domain(metric)
    read.need_two(metric)
    return array[read.rows] if read.left_out else array, read


def each_once(array: Float32, read: PatchLabels) -> tuple[Float32, PatchLabels]:
    """Without the repeated rows of patches that stand in several paired subsets."""
    if not read.are_paired:
        return array, read
    from pathorob_checks.metrics.neighbor_lists import different_patches

    assert read.slides is not None  # noqa: S101 (they are needed)
    first, _ = different_patches(array, read.slides.codes)
    return array[first], read.take(first)


def _check_subsets(subsets: Labels, metric: str) -> None:
    for code, name in enumerate(subsets.names):
        if (meant := probably_meant(name)) is not None:
            raise MetricError(
                f"{metric}: row {subsets.first(code)} has the subset {name!r}, which is probably meant as "
                f"'{meant}'",
                remedy=f"write '{IN_DOMAIN}' (in-domain) or '{OUT_OF_DOMAIN}' (out-of-domain); paired "
                "subsets need other names",
            )
    own = [name for name in subsets.names if name not in (IN_DOMAIN, OUT_OF_DOMAIN)]
    if own and IN_DOMAIN in subsets.names:
        raise MetricError(
            f"{metric}: row {subsets.first(subsets.names.index(own[0]))} has the subset {own[0]!r} and row "
            f"{subsets.first(subsets.names.index(IN_DOMAIN))} has '{IN_DOMAIN}', but in-domain patches are "
            f"either all '{IN_DOMAIN}' or all in paired subsets",
            remedy=f"write '{IN_DOMAIN}' or '{OUT_OF_DOMAIN}' in every row, or a paired subset's name "
            f"instead of every '{IN_DOMAIN}'",
        )


def _check_places(read: PatchLabels, metric: str) -> None:
    """Require that a slide is in one center, and a center on one side."""
    if read.slides is not None and (contradiction := _several(read.slides, read.centers.codes)):
        slide, (one, other) = contradiction
        raise MetricError(
            f"{metric}: slide {slide!r} has patches from {read.centers.names[one]} and "
            f"{read.centers.names[other]}",
            remedy="correct the center, or give slides of different centers different names",
        )
    if contradiction := _several(read.centers, read.outside.astype(np.int64)):
        raise MetricError(
            f"{metric}: the medical center {contradiction[0]!r} has in-domain and out-of-domain patches",
            remedy=f"set subset to '{OUT_OF_DOMAIN}' for all patches of the center, or for none",
        )


def _several(of: Labels, values: Int64) -> tuple[str, tuple[int, int]] | None:
    """The first label whose rows have more than one of some values, and two of these."""
    pairs = np.unique(np.stack([of.codes, values], axis=1), axis=0)
    again = np.flatnonzero(pairs[1:, 0] == pairs[:-1, 0])
    if not again.size:
        return None
    (label, one), (_, other) = pairs[again[0]], pairs[again[0] + 1]
    return of.names[label], (int(one), int(other))


def _check_patches(patches: pd.DataFrame, metric: str) -> None:
    """Require that no patch is there twice, as far as the table tells patches apart."""
    if not {"slide_id", "patch_id"}.issubset(patches.columns):
        return
    key = [name for name in ("subset", "slide_id", "patch_id") if name in patches.columns]
    table = patches[key].astype(str).reset_index(drop=True)
    again = np.flatnonzero(table.duplicated().to_numpy())
    if again.size:
        row = int(again[0])
        first = int(np.flatnonzero((table == table.iloc[row]).all(axis=1).to_numpy())[0])
        raise MetricError(
            f"{metric}: rows {first} and {row} both describe slide {table.slide_id[row]!r} patch "
            f"{table.patch_id[row]!r}",
            remedy="delete one of them, or give every patch of a slide its own name",
        )
