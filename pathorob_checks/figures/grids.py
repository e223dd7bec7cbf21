"""Quantities by two labels: the grids that any metric carries, as a heatmap or as stacked bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from pathorob_checks.errors import FigureError
from pathorob_checks.figures.choosing import fm_of, of_one_subject
from pathorob_checks.figures.style import (
    BLACK,
    FILLS,
    HATCHES,
    SMALL,
    WIDTH,
    distinguished,
    entry,
    new_figure,
    short,
    styled,
)
from pathorob_checks.metrics.pictured import Grid
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.wording import quoted, rounded_percent

# The metrics whose grids each of the named figures shows.
CLUSTERING = ("clustering_score",)
NEIGHBORS = ("robustness_index",)
_DIVERGING, _SEQUENTIAL = "PuOr", "Blues"
_ROW, _LABEL, _HEAD, _FOOT = 0.3, 26, 0.5, 0.9  # inches, letters, inches, inches
_HEAT_ROW = 0.36  # inches
_LEAST_WIDTH, _LEAST_HEIGHT = 0.42, 0.16  # inches: smaller cells and rows have no text
_TALLEST = 11.0  # inches
_LETTER = 0.072  # inches
_LEAST_TEXT = 0.11  # share of a bar that is wide enough for its percentage
_TWO_LINES = 0.28  # inches
_LABEL_SPACE = 0.13  # inches from label to label
_DRAWN_CELLS = 200  # more are pixels, which take less room in an SVG
_WRITTEN_BARS = 24  # bars; where there are more, the table has the percentages
_SUM = 1e-3
_NO_VALUE = "#BDBDBD"  # unlike the neutral color, on white and on black
_JOINT = " / "  # in names of pairs
_DARK = 0.45  # luminance below which text on a cell is white


@dataclass(frozen=True)
class ShownGrid:
    """A grid and the check that carries it."""

    check: Check
    grid: Grid

    @property
    def adds_up(self) -> bool:
        """Whether each row is a whole in shares, which stacked bars show."""
        return (
            self.grid.is_share
            and bool(self.grid.values)
            and all(
                None not in row and abs(sum(value or 0 for value in row) - 1) < _SUM
                for row in self.grid.values
            )
        )


def grids_of(checks: Sequence[Check]) -> list[ShownGrid]:
    """The grids of one subject's checks, each once; without those that are empty."""
    first_of_each: dict[tuple[str, str], ShownGrid] = {}
    for check in sorted(checks, key=lambda one: one.quantity != "value"):
        for grid in check.grids:
            if grid.rows and grid.columns:
                first_of_each.setdefault((check.metric, grid.name), ShownGrid(check, grid))
    return list(first_of_each.values())


def clustering_heatmap(
    results: ResultsDocument, *, fm: str | None = None, cohort: str | None = None
) -> Figure:
    """Draw the clustering score of each pair of biological classes and pair of medical centers.

    Parameters
    ----------
    results : Results
        Of a run.
    fm, cohort : str, optional
        The FM and the cohort; the only ones when left out.

    Returns
    -------
    matplotlib.figure.Figure
        A heatmap around the neutral 0. Where the cells are large enough they have their values; where they
        are not, those below 0 are hatched. Pairs that were not clustered are gray.

    Raises
    ------
    FigureError
        The results have no such grid, or those of several FMs or cohorts.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import clustering_heatmap
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> figure = clustering_heatmap(results, fm="virchow2", cohort="tcga")  # doctest: +SKIP
    """
    return _named(results, CLUSTERING, "clustering score by pairs", fm, cohort)


def neighbor_shares(results: ResultsDocument, *, fm: str | None = None, cohort: str | None = None) -> Figure:
    """Draw from which class and medical center the nearest neighbors are, by those of the patch.

    Parameters
    ----------
    results : Results
        Of a run.
    fm, cohort : str, optional
        The FM and the cohort; the only ones when left out.

    Returns
    -------
    matplotlib.figure.Figure
        A stacked bar for each medical center and class, with hatching that prints in gray.

    Raises
    ------
    FigureError
        The results have no such grid, or those of several FMs or cohorts.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import neighbor_shares
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> figure = neighbor_shares(results, fm="virchow2", cohort="camelyon")  # doctest: +SKIP
    """
    return _named(results, NEIGHBORS, "share of neighbors by medical center and class", fm, cohort)


