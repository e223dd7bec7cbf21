"""Values over runs: one panel for each criterion, with bound, intervals and falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pathorob_checks.errors import ResultsError
from pathorob_checks.wording import brief, counted, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colors, which those who cannot tell red from green tell apart.
_VALUE, _BOUND, _FALL = "#0072B2", "#000000", "#D55E00"
_PANEL_INCHES = (4.6, 3.0)
_MOST_TICKS = 4
_MANY_RUNS = 20
MOST_PANELS = 40
_LONGEST = 60


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


def trend(panels: Sequence[Panel]) -> Figure:
    """A figure of trends: a point and an interval for each run, a line for the bound, a ring around a fall.

    Raises
    ------
    ResultsError : there is nothing to draw, or too much of it to read.
    """
    from matplotlib.figure import Figure

    if not 0 < len(panels) <= MOST_PANELS:
        raise ResultsError(
            f"a figure of {counted(len(panels), 'trend')} cannot be read",
            remedy=f"choose 1 to {MOST_PANELS} with --fm, --metric and --cohort",
        )
    columns = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(columns * _PANEL_INCHES[0], rows * _PANEL_INCHES[1] + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, place in zip(panels, axes, strict=False):
        _draw(panel, place)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    handles, labels = axes[0].get_legend_handles_labels()
    for place in axes[1 : len(panels)]:
        for handle, label in zip(*place.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles, labels = [*handles, handle], [*labels, label]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _draw(panel: Panel, axes: Axes) -> None:
    measured = [(x, one.value, one) for x, one in enumerate(panel.values) if one.value is not None]
    faint = 0.7 if len(measured) <= _MANY_RUNS else 0.3
    for x, value, one in measured:
        if one.interval is not None:
            axes.plot([x, x], one.interval, color=_VALUE, linewidth=1.2, alpha=faint)
        if one.is_fall:
            axes.plot(x, value, "o", markersize=13, fillstyle="none", color=_FALL, markeredgewidth=2)
    axes.plot([x for x, _, _ in measured], [value for _, value, _ in measured], "o-", color=_VALUE,
              markersize=4, linewidth=1, label="value with its interval")  # fmt: skip
    bounds = [one.bound for one in panel.values]
    axes.step(_edges(len(bounds)), [*bounds, bounds[-1]], where="post", color=_BOUND, linewidth=1,
              linestyle="--", label="bound")  # fmt: skip
    if any(one.is_fall for one in panel.values):
        axes.plot([], [], "o", fillstyle="none", color=_FALL, markeredgewidth=2, label="significant fall")
    axes.set_title(_plain(panel.title), fontsize=9, loc="left")
    axes.set_ylabel(_plain(panel.label), fontsize=8)
    ticks = _ticks(len(panel.values))
    names = [_plain(f"{panel.values[x].when}\n{panel.values[x].fm}", 20) for x in ticks]
    axes.set_xticks(ticks, names, fontsize=7)
    axes.tick_params(axis="y", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _edges(runs: int) -> list[float]:
    return [x - 0.5 for x in range(runs + 1)]


def _ticks(runs: int) -> list[int]:
    """Places of at most a few runs, the last among them."""
    step = -(-runs // _MOST_TICKS)
    return sorted(range(runs - 1, -1, -step))


def _plain(text: str, longest: int = _LONGEST) -> str:
    """Text as matplotlib draws it: names come from files, and `$` would start a formula."""
    lines = (brief(printable(line), longest) for line in text.split("\n"))
    return "\n".join(lines).replace("$", r"\$")
