"""What each method changes: paired differences to the FM without a method."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pathorob_checks.errors import FigureError
from pathorob_checks.figures.style import (
    COLORS,
    INK,
    MARKERS,
    MUTED,
    SMALL,
    distinct,
    new_figure,
    short,
    styled,
)
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.method_changes import MethodChange, method_changes

_ROW, _GAP, _PANEL, _FOOT = 0.17, 0.12, 0.7, 0.8  # inches
_NAME = 24  # letters of a method
_REACH = 0.4  # of a metric's row that its methods take, to either side


@styled
def changes_by_method(
    results: ResultsDocument, *, fm: str | None = None, cohort: str | None = None
) -> Figure:
    """Draw what each method changes in every metric, with paired intervals.

    Parameters
    ----------
    results : Results
        Of a run with methods.
    fm, cohort : str, optional
        Only changes of this FM or on this cohort.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each FM on each cohort. To the right of 0 is better in every metric. A mark is filled
        where the whole interval is on one side of 0.

    Raises
    ------
    FigureError
        There is no such change.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import changes_by_method
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> changes_by_method(results).savefig("methods.pdf")  # doctest: +SKIP
    """
    changes = [
        one for one in method_changes(results) if fm in (None, one.fm) and cohort in (None, one.cohort)
    ]
    if not changes:
        raise FigureError(
            "the results have no change by a method", remedy="give results of a run with methods"
        )
    panels = [list(own) for _, own in groupby(changes, key=lambda one: (one.fm, one.cohort))]
    methods = list(dict.fromkeys(one.method for one in changes))
    rows = [(_ROW * len(methods) + _GAP) * len(_labels(panel)) for panel in panels]
    figure = new_figure(sum(rows) + _PANEL * len(panels) + _FOOT)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=rows)
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        _draw(axes, panel, methods)
    names = distinct(methods, _NAME)
    figure.legend(
        handles=[
            Line2D([], [], label=names[method], linestyle="none", **_mark(place, filled=True))
            for place, method in enumerate(methods)
        ],
        loc="outside lower center",
        ncols=min(4, len(methods)),
        title="filled: the whole interval is on one side of 0, and no value is clearly below neutral",
    )
    return figure


def _labels(panel: Sequence[MethodChange]) -> list[str]:
    """Of the rows; a metric that a criterion is about, too, has a row of its own as biology."""
    return list(dict.fromkeys(map(_label, panel)))


def _label(change: MethodChange) -> str:
    return f"{change.label}\n(biology)" if change.is_biology else change.label


def _draw(axes: Axes, panel: Sequence[MethodChange], methods: Sequence[str]) -> None:
    rows = _labels(panel)
    for one in panel:
        sign = 1 if one.higher_is_better else -1
        place = methods.index(one.method)
        height = rows.index(_label(one)) + _REACH * ((place + 0.5) / len(methods) * 2 - 1)
        mark = _mark(place, filled=one.says != "undecided")
        if one.interval is not None:
            ends = sorted(sign * end for end in one.interval)
            axes.plot(ends, [height] * 2, color=mark["color"], linewidth=1.4, label="_interval")
        axes.plot([sign * one.change], [height], linestyle="none", label="_change", zorder=3, **mark)
    axes.axvline(0, color=INK, linewidth=1, label="_as without a method")
    for border in range(1, len(rows)):
        axes.axhline(border - 0.5, color=MUTED, linewidth=0.4, label="_border")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), rows, fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set_title(short(f"{panel[0].fm} on {panel[0].cohort}", 70))
    axes.set_xlabel("change by the method (0: as without one; to the right is better)")


def _mark(place: int, *, filled: bool) -> dict[str, Any]:
    color = COLORS[place % len(COLORS)]
    return {
        "color": color,
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 5.5,
        "markerfacecolor": color if filled else "white",
        "markeredgewidth": 1.3,
    }
