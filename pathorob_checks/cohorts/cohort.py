"""What every cohort offers: labelled patches, their images, and how the metrics read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pathorob_checks.canonical import digest_of
from pathorob_checks.subsets import OUT_OF_DOMAIN, are_paired

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from PIL import Image

COLUMNS = ("subset", "slide_id", "patch_id", "biological_class", "medical_center")
CASE = "case_id"  # where a cohort's table has this column, intervals draw cases (patients) instead of slides
VIEWS = ("robustness_index", "performance_drop", "clustering_score")


@dataclass(frozen=True, kw_only=True)
class View:
    """The rows of a cohort that a metric reads, and how it reads them.

    Attributes
    ----------
    rows : (n,) int64, positions in the cohort's patch table; a patch may stand in several subsets.
    patches : n rows with the columns of `COLUMNS`, and `case_id` where the cohort's table has it; row i
        describes `rows[i]` as this view sees it.
    paired : neighbors are sought inside each value of `subset` and the counts pooled.
    k : number of neighbors; None is the usual one of the table, the same for every FM.
    schedule : name of a published training schedule; None builds the general one from the table.
    """

    rows: npt.NDArray[np.int64]
    patches: pd.DataFrame
    paired: bool = False
    k: int | None = None
    schedule: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Patches with their labels and images.

    Attributes
    ----------
    name : short name for tables and test ids.
    patches : one row per patch with the columns of `COLUMNS` and, where known, `case_id`, all of them
        strings; the index is 0..N-1 and (slide_id, patch_id) is unique.
    read_image : row number -> RGB image, on any thread; raises `CohortError` for an image that cannot
        be decoded.
    images : hex digest of everything that decides the images (their bytes, or the generator's source and
        recipe); labels are not part of it, so that relabeling does not embed anew.
    views : by the names in `VIEWS`.
    license : SPDX-like expression or free text; "unknown" where it is not stated.
    commercial : whether the license allows commercial use; None where that is unknown.
    source : where the images are from, for reports.
    sources : which data sets or hospitals the slides come from; empty where that is not stated.
    reading_order : N row numbers in the order in which the images are cheapest to read, and the same in
        every process; None is the order of the patch keys.
    notes : sentences that a report of this cohort must show.
    tables : digests of the tables that say what the metrics read, by file name.
    own_tables : those of a benchmark cohort that the user gave and that are not the published ones: what is
        published of the benchmark is not about them.
    """

    name: str
    patches: pd.DataFrame
    read_image: Callable[[int], Image.Image]
    images: str
    views: Mapping[str, View]
    license: str = "unknown"
    commercial: bool | None = None
    source: str = ""
    sources: tuple[str, ...] = ()
    reading_order: Callable[[], npt.NDArray[np.int64]] | None = None
    notes: tuple[str, ...] = ()
    tables: Mapping[str, str] | None = None
    own_tables: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.patches)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of everything about the cohort that decides a number, but not the order of its rows.

        These are the images, every label of every patch, and how each metric reads them: rows, subsets, k,
        paired design and schedule.
        """
        views = {
            name: {
                "rows": _digest_of_rows(view.patches),
                "paired": view.paired,
                "k": view.k,
                "schedule": view.schedule,
            }
            for name, view in self.views.items()
        }
        return digest_of(
            {
                "format": 1,
                "images": self.images,
                "patches": _digest_of_rows(self.patches),
                "views": views,
                "tables": dict(self.tables or {}),
            }
        )

    @cached_property
    def keys(self) -> list[str]:
        """`<slide_id>-<patch_id>` of every row: what identifies a patch within the cohort."""
        return patch_keys(self.patches)


def _digest_of_rows(patches: pd.DataFrame) -> str:
    columns = [column for column in (*COLUMNS, CASE) if column in patches.columns]
    rows = sorted(zip(*(patches[column] for column in columns), strict=True))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def patch_keys(patches: pd.DataFrame) -> list[str]:
    """`<slide_id>-<patch_id>` of every row."""
    return [f"{s}-{p}" for s, p in zip(patches.slide_id, patches.patch_id, strict=True)]


def views_of_one_table(patches: pd.DataFrame, *, k: int | None = None) -> dict[str, View]:
    """The views of a cohort whose metrics all read the same table.

    `performance_drop` reads all rows (it trains on in-domain patches and tests on both), the other
    metrics those whose subset is not 'OOD'. Where these have subsets of their own instead of 'ID',
    neighbors are sought inside each (paired design).
    """
    import numpy as np

    subset = patches["subset"].to_numpy(dtype=object)
    everything = np.arange(len(patches), dtype=np.int64)
    inside = np.flatnonzero(subset != OUT_OF_DOMAIN).astype(np.int64)
    paired = are_paired(subset)

    def view(rows: npt.NDArray[np.int64], paired: bool = False, k: int | None = None) -> View:
        rows.flags.writeable = False
        return View(rows=rows, patches=patches.iloc[rows].reset_index(drop=True), paired=paired, k=k)

    return {
        "robustness_index": view(inside, paired, k),
        "performance_drop": view(everything),
        "clustering_score": view(inside),
    }
