"""Planted cohorts whose slides differ: for simulations of the intervals, over and over with new slides."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt
import pandas as pd

from pathorob_checks.metrics import robustness_index
from pathorob_checks.metrics.neighborhoods import RobustnessIndex

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Design:
    """What stays the same in every simulated cohort: cells, slides per cell, patches per slide, strengths.

    Class and center c move an embedding by `biology` and `center` along axes of their own, and every slide
    by a random vector of standard deviation `slide` per axis, beside noise of standard deviation 1.
    `both_classes`: a slide gives patches to every class of its center, half as many to each. The slides of a
    case follow each other, and each case moves them by a random vector of standard deviation `case` per axis.
    """

    slides: int
    patches: int
    biology: float
    center: float
    slide: float
    classes: int = 2
    centers: int = 2
    both_classes: bool = False
    outside_slides: int = 0  # per class, of one more center, out of domain
    dim: int = 12
    slides_per_case: int = 1
    case: float = 0.0

    def table(self) -> pd.DataFrame:
        """The patch table, the same for every simulated cohort."""
        rows: list[tuple[str, str, str, str]] = []
        for center, cls, slide in product(range(self.centers), range(self.classes), range(self.slides)):
            name = f"{center}/{slide}" if self.both_classes else f"{center}/{cls}/{slide}"
            rows += [("ID", name, f"class {cls}", f"center {center}")] * self.patches
        for cls, slide in product(range(self.classes), range(self.outside_slides)):
            rows += [("OOD", f"outside/{cls}/{slide}", f"class {cls}", "outside")] * self.patches
        table = pd.DataFrame(rows, columns=["subset", "slide_id", "biological_class", "medical_center"])
        if self.slides_per_case > 1:
            cell = table.slide_id.str.rpartition("/")
            table["case_id"] = cell[0] + "/" + (cell[2].astype(int) // self.slides_per_case).astype(str)
        return table

    def embeddings(self, table: pd.DataFrame, seed: int, *, other_fm: float = 0.0) -> Float32:
        """(N, dim) float32 of new slides for every seed.

        `other_fm` adds noise of its own to the same slides and patches, as another FM would see them.
        """
        rng = np.random.default_rng(seed)
        axes = np.eye(self.dim)
        cls = table.biological_class.str[-1].astype(int).to_numpy()
        center = table.medical_center.map(lambda name: -1 if name == "outside" else int(name[-1])).to_numpy()
        x = self.biology * axes[cls] * 2**0.5
        inside = center >= 0
        x[inside] += self.center * axes[self.classes + center[inside]] * 2**0.5
        slide, names = pd.factorize(table.slide_id)
        x += self.slide * rng.standard_normal((len(names), self.dim))[slide]
        x += rng.standard_normal(x.shape)
        if self.case:
            case, names = pd.factorize(table.slide_id if self.slides_per_case == 1 else table.case_id)
            x += self.case * rng.standard_normal((len(names), self.dim))[case]
        if other_fm:
            x += other_fm * rng.standard_normal(x.shape)
        return x.astype(np.float32)


def paired_table(table: pd.DataFrame) -> pd.DataFrame:
    """Every two classes x two centers as a subset; column `row` has the row of `table`."""
    parts = []
    pairs = [
        list(combinations(sorted(table[column].unique()), 2))
        for column in ("biological_class", "medical_center")
    ]
    for classes, centers in product(*pairs):
        kept = table.biological_class.isin(classes) & table.medical_center.isin(centers)
        part = table[kept].copy()
        part["row"] = part.index
        part["subset"] = "+".join((*classes, *centers))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


DESIGN = Design(slides=4, patches=5, biology=0.8, center=0.8, slide=0.6)


def measured(seed: int) -> tuple[Float32, pd.DataFrame, RobustnessIndex]:
    """Embeddings whose index is not at an end of the scale, their patches, and the index."""
    table = DESIGN.table()
    x = DESIGN.embeddings(table, seed)
    result = robustness_index(x, table, k=5)
    assert 0 < result.value < 1
    assert result.interval is not None
    return x, table, result
