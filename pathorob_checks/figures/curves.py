"""Quantities over a setting: the curves that any metric carries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pathorob_checks.errors import FigureError
from pathorob_checks.figures.choosing import fm_of, of_one_subject
from pathorob_checks.figures.published import Published, published_of
from pathorob_checks.figures.style import (
    COLORS,
    INK,
    LINES,
    MARKERS,
    MUTED,
    SMALL,
    entry,
    new_figure,
    short,
    styled,
)
from pathorob_checks.metrics.pictured import Curve
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import MetricFacts, ResultsDocument
from pathorob_checks.wording import quoted

# The metrics whose curves each of the named figures shows.
INDEX = ("robustness_index",)
DROPS = ("performance_drop_id", "performance_drop_ood")
_HEIGHT = 3.9  # inches
_MARGIN = 0.02  # of the scale
_MARKED_POINTS = 25  # of a curve; more have no markers


@dataclass(frozen=True)
class Curves:
    """Curves in one figure: all over the same setting, of one FM on one cohort.

    Attributes
    ----------
    checks, curves : each curve, with the check that carries it.
    criteria : the criteria about the value that the curves mark; empty where they mark none.
    scale : the ends of the scale of that value; None where they mark none or the scale is not known.
    """

    checks: tuple[Check, ...]
    curves: tuple[Curve, ...]
    criteria: tuple[Check, ...]
    scale: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """The quantity, without what tells the curves apart."""
        return _quantity(self.curves[0])

    @property
    def over(self) -> str:
        """The setting."""
        return self.curves[0].over

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that carry the curves."""
        return tuple(dict.fromkeys(check.metric for check in self.checks))


def curves_of(checks: Sequence[Check], metrics: Mapping[str, MetricFacts]) -> list[Curves]:
    """The curves of one subject's checks, those that belong together in one.

    Curves without a marked setting belong together where they have the quantity (up to the first comma of
    their name) and the setting in common, as accuracies in-domain and out-of-domain do; a curve that marks
    the metric's value stands alone.
    """
    by_group: dict[tuple[str, ...], dict[str, tuple[Check, Curve]]] = {}
    for check in sorted(checks, key=lambda one: one.quantity != "value"):
        for curve in check.curves:
            own = (check.metric,) if curve.marked is not None else ()
            key = (*own, curve.over, _quantity(curve))
            by_group.setdefault(key, {}).setdefault(curve.name, (check, curve))
    return [_together(checks, tuple(parts.values()), metrics) for parts in by_group.values()]


def _together(
    checks: Sequence[Check], parts: Sequence[tuple[Check, Curve]], metrics: Mapping[str, MetricFacts]
) -> Curves:
    marked = {check.metric for check, curve in parts if curve.marked is not None}
    facts = [metrics[name] for name in marked if name in metrics]
    return Curves(
        checks=tuple(check for check, _ in parts),
        curves=tuple(curve for _, curve in parts),
        criteria=tuple(check for check in checks if check.metric in marked and check.quantity == "value"),
        scale=(facts[0].lowest, facts[0].highest) if facts else None,
    )


def _quantity(curve: Curve) -> str:
    return curve.name.partition(",")[0]


def index_over_k(results: ResultsDocument, *, fm: str | None = None, cohort: str | None = None) -> Figure:
    """Draw the robustness index for each number of neighbors k, with the k of the criterion.

    Parameters
    ----------
    results : Results
        Of a run.
    fm, cohort : str, optional
        The FM and the cohort; the only ones when left out.

    Returns
    -------
    matplotlib.figure.Figure
        The curve, its value at the k of the run with the interval, the bounds, and the values of published
        FMs on the same cohort, which are at the benchmark's own k.

    Raises
    ------
    FigureError
        The results have no such curve, or those of several FMs or cohorts.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import index_over_k
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> figure = index_over_k(results, fm="virchow2", cohort="camelyon")  # doctest: +SKIP
    """
    return _named(results, INDEX, "curve of the robustness index over k", fm, cohort)


def accuracy_over_correlation(
    results: ResultsDocument, *, fm: str | None = None, cohort: str | None = None
) -> Figure:
    """Draw the accuracy of a classifier over how much class and medical center are confounded in training.

    Parameters
    ----------
    results : Results
        Of a run.
    fm, cohort : str, optional
        The FM and the cohort; the only ones when left out.

    Returns
    -------
    matplotlib.figure.Figure
        Balanced accuracy in-domain and out-of-domain over Cramér's V (0: none, 1: the class tells the
        center), with bands for the intervals, and the accuracy of a guess.

    Raises
    ------
    FigureError
        The results have no such curves, or those of several FMs or cohorts.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import accuracy_over_correlation
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> figure = accuracy_over_correlation(results, fm="virchow2")  # doctest: +SKIP
    """
    return _named(results, DROPS, "curve of the accuracy over Cramér's V", fm, cohort)


def curve(
    results: ResultsDocument,
    *,
    fm: str | None = None,
    cohort: str | None = None,
    metric: str | None = None,
    name: str | None = None,
) -> Figure:
    """Draw what a metric shows over a setting, whichever metric it is.

    Parameters
    ----------
    results : Results
        Of a run.
    fm, cohort, metric : str, optional
        Which FM, cohort and metric; the only ones when left out.
    name : str, optional
        Which curve, by its name without what follows a comma; the only one when left out.

    Returns
    -------
    matplotlib.figure.Figure
        The curves that belong together, such as accuracies in-domain and out-of-domain.

    Raises
    ------
    FigureError
        The results have no such curve, or several.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import curve
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> figure = curve(results, fm="virchow2", metric="center_leak")  # doctest: +SKIP
    """
    checks = of_one_subject([check for check in results.checks if check.curves], fm, cohort, "curve")
    every = curves_of(checks, results.metrics)
    matching_curves = [
        one for one in every if (metric is None or metric in one.metrics) and name in (None, one.name)
    ]
    return draw_curves(_only(matching_curves, every))


