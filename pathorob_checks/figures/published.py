"""An FM among the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pathorob_checks.criteria.published import is_average_over_cohorts, published_by_fm
from pathorob_checks.errors import FigureError, MetricError
from pathorob_checks.figures.choosing import fm_of, metric_label, of_one_subject
from pathorob_checks.figures.marks import draw_value
from pathorob_checks.figures.style import MUTED, SMALL, new_figure, short, styled
from pathorob_checks.metrics.registry import metric as definition
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.outcome import value_and_bound
from pathorob_checks.wording import counted

_PANEL, _FOOT = 1.25, 0.55  # inches


@dataclass(frozen=True)
class Published:
    """What is published of a metric on a cohort.

    Attributes
    ----------
    values : of each FM.
    validated : FMs whose value the benchmark's authors validated.
    averaged : whether only an average over the benchmark's cohorts is published.
    higher_is_better, scale : of the metric.
    """

    values: dict[str, float]
    validated: frozenset[str]
    averaged: bool
    higher_is_better: bool
    scale: tuple[float, float]

    @property
    def setting(self) -> str:
        """What the values are about."""
        return "means over the benchmark's cohorts" if self.averaged else "at the benchmark's own settings"

    def better(self, value: float) -> int:
        """How many FMs have a better value."""
        return sum(one > value if self.higher_is_better else one < value for one in self.values.values())


def published_of(metric: str, cohort: str) -> Published | None:
    """What is published of a metric on a cohort, or on several joined by `+`; None where nothing is."""
    try:
        known = definition(metric)
    except MetricError:  # of a package that is not installed here
        return None
    names = cohort.split("+")
    values = published_by_fm(metric, names)
    if not values:
        return None
    return Published(
        values=values,
        validated=frozenset(published_by_fm(metric, names, validated_only=True)),
        averaged=is_average_over_cohorts(metric),
        higher_is_better=known.higher_is_better,
        scale=(known.lowest, known.highest),
    )


def ranked(checks: Sequence[Check]) -> list[tuple[Check, Published]]:
    """The values for which others are published: one of each metric and cohort."""
    first_of_each: dict[tuple[str, str], tuple[Check, Published]] = {}
    for check in checks:
        if check.value is None or check.quantity not in ("value", "mean"):
            continue
        published = published_of(check.metric, check.cohort)
        if published is not None:
            first_of_each.setdefault((check.metric, check.cohort), (check, published))
    return list(first_of_each.values())


def rank_sentence(check: Check, published: Published) -> str:
    """How many published FMs have a better value, and between which numbers by the interval."""
    assert check.value is not None  # noqa: S101 (for the type checker)
    of = counted(len(published.values), "published FM")
    text = f"{published.better(check.value)} of {of} have a more robust value"
    if check.interval is not None:
        low, high = sorted(map(published.better, check.interval))
        text += f", {low} to {high} by the interval" if low < high else ", over the whole interval"
    return text


def among_published(
    results: ResultsDocument, *, fm: str | None = None, cohort: str | None = None, metric: str | None = None
) -> Figure:
    """Draw an FM's values among those of the published FMs.

    Parameters
    ----------
    results : Results
        Of a run.
    fm, cohort : str, optional
        The FM and the cohort; the only ones when left out.
    metric : str, optional
        Only this metric; every metric of which values are published when left out.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each metric: the published FMs as circles (hollow where the benchmark's authors did not
        validate the value), and the FM with its interval.

    Raises
    ------
    FigureError
        Nothing is published to compare with, or there are several FMs or cohorts.

    Notes
    -----
    Pooling, precision and settings of the published values may differ from those of the run.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import among_published
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> figure = among_published(results, fm="virchow2", cohort="camelyon")  # doctest: +SKIP
    """
    checks = [check for check, _ in ranked([one for one in results.checks if metric in (None, one.metric)])]
    keys = {(check.metric, check.cohort) for check in checks}
    every = [one for one in results.checks if (one.metric, one.cohort) in keys and one.value is not None]
    if not every:
        raise FigureError("nothing is published to compare with", remedy="use a cohort of the benchmark")
    what = "value of which others are published"
    return draw_ranked(ranked(of_one_subject(every, fm, cohort, what)))


@styled
def draw_ranked(shown: Sequence[tuple[Check, Published]]) -> Figure:
    """The figure of some values among the published ones."""
    figure = new_figure(len(shown) * _PANEL + _FOOT)
    for axes, (check, published) in zip(
        figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True
    ):
        _draw(axes, check, published)
    first = shown[0][0]
    figure.supxlabel(
        "Filled circles: validated by the benchmark's authors. Pooling, precision and settings may differ.",
        fontsize=SMALL,
    )
    title = short(f"{fm_of(first)} among published FMs", 70)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9, fontweight="bold")
    return figure


def _draw(axes: Axes, check: Check, published: Published) -> None:
    for validated, face in ((True, MUTED), (False, "none")):
        values = [value for fm, value in published.values.items() if (fm in published.validated) is validated]
        axes.plot(
            values, [0] * len(values), marker="o", color=MUTED, markerfacecolor=face, markersize=6, alpha=0.8,
            linestyle="none", label="_published" if validated else "_not validated",
        )  # fmt: skip
    draw_value(axes, check, 1)
    named = sorted(published.values.items(), key=lambda item: item[1])
    for (fm, value), side in ((named[0], "left"), (named[-1], "right")):
        axes.text(value, -0.85, short(fm, 20), ha=side, va="center", fontsize=SMALL, color=MUTED)
    axes.set_yticks([0, 1], ["published", value_and_bound(check)[0]], fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-1.4, 1.8)
    axes.spines["left"].set_visible(False)
    where = "means over the benchmark's cohorts" if published.averaged else check.cohort
    scale = f"scale {published.scale[0]:g} to {published.scale[1]:g}"
    axes.set_title(f"{short(metric_label(check), 30)} ({short(where, 40)}; {scale})")
    axes.set_xlabel(rank_sentence(check, published))
    axes.margins(x=0.08)
