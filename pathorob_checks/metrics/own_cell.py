"""How many neighbors can share both class and center with their patch, before others must follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.index_uncertainty import Bool
from pathorob_checks.metrics.resampling import FixedNeighbors
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    from pathorob_checks.metrics.neighbor_search import SearchedPatches


@dataclass(frozen=True, kw_only=True)
class OwnCell:
    """A cell (medical center x biological class) as one of its patches sees it.

    Attributes
    ----------
    name : class and center.
    patches : of the cell, on other slides than the patch's own.
    """

    name: str
    patches: int


def smallest_own_cell(searched: SearchedPatches) -> OwnCell:
    """The cell whose patches have the fewest neighbors of their own class and center."""
    read, slides = searched.read, searched.slides
    smallest = OwnCell(name="", patches=len(read.rows))
    for part in searched.lists.parts:
        cells = read.centers.codes[part] * len(read.classes) + read.classes.codes[part]
        _, place, patches = np.unique(cells, return_inverse=True, return_counts=True)
        own = np.stack([cells, slides.codes[part]])
        _, slide, patches_of_slide = np.unique(own, axis=1, return_inverse=True, return_counts=True)
        alike = patches[place] - patches_of_slide[slide.ravel()]
        first = int(alike.argmin())
        if alike[first] < smallest.patches:
            center, cls = divmod(int(cells[first]), len(read.classes))
            name = f"{read.classes.names[cls]} of {read.centers.names[center]}"
            smallest = OwnCell(name=name, patches=int(alike[first]))
    return smallest


def fixed_neighbors(searched: SearchedPatches, k: int, support: float) -> FixedNeighbors:
    """How far k neighbors reach in these patches."""
    return FixedNeighbors(k=k, own_cell=smallest_own_cell(searched).patches, support=support)


def no_informative_neighbor(searched: SearchedPatches, metric: str, k: int, same_class: Bool) -> MetricError:
    """No list of k neighbors has one that shares exactly one of class and center with its patch.

    The remedy names the smallest k at which the lists of some patches cannot but leave their own cell. No
    value was seen, so k can still be fixed without looking at one.

    Parameters
    ----------
    same_class : (Q, k) bool
        Of the neighbors. Each shares center and class, or neither.
    """
    cell = smallest_own_cell(searched)
    finding = f"none of the {k} nearest neighbors of any patch shares exactly one of class and center with it"
    if same_class.all():
        finding = (
            f"all {k} nearest neighbors of every patch share both its class and its medical center, which is "
            "a result by itself: the embeddings separate the centers within each class, and at this k the "
            "index cannot weigh center against biology"
        )
    return MetricError(
        f"{metric}: {finding}",
        remedy="read the margins (croma) and center prediction (--fm-criteria=full), which need no k; for an "
        "index, fix a larger k before you look at its values, the same for every FM, as the verdict depends "
        f"on it: k = {cell.patches + 1} or more reaches beyond the smallest cell ({cell.name}, "
        f"{counted(cell.patches, 'patch', 'patches')} on other slides); a cohort of your own has k in its "
        "cohort.toml (patches.toml beside patches.parquet)",
    )