def grid(
    results: ResultsDocument,
    *,
    fm: str | None = None,
    cohort: str | None = None,
    metric: str | None = None,
    name: str | None = None,
) -> Figure:
    """Draw what a metric shows by two labels, whichever metric it is.

    Parameters
    ----------
    results : Results
        Of a run.
    fm, cohort, metric : str, optional
        Which FM, cohort and metric; the only ones when left out.
    name : str, optional
        Which grid, by its name; the only one when left out.

    Returns
    -------
    matplotlib.figure.Figure
        Stacked bars where every row is a whole in shares, else a heatmap.

    Raises
    ------
    FigureError
        The results have no such grid, or several.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import grid
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> figure = grid(results, fm="virchow2", metric="center_leak")  # doctest: +SKIP
    """
    checks = of_one_subject([check for check in results.checks if check.grids], fm, cohort, "grid")
    every = grids_of(checks)
    matching_grids = [
        one for one in every if metric in (None, one.check.metric) and name in (None, one.grid.name)
    ]
    if len(matching_grids) != 1:
        known = matching_grids or every
        raise FigureError(
            f"the results have {f'{len(matching_grids)} such grids' if matching_grids else 'no such grid'}",
            remedy=f"pass name= with one of {quoted(one.grid.name for one in known)}, or metric= with one of "
            + quoted(dict.fromkeys(one.check.metric for one in known)),
        )
    return draw_grid(matching_grids[0])


def _named(
    results: ResultsDocument, metrics: Sequence[str], what: str, fm: str | None, cohort: str | None
) -> Figure:
    with_grids = [check for check in results.checks if check.metric in metrics and grids_of([check])]
    return draw_grid(grids_of(of_one_subject(with_grids, fm, cohort, what))[0])


def draw_grid(shown: ShownGrid) -> Figure:
    """Stacked bars where every row is a whole in shares, else a heatmap."""
    return _bars(shown) if shown.adds_up else _heatmap(shown)


def value_text(value: float | None, grid: Grid) -> str:
    """A value of a grid as tables and cells show it."""
    if value is None:
        return "-"
    return rounded_percent(value) if grid.is_share else f"{value:z.2f}"


@styled
def _bars(shown: ShownGrid) -> Figure:
    grid = shown.grid
    height = min(len(grid.rows) * _ROW, _TALLEST)
    figure = new_figure(_HEAD + height + _FOOT)
    axes = figure.subplots()
    rows = np.arange(len(grid.rows))
    left = np.zeros(len(grid.rows))
    values = np.array(grid.values, dtype=float)
    for place, column in enumerate(grid.columns):
        color = FILLS[place % len(FILLS)]
        axes.barh(
            rows, values[:, place], left=left, height=0.8, color=color, edgecolor=BLACK, linewidth=0.5,
            hatch=HATCHES[place % len(HATCHES)], label=entry(column),
        )  # fmt: skip
        for row in rows[values[:, place] >= _LEAST_TEXT] if len(rows) <= _WRITTEN_BARS else ():
            axes.text(
                left[row] + values[row, place] / 2, row, value_text(values[row, place], grid),
                ha="center", va="center", fontsize=7.5, color=BLACK,
                bbox={"facecolor": color, "edgecolor": "none", "pad": 1.2},
            )  # fmt: skip
        left += values[:, place]
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    _label(axes, shown, height)
    axes.set_xlabel(short(grid.name, 80))
    figure.legend(loc="outside lower center", ncols=2, handlelength=2.6, handleheight=1.4)
    return figure


