"""What every cohort offers: labelled patches, their images, and how the metrics read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from PIL import Image

IN_DOMAIN = "ID"
OUT_OF_DOMAIN = "OOD"
COLUMNS = ("subset", "slide_id", "patch_id", "biological_class", "medical_center")


@dataclass(frozen=True, kw_only=True)
class View:
    """The rows of a cohort that one metric reads, and the design of that reading.

    Attributes
    ----------
    rows : (n,) int64, positions in the cohort's patch table.
    paired : neighbors are sought inside each value of `subset` and the counts pooled.
    k : number of neighbors; None lets the benchmark's rule choose it.
    schedule : name of a published training schedule; None builds the general one from the table.
    """

    rows: npt.NDArray[np.int64]
    paired: bool = False
    k: int | None = None
    schedule: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Patches with their labels and images.

    Attributes
    ----------
    name : short name for tables and test ids.
    patches : one row per patch with the columns of `COLUMNS`, all of them strings; the index is
        0..N-1 and (slide_id, patch_id) is unique.
    read_image : row number -> RGB image; raises `CohortError` for an image that cannot be decoded.
    digest : hex digest of everything that decides the images (their bytes, or the generator's
        source and recipe); labels are not part of it.
    license : SPDX-like expression or free text; "unknown" when nobody said.
    view_settings : metric name -> fields of `View` other than `rows`.
    """

    name: str
    patches: pd.DataFrame
    read_image: Callable[[int], Image.Image]
    digest: str
    license: str = "unknown"
    source: str = ""
    view_settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.patches)

    @cached_property
    def keys(self) -> list[str]:
        """`<slide_id>-<patch_id>` of every row: what identifies a patch within the cohort."""
        return [f"{s}-{p}" for s, p in zip(self.patches.slide_id, self.patches.patch_id, strict=True)]
