"""What the robustness index shows besides its value: over k, by center and class, and misled patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.index_uncertainty import Float64, NeighborCounts
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.pictured import Curve, Grid, NearestPatches, rounded

_TYPES = (
    "same class, same center",
    "same class, other center (SO)",
    "other class, same center (OS)",
    "other class, other center",
)
_PATCHES = 4  # shown with their neighbors
_NEIGHBORS = 6
_EACH = 30  # numbers of neighbors up to which all are shown


def index_over_k(by_k: Float64, k: int) -> Curve:
    """The index for each number of neighbors that was read: for every fifth beyond a few."""
    shown = [n for n in range(1, len(by_k) + 1) if n <= _EACH or n % 5 == 0 or n in (k, len(by_k))]
    return Curve(
        name="robustness index",
        over="neighbors k",
        x=tuple(shown),
        y=rounded(by_k[np.array(shown) - 1]),
        marked=k,
        level=0.5,
        level_name="biology and center weigh the same",
    )


def shares_by_cell(counted: NeighborCounts) -> Grid:
    """Shares of the four types among the k neighbors, by center and class of the patch."""
    same_class, same_center = counted.same_class[:, : counted.k], counted.same_center[:, : counted.k]
    kinds = (
        same_class & same_center,
        same_class & ~same_center,
        ~same_class & same_center,
        ~same_class & ~same_center,
    )
    cells = len(counted.cell_names)
    pairs = np.bincount(counted.cells, minlength=cells) * counted.k
    filled = np.flatnonzero(pairs)
    counts = [np.bincount(counted.cells, kind.sum(axis=1), minlength=cells) for kind in kinds]
    return Grid(
        name=f"share of the {counted.k} nearest neighbors",
        row_name="patches (center / class)",
        column_name="neighbors",
        rows=tuple(counted.cell_names[cell] for cell in filled),
        columns=_TYPES,
        values=tuple(rounded([count[cell] / pairs[cell] for count in counts]) for cell in filled),
        is_share=True,
    )


def misled(
    counted: NeighborCounts, rows: Int64, neighbors: npt.NDArray[np.integer[Any]]
) -> tuple[NearestPatches, ...]:
    """Patches with most OS and fewest SO neighbors, each from another slide; none where SO outweigh OS.

    Parameters
    ----------
    rows : (Q,) rows of the queries.
    neighbors : (Q, L) rows of their neighbors.
    """
    excess = counted.os - counted.so
    order = np.lexsort((rows, -excess))
    chosen: list[int] = []
    slides: set[int] = set()
    for query in order.tolist():
        if excess[query] <= 0 or len(chosen) == _PATCHES:
            break
        if counted.query_slides[query] not in slides:
            slides.add(int(counted.query_slides[query]))
            chosen.append(query)
    shown = min(_NEIGHBORS, counted.k)
    return tuple(
        NearestPatches(row=int(rows[query]), neighbors=tuple(map(int, neighbors[query, :shown])))
        for query in chosen
    )