@styled
def _heatmap(shown: ShownGrid) -> Figure:
    grid = shown.grid
    height = min(len(grid.rows) * _HEAT_ROW, _TALLEST)
    columns = _labels(grid.columns, 0.6 * WIDTH / len(grid.columns))
    longest = max(len(line) for label in columns for line in label.split("\n"))
    across = longest * _LETTER * len(columns) < 0.55 * WIDTH
    figure = new_figure(_HEAD + height + _FOOT + 0.5 + (0 if across else longest * _LETTER))
    axes = figure.subplots()
    values = np.array([[math.nan if one is None else one for one in row] for row in grid.values])
    norm, colors = _scale(grid)
    edges = np.arange(len(columns) + 1) - 0.5, np.arange(len(grid.rows) + 1) - 0.5
    masked = np.ma.masked_invalid(values)
    if values.size > _DRAWN_CELLS:
        axes.imshow(masked, norm=norm, cmap=colors, interpolation="none", aspect="auto")
    else:
        axes.pcolormesh(*edges, masked, norm=norm, cmap=colors, edgecolors="white", linewidth=1)
    written = 0.6 * WIDTH / len(columns) >= _LEAST_WIDTH and height / len(grid.rows) >= _LEAST_HEIGHT
    for (row, column), value in np.ndenumerate(values):
        if written:
            text, color = value_text(grid.values[row][column], grid), _ink(float(value), norm)
            axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=color)
    unknown = np.isnan(values)
    covers = [_cover(axes, edges, unknown, "no value", _NO_VALUE, "" if written else "xxxx")]
    if not written and grid.neutral is not None:
        covers.append(_cover(axes, edges, values < grid.neutral, f"below {grid.neutral:g}", "none", "////"))
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(grid.rows) - 0.5, -0.5)
    step = _step(len(columns), 0.6 * WIDTH)
    rotation = 0 if across else 90
    axes.set_xticks(range(0, len(columns), step), columns[::step], rotation=rotation, fontsize=SMALL)
    _label(axes, shown, height)
    axes.set_xlabel(short(grid.column_name, 60) + _skipped(step))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(
        ScalarMappable(norm, colors), ax=axes, orientation="horizontal", aspect=40, shrink=0.7, pad=0.02
    )
    ends = [grid.lowest, grid.highest] if grid.neutral is None else [grid.lowest, grid.neutral, grid.highest]
    bar.set_ticks(sorted(set(ends)), labels=[value_text(end, grid) for end in sorted(set(ends))])
    bar.set_label(short(grid.name, 60) + ("" if grid.neutral is None else f" (neutral: {grid.neutral:g})"))
    bar.outline.set_linewidth(0.5)
    entries = [one for one in covers if one is not None]
    if entries:
        figure.legend(handles=entries, loc="outside lower center", ncols=2, handlelength=2.6)
    return figure


def _label(axes: Axes, shown: ShownGrid, height: float) -> None:
    names = _labels(shown.grid.rows, height / len(shown.grid.rows))
    step = _step(len(names), height)
    axes.set_yticks(range(0, len(names), step), names[::step], fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel(short(shown.grid.row_name, 40) + _skipped(step))
    axes.set_title(short(f"{fm_of(shown.check)} on {shown.check.cohort}", 60))


def _labels(names: Sequence[str], room: float) -> list[str]:
    """The labels of rows or columns; of each part of `Bonn / tumor` both ends.

    Two parts that would be cut get a line each where there is `room` (inches) for it.
    """

    def cut(name: str) -> str:
        parts = name.split(_JOINT)
        if len(parts) == 2 and len(name) > _LABEL and room >= _TWO_LINES:
            return f"{_JOINT.rstrip()}\n".join(short(part, _LABEL) for part in parts)
        return _JOINT.join(short(part, _LABEL // len(parts)) for part in parts)

    return distinguished([cut(name) for name in names])


def _step(labels: int, room: float) -> int:
    """How many labels to go on to the next one that is shown, so that none overlap in so many inches."""
    return max(1, math.ceil(labels * _LABEL_SPACE / room))


def _scale(grid: Grid) -> tuple[Normalize, str]:
    neutral = grid.neutral
    if neutral is not None and grid.lowest < neutral < grid.highest:
        return TwoSlopeNorm(neutral, grid.lowest, grid.highest), _DIVERGING
    return Normalize(grid.lowest, grid.highest), _SEQUENTIAL


def _ink(value: float, norm: Normalize) -> str:
    """Black or white, whichever the color of the cell lets one read."""
    if math.isnan(value):
        return BLACK
    name = _DIVERGING if isinstance(norm, TwoSlopeNorm) else _SEQUENTIAL
    red, green, blue, _ = colormaps[name](float(np.clip(norm(value), 0, 1)))
    return "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < _DARK else BLACK


def _skipped(step: int) -> str:
    """What an axis says of labels that are left out."""
    return f" (1 of {step} labels shown)" if step > 1 else ""


def _cover(
    axes: Axes, edges: tuple[np.ndarray, np.ndarray], which: np.ndarray, name: str, face: str, hatch: str
) -> Patch | None:
    """Fill and hatch some cells, and return their entry in the legend; None where there are none.

    Those below the neutral value are hatched because both of its sides are alike in gray, those without a
    value because they would look neutral.
    """
    cells = [
        Path([(left, low), (right, low), (right, high), (left, high), (left, low)], closed=True)
        for row, column in np.argwhere(which)
        for left, right in [edges[0][column : column + 2]]
        for low, high in [edges[1][row : row + 2]]
    ]
    if not cells:
        return None
    look: dict[str, Any] = {"facecolor": face, "hatch": hatch, "edgecolor": BLACK, "label": name}
    axes.add_patch(PathPatch(Path.make_compound_path(*cells), linewidth=0, **look))
    return Patch(linewidth=0.5, **look)
