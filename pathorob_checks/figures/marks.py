"""A judged value on an axis: its interval as a line, its verdict as shape and color."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.figures.style import VERDICT_MARKS
from pathorob_checks.results.check import Check


def _appearance(verdict: Verdict) -> dict[str, Any]:
    marker, color, filled = VERDICT_MARKS[verdict]
    return {
        "marker": marker,
        "markersize": 7,
        "color": color,
        "markerfacecolor": color if filled else "white",
        "markeredgewidth": 1.6,
        "linestyle": "none",
    }


def draw_value(axes: Axes, check: Check, row: float) -> None:
    """The value and its interval at a height; nothing where there is no value."""
    if check.value is None:
        return
    if check.interval is not None:
        color = VERDICT_MARKS[check.verdict][1]
        axes.plot(
            check.interval,
            [row, row],
            color=color,
            linewidth=1.6,
            marker="|",
            markersize=8,
            label="_interval",
        )
    axes.plot([check.value], [row], label="_value", clip_on=False, zorder=3, **_appearance(check.verdict))


def verdict_handle(verdict: Verdict) -> Line2D:
    """The verdict's shape for a legend."""
    return Line2D([], [], label=str(verdict), **_appearance(verdict))
