"""All criteria of a run with their intervals and bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pathorob_checks.criteria.criterion import KEPT_IDS
from pathorob_checks.criteria.verdict import GRAVEST_FIRST
from pathorob_checks.errors import FigureError
from pathorob_checks.figures.choosing import facts_of, fm_of, matching, metric_label
from pathorob_checks.figures.marks import draw_value, verdict_handle
from pathorob_checks.figures.style import (
    INK,
    MUTED,
    SMALL,
    VERDICT_MARKS,
    distinct,
    new_figure,
    short,
    styled,
)
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import MetricFacts, ResultsDocument
from pathorob_checks.results.outcome import value_and_bound
from pathorob_checks.wording import counted

MOST = 30  # criteria in one figure
_ROW, _PANEL, _FOOT, _HEAD = 0.36, 0.62, 0.75, 0.25  # inches
_FM, _COHORT = 22, 14  # letters of names
_ZOOM = 0.4  # of the scale: where the values span less, the axis shows a part of it
_MARGIN = 0.08
_SHADE = 0.22
_MOST_STEPS = 4  # of an axis: more labels run into each other where names take much room


@dataclass(frozen=True)
class Panel:
    """Criteria on one scale, failures first."""

    title: str
    is_change: bool
    facts: MetricFacts | None
    checks: tuple[Check, ...]


def ordered(checks: Sequence[Check]) -> list[Check]:
    """Failures first, then what was not measured or is unclear; in each, the nearest to its failure first."""

    def place(check: Check) -> tuple[int, float]:
        sign = 1 if check.direction == ">=" else -1
        return GRAVEST_FIRST.index(check.verdict), 0.0 if check.value is None else sign * (
            check.value - check.bound
        )

    return sorted(checks, key=place)


def panels_of(results: ResultsDocument, checks: Sequence[Check]) -> list[Panel]:
    """A panel for each metric, and one for its changes against a baseline, in the order of the checks."""
    panels: dict[tuple[str, bool], list[Check]] = {}
    for check in checks:
        panels.setdefault((check.metric, check.quantity == "difference"), []).append(check)
    return [
        Panel(
            title=metric_label(own[0]) + (_against(own[0]) if is_change else ""),
            is_change=is_change,
            facts=facts_of(results, own[0]),
            checks=tuple(own),
        )
        for (_, is_change), own in panels.items()
    ]


def _against(check: Check) -> str:
    """What a change is one of, for the title of its panel."""
    return ", change by the method" if _is_by_method(check) else ", change against the baseline"


def _is_by_method(check: Check) -> bool:
    return check.criterion.startswith(KEPT_IDS)


@styled
def intervals(
    results: ResultsDocument,
    *,
    fm: str | None = None,
    cohort: str | None = None,
    metric: str | None = None,
    most: int = MOST,
) -> Figure:
    """Draw every criterion with its value, interval and bound, failures first.

    Parameters
    ----------
    results : Results
        Of a run.
    fm, cohort, metric : str, optional
        Only criteria of this FM, cohort or metric.
    most : int, default 30
        Criteria to draw; what is left out is said below the figure.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each metric, on the metric's own scale. Shape, color and word give the verdict; the line
        is the bound, and the shaded side of it meets the bound. Of one FM with methods the title has the FM,
        and the rows have the method.

    Raises
    ------
    FigureError
        There is no such criterion.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import intervals
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> intervals(results).savefig("intervals.pdf")  # doctest: +SKIP
    """
    every = shown_checks(results, fm, cohort, metric)
    if not every:
        raise FigureError(
            "the results have no such criterion", remedy="name an FM, cohort and metric of the run"
        )
    panels = panels_of(results, every[:most])
    rows = sum(len(panel.checks) for panel in panels)
    titled = _has_one_fm_with_methods(every)
    figure = new_figure(rows * _ROW + len(panels) * _PANEL + _FOOT + titled * _HEAD)
    sizes = [len(panel.checks) + 0.25 for panel in panels]
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=sizes)
    fms = _names(every)
    if titled:
        figure.suptitle(short(every[0].fm, 70), x=0.01, ha="left", fontsize=9, fontweight="bold")
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        _draw(axes, panel, fms)
    verdicts = {check.verdict for panel in panels for check in panel.checks}
    figure.legend(
        handles=[
            *(verdict_handle(one) for one in VERDICT_MARKS if one in verdicts),
            Line2D([], [], color=INK, linewidth=1.6, label="bound"),
            Patch(color=MUTED, alpha=_SHADE, linewidth=0, label="meets the bound"),
        ],
        loc="outside lower center",
        ncols=5,
        title=_left_out(every, most),
    )
    return figure


def _has_one_fm_with_methods(checks: Sequence[Check]) -> bool:
    """Whether the FM is the same in all rows, so that it stands in the title and the rows name the method."""
    fms, methods = ({getattr(check, name) for check in checks} for name in ("fm", "method"))
    return len(fms) == 1 and len(methods) > 1


def _names(checks: Sequence[Check]) -> dict[str, str]:
    """What the rows call each FM with its method: by the method alone where the title has the FM."""
    if not _has_one_fm_with_methods(checks):
        return distinct(map(fm_of, checks), _FM)
    named = {fm_of(one): "no method" if one.method == NO_METHOD else one.method for one in checks}
    return dict(zip(named, distinct(named.values(), _FM).values(), strict=True))


def shown_checks(
    results: ResultsDocument, fm: str | None = None, cohort: str | None = None, metric: str | None = None
) -> list[Check]:
    """The checks of an FM, cohort or metric in the order of the figure."""
    every = matching(results.checks, fm, cohort)
    return ordered([check for check in every if metric in (None, check.metric)])


def _left_out(every: Sequence[Check], most: int) -> str:
    left = every[most:]
    if not left:
        return ""
    return f"{counted(len(left), 'more criterion', 'more criteria')} not drawn, none with a graver verdict"


def _draw(axes: Axes, panel: Panel, fms: dict[str, str]) -> None:
    low, high = _limits(panel)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(_MOST_STEPS, steps=[1, 2, 5, 10]))
    axes.set_ylim(len(panel.checks) - 0.5, -0.5)
    axes.set_title(short(panel.title, 70))
    if panel.facts is not None:
        neutral = 0.0 if panel.is_change else panel.facts.neutral
        axes.axvline(neutral, color=MUTED, linewidth=0.8, linestyle=":", label="_neutral")
    for row, check in enumerate(panel.checks):
        _draw_check(axes, row, check, (low, high))
    rows = range(len(panel.checks))
    names = [f"{fms[fm_of(one)]} on {short(one.cohort, _COHORT)}\n{_criterion(one)}" for one in panel.checks]
    axes.set_yticks(rows, names, fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    verdicts = axes.twinx()
    verdicts.set_ylim(axes.get_ylim())
    verdicts.set_yticks(rows, [_outcome(check) for check in panel.checks], fontsize=SMALL)
    verdicts.tick_params(axis="y", length=0)
    for name in ("left", "right"):
        axes.spines[name].set_visible(False)
        verdicts.spines[name].set_visible(False)
    axes.set_xlabel(_scale(panel, (low, high)))


def _criterion(check: Check) -> str:
    if _is_by_method(check):
        return short(f"keeps {metric_label(check)}", 34)
    return short(f"{check.criterion}: {check.group}" if check.group else check.criterion, 34)


def _draw_check(axes: Axes, row: int, check: Check, limits: tuple[float, float]) -> None:
    good = limits[1] if check.direction == ">=" else limits[0]
    left, right = sorted((check.bound, good))
    axes.fill_between(
        [left, right],
        row - 0.36,
        row + 0.36,
        color=MUTED,
        alpha=_SHADE,
        linewidth=0,
        label="_meets the bound",
    )
    axes.plot([check.bound] * 2, [row - 0.36, row + 0.36], color=INK, linewidth=1.6, label="_bound")
    if check.value is None:
        axes.text(
            sum(limits) / 2, row, "not measured", ha="center", va="center", fontsize=SMALL, style="italic"
        )
        return
    draw_value(axes, check, row)


def _outcome(check: Check) -> str:
    value, bound = value_and_bound(check)
    return f"{check.verdict.upper()}\n{value} (bound {check.direction} {bound})"


def _limits(panel: Panel) -> tuple[float, float]:
    """The whole scale, or the part that holds values, intervals, bounds and the neutral level."""
    ends = [check.bound for check in panel.checks]
    for check in panel.checks:
        ends += [] if check.value is None else [check.value]
        ends += check.interval or ()
    whole: tuple[float, float] | None = None
    if panel.facts is not None:
        scale = panel.facts.highest - panel.facts.lowest
        whole = (-scale, scale) if panel.is_change else (panel.facts.lowest, panel.facts.highest)
        ends.append(0.0 if panel.is_change else panel.facts.neutral)
    low, high = min(ends), max(ends)
    if whole is not None and high - low > _ZOOM * (whole[1] - whole[0]):
        low, high = min(low, whole[0]), max(high, whole[1])
    margin = _MARGIN * (high - low) or 0.1
    return low - margin, high + margin


def _scale(panel: Panel, limits: tuple[float, float]) -> str:
    if panel.facts is None:
        return ""
    better = "higher" if panel.facts.higher_is_better else "lower"
    if panel.is_change:
        before = "without a method" if _is_by_method(panel.checks[0]) else "the baseline"
        return f"change of the value (0: as {before}; {better} is better)"
    low, neutral, high = panel.facts.lowest, panel.facts.neutral, panel.facts.highest
    part = "" if limits[0] <= low and high <= limits[1] else "part of the "
    return f"{part}scale {low:g} to {high:g}; dotted: neutral {neutral:g}; {better} is more robust"
