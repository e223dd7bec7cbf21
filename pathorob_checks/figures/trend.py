"""Values over runs: one panel for each criterion, with bound, intervals and falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pathorob_checks.errors import FigureError
from pathorob_checks.figures.style import BLUE, INK, SMALL, VERMILLION, new_figure, short, styled
from pathorob_checks.wording import counted

_PANEL, _FOOT = 2.1, 0.4  # inches
_MOST_TICKS = 3
_MANY_RUNS = 20
MOST_PANELS = 40


@dataclass(frozen=True, kw_only=True)
class RunValue:
    """A value of a run.

    Attributes
    ----------
    when, fm : when the run ended and what was measured, as texts.
    value, interval : None where there is none.
    bound : what the value had to reach.
    is_fall : whether it is worse than the one before by more than chance explains.
    """

    when: str
    fm: str
    value: float | None
    interval: tuple[float, float] | None
    bound: float
    is_fall: bool


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The values of one criterion, the newest last."""

    title: str
    label: str
    values: tuple[RunValue, ...]


@styled
def trend(panels: Sequence[Panel]) -> Figure:
    """A figure of trends: a point and an interval for each run, a line for the bound, a ring around a fall.

    Raises
    ------
    FigureError : there is nothing to draw, or too much of it to read.
    """
    if not 0 < len(panels) <= MOST_PANELS:
        raise FigureError(
            f"a figure of {counted(len(panels), 'trend')} cannot be read",
            remedy=f"choose 1 to {MOST_PANELS} with --fm, --metric and --cohort",
        )
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure = new_figure(rows * _PANEL + _FOOT)
    places = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for panel, axes in zip(panels, places, strict=False):
        _draw(panel, axes)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    legend: dict[str, Artist] = {}
    for axes in places:
        handles, labels = axes.get_legend_handles_labels()
        legend |= dict(zip(labels, handles, strict=True))
    figure.legend(handles=list(legend.values()), labels=list(legend), loc="outside lower center", ncols=3)
    return figure


def _draw(panel: Panel, axes: Axes) -> None:
    measured = [(x, one.value, one) for x, one in enumerate(panel.values) if one.value is not None]
    faint = 0.7 if len(measured) <= _MANY_RUNS else 0.3
    for x, _, one in measured:
        if one.interval is not None:
            axes.plot([x, x], one.interval, color=BLUE, linewidth=1.2, alpha=faint)
    axes.plot([x for x, _, _ in measured], [value for _, value, _ in measured], "o-", color=BLUE,
              markersize=4, linewidth=1, label="value with its interval")  # fmt: skip
    bounds = [one.bound for one in panel.values]
    edges = [x - 0.5 for x in range(len(bounds) + 1)]
    axes.step(edges, [*bounds, bounds[-1]], where="post", color=INK, linewidth=1, linestyle="--",
              label="bound")  # fmt: skip
    falls = [(x, value) for x, value, one in measured if one.is_fall]
    if falls:
        axes.plot(*zip(*falls, strict=True), "o", markersize=12, fillstyle="none", color=VERMILLION,
                  markeredgewidth=1.8, label="significant fall")  # fmt: skip
    axes.set_title(short(panel.title, 44))
    axes.set_ylabel(short(panel.label))
    ticks = _ticks(len(panel.values))
    names = [f"{panel.values[x].when}\n{short(panel.values[x].fm, 14)}" for x in ticks]
    axes.set_xticks(ticks, names, fontsize=SMALL)


def _ticks(runs: int) -> list[int]:
    """Places of at most a few runs, the last among them."""
    step = -(-runs // _MOST_TICKS)
    return sorted(range(runs - 1, -1, -step))