def _only(matching_curves: Sequence[Curves], every: Sequence[Curves]) -> Curves:
    if len(matching_curves) == 1:
        return matching_curves[0]
    known = matching_curves or every
    number = f"{len(matching_curves)} such curves" if matching_curves else "no such curve"
    choices = quoted(one.name for one in known)
    metrics = quoted(dict.fromkeys(metric for one in known for metric in one.metrics))
    raise FigureError(
        f"the results have {number}",
        remedy=f"pass name= with one of {choices}, or metric= with one of {metrics}",
    )


def _named(
    results: ResultsDocument, metrics: Sequence[str], what: str, fm: str | None, cohort: str | None
) -> Figure:
    with_curves = [check for check in results.checks if check.metric in metrics and check.curves]
    of_one_subject(with_curves, fm, cohort, what)
    checks = of_one_subject([check for check in results.checks if check.metric in metrics], fm, cohort, what)
    return draw_curves(curves_of(checks, results.metrics)[0])


@styled
def draw_curves(shown: Curves) -> Figure:
    """The figure of curves that belong together."""
    figure = new_figure(_HEIGHT)
    axes = figure.subplots()
    for place, one in enumerate(shown.curves):
        _draw(axes, one, place)
    _levels(axes, shown.curves)
    for check, one in zip(shown.checks, shown.curves, strict=True):
        if one.marked is not None:
            _mark(axes, check, one, one.marked)
    _bounds(axes, shown.criteria)
    first = shown.checks[0]
    if shown.criteria:
        _context(axes, published_of(first.metric, first.cohort))
    if shown.scale is not None:
        low, high = axes.get_ylim()
        margin = _MARGIN * (shown.scale[1] - shown.scale[0])
        axes.set_ylim(min(low, shown.scale[0] - margin), max(high, shown.scale[1] + margin))
    axes.set_title(short(f"{fm_of(first)} on {first.cohort}", 70))
    axes.set_xlabel(short(shown.over, 80))
    axes.set_ylabel(short(shown.name, 50))
    axes.grid(axis="y", color=MUTED, alpha=0.3, linewidth=0.6)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _draw(axes: Axes, shown: Curve, place: int) -> None:
    look: dict[str, Any] = {
        "color": COLORS[place % len(COLORS)],
        "linestyle": LINES[place % len(LINES)],
    }
    name = entry(shown.name)
    if shown.low and shown.high:
        low, high = _drawn(shown.low), _drawn(shown.high)
        axes.fill_between(shown.x, low, high, color=look["color"], alpha=0.16, linewidth=0, label="_band")
        for end in (low, high):  # the edges tell bands apart in gray
            axes.plot(shown.x, end, linewidth=0.7, label="_end of the band", **look)
        name += f" (band: {short(shown.band, 20)})" if shown.band else ""
    marker = MARKERS[place % len(MARKERS)] if len(shown.x) <= _MARKED_POINTS else None
    axes.plot(shown.x, _drawn(shown.y), linewidth=1.8, marker=marker, markersize=4.5, label=name, **look)


def _drawn(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _levels(axes: Axes, curves: Sequence[Curve]) -> None:
    for level, name in dict.fromkeys((one.level, one.level_name) for one in curves):
        if level is not None:
            text = f"{level:.3g}: {name}" if name else f"{level:.3g}"
            axes.axhline(level, color=MUTED, linewidth=1.2, linestyle=":", label=entry(text))


def _mark(axes: Axes, check: Check, shown: Curve, at: float) -> None:
    """The value that is judged, and its interval where the criterion is about this value itself."""
    value = shown.at(at) if at in shown.x else None
    if value is None:
        return
    if check.interval is not None and check.quantity == "value":
        axes.plot([at, at], check.interval, color=INK, linewidth=1.6, marker="_", label="_interval")
    label = f"the metric's value: {value:.3f} at {at:g}"
    axes.plot([at], [value], marker="D", color=INK, markersize=7, linestyle="none", label=label)


def _bounds(axes: Axes, criteria: Sequence[Check]) -> None:
    """A line for each bound, whichever criteria have it."""
    for direction, bound in dict.fromkeys((check.direction, check.bound) for check in criteria):
        label = f"bound {direction} {bound:.3f}"
        axes.axhline(bound, color=INK, linewidth=1.3, linestyle="--", label=label)


def _context(axes: Axes, published: Published | None) -> None:
    """Published FMs as marks at the right edge, the highest and the lowest with their names."""
    if published is None:
        return
    values = sorted(published.values.values())
    place = axes.get_yaxis_transform()
    axes.plot(
        [1.02] * len(values), values, transform=place, clip_on=False, linestyle="none", marker="_",
        markersize=10, color=MUTED, label=f"published FMs, {published.setting}",
    )  # fmt: skip
    named = sorted(published.values.items(), key=lambda item: item[1])
    for fm, value in dict.fromkeys((named[0], named[-1])):
        axes.text(1.05, value, short(fm, 14), transform=place, fontsize=SMALL, color=MUTED, va="center")
