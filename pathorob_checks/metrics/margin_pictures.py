"""What margins show besides their statistics: their distribution, cells, slides and misled patches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.margin_statistics import Statistic
from pathorob_checks.metrics.margin_uncertainty import PatchMargins
from pathorob_checks.metrics.measurement import CellValue, SlideValue
from pathorob_checks.metrics.pictured import Curve, Grid, NearestPatches, rounded
from pathorob_checks.wording import counted, rounded_percent

Float64 = npt.NDArray[np.float64]
_SHARES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.95)
_STEP = 0.02
_PATCHES, _SLIDES_NAMED = 4, 10


def distribution(of: PatchMargins) -> Curve:
    """The share of patches with a margin up to each value; at 0 it is the share below zero."""
    margins = np.sort(of.margins[of.defined])
    low, high = int(np.floor(min(margins[0], 0) / _STEP)), int(np.ceil(max(margins[-1], 0) / _STEP))
    edges = [round(step * _STEP, 6) for step in range(low, high + 1)]
    shares = np.searchsorted(margins, edges, side="right") / len(margins)
    return Curve(
        name="share of patches",
        over="margin up to",
        x=tuple(edges),
        y=rounded(shares),
        marked=0.0,
        level=0.5,
        level_name="half of the patches: the median",
    )


def quantiles_by_cell(of: PatchMargins) -> Grid:
    """Quantiles of the margins of each center and class that has some."""
    cells = np.unique(of.cells[of.defined])
    return Grid(
        name="margin",
        row_name="patches (center / class)",
        column_name="share of patches below",
        rows=tuple(of.cell_names[cell] for cell in cells),
        columns=tuple(rounded_percent(share) for share in _SHARES),
        values=tuple(
            rounded(np.quantile(of.margins[of.defined & (of.cells == cell)], _SHARES)) for cell in cells
        ),
        lowest=-1.0,
        highest=1.0,
        neutral=0.0,
    )


def misled(of: PatchMargins, rows: Int64, neighbors: Int64) -> tuple[NearestPatches, ...]:
    """Patches with the lowest margins below 0, each from another slide, with their nearest OS neighbors.

    Parameters
    ----------
    rows : (Q,) rows of the queries.
    neighbors : (Q, m) rows of their OS neighbors.
    """
    chosen: list[int] = []
    slides: set[int] = set()
    for query in np.lexsort((rows, np.nan_to_num(of.margins, nan=np.inf))).tolist():
        if not of.margins[query] < 0 or len(chosen) == _PATCHES:
            break
        if of.query_slides[query] not in slides:
            slides.add(int(of.query_slides[query]))
            chosen.append(query)
    return tuple(
        NearestPatches(row=int(rows[query]), neighbors=tuple(map(int, neighbors[query]))) for query in chosen
    )


def cell_values(of: PatchMargins, statistic: Statistic, *, lowest_first: bool) -> tuple[CellValue, ...]:
    """Of each center and class that has margins, worst first."""
    cells = []
    for cell in np.unique(of.cells[of.defined]):
        center, cls = divmod(int(cell), len(of.classes))
        margins = of.margins[of.defined & (of.cells == cell)]
        cells.append(
            CellValue(
                medical_center=of.centers[center],
                biological_class=of.classes[cls],
                value=statistic.value(margins),
                meaning=_below(margins),
            )
        )
    return tuple(sorted(cells, key=lambda cell: cell.value if lowest_first else -cell.value))


def worst_slides(of: PatchMargins, statistic: Statistic, *, lowest_first: bool) -> tuple[SlideValue, ...]:
    """The slides whose patches worsen the statistic most, with the statistic of their own patches."""
    defined = np.flatnonzero(of.defined)
    influence = statistic.influence(of.margins[defined])(of.margins[defined])
    worse = np.bincount(of.query_slides[defined], influence, minlength=len(of.slides))
    if lowest_first:
        worse = -worse
    named = []
    for slide in np.argsort(-worse, kind="stable")[:_SLIDES_NAMED]:
        if worse[slide] <= 0:
            break
        rows = defined[of.query_slides[defined] == slide]
        classes, centers = np.unique(of.query_classes[rows]), np.unique(of.query_centers[rows])
        named.append(
            SlideValue(
                slide_id=of.slides[slide],
                medical_center=" + ".join(of.centers[center] for center in centers),
                biological_class=" + ".join(of.classes[cls] for cls in classes),
                value=statistic.value(of.margins[rows]),
                meaning=_below(of.margins[rows]),
            )
        )
    return tuple(named)


def _below(margins: Float64) -> str:
    """How many patches have a margin of 0 or less, as a clause."""
    below, number = int((margins <= 0).sum()), len(margins)
    verb, their = ("lies", "its") if below == 1 else ("lie", "their")
    return (
        f"{below:,} of {counted(number, 'patch', 'patches')} {verb} no nearer to {their} own class in other "
        f"centers than to other classes in {their} own center"
    )
