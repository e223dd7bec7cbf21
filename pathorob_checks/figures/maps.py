"""Embeddings in a plane, once by biological class and once by medical center."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pathorob_checks.figures.choosing import fm_of, of_one_subject
from pathorob_checks.figures.style import COLORS, MARKERS, MUTED, distinct, new_figure, short, styled
from pathorob_checks.results.document import EmbeddingMap, ResultsDocument
from pathorob_checks.wording import counted, rounded_percent

_HEIGHT, _LEGEND_ROW = 3.5, 0.17  # inches
Places = tuple[np.ndarray, np.ndarray]
MOST = 12  # groups with a shape of their own


def embedding_map(results: ResultsDocument, *, fm: str | None = None, cohort: str | None = None) -> Figure:
    """Draw the embeddings' first two principal components, by biological class and by medical center.

    Parameters
    ----------
    results : Results
        Of a run.
    fm, cohort : str, optional
        The FM and the cohort; the only ones when left out.

    Returns
    -------
    matplotlib.figure.Figure
        The same patches twice: left by class, right by center. The axes give the share of the variance that
        each component explains.

    Raises
    ------
    FigureError
        The results have no map, or those of several FMs or cohorts.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import embedding_map
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> figure = embedding_map(results, fm="virchow2", cohort="camelyon")  # doctest: +SKIP
    """
    runs = [run for run in results.runs if run.map is not None]
    run = of_one_subject(runs, fm, cohort, "map of the embeddings")[0]
    assert run.map is not None  # noqa: S101 (for the type checker)
    return draw_map(run.map, f"{fm_of(run)} on {run.cohort.name}")


@styled
def draw_map(shown: EmbeddingMap, subject: str) -> Figure:
    """The figure of a map."""
    sides = (
        ("biological class", shown.biological_class, shown.classes, 0),
        ("medical center", shown.medical_center, shown.centers, 3),  # no class looks like a center
    )
    entries = max(min(len(names), MOST + 1) for _, _, names, _ in sides)
    figure = new_figure(_HEIGHT + entries * _LEGEND_ROW)
    places = np.array(shown.x), np.array(shown.y)
    panels: Sequence[Axes] = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, (title, groups, names, first) in zip(panels, sides, strict=True):
        _draw(axes, places, np.array(groups), names, first)
        axes.set_title(f"by {title}")
        axes.set_xlabel(f"component 1 ({rounded_percent(shown.explained[0])} of the variance)")
    panels[0].set_ylabel(f"component 2 ({rounded_percent(shown.explained[1])} of the variance)")
    drawn = len(shown.x)
    sample = f"{drawn:,} of " if drawn < shown.patches else ""
    title = f"{short(subject, 60)}, {sample}{counted(shown.patches, 'patch', 'patches')}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=9, fontweight="bold")
    return figure


def _draw(axes: Axes, places: Places, groups: np.ndarray, names: Sequence[str], first: int) -> None:
    """Draw one side; its colors and shapes begin with the number `first`."""
    sizes = np.bincount(groups, minlength=len(names))
    own = sorted(np.argsort(-sizes, kind="stable")[: MOST if len(names) > MOST else len(names)].tolist())
    shown = distinct(names, 28)
    handles = []
    order = np.random.default_rng(0).permutation(len(groups))  # no group lies on top of all others
    ranks = np.argsort(order)
    rest = ~np.isin(groups, own)
    looks = [
        (groups == group, COLORS[n % len(COLORS)], MARKERS[n % len(MARKERS)], shown[names[group]])
        for n, group in enumerate(own, first)
    ]
    if rest.any():
        looks.append((rest, MUTED, ".", counted(len(names) - len(own), "more group")))
    size = 16 if len(groups) <= 400 else 9
    for mask, color, marker, name in looks:
        for part in range(4):  # in turns, for the same reason
            chosen = mask & (ranks % 4 == part)
            axes.scatter(
                places[0][chosen], places[1][chosen], s=size, c=color, marker=marker, linewidths=0,
                alpha=0.75, rasterized=True, label="_" + name, zorder=1 + part,
            )  # fmt: skip
        label = f"{name} ({int(mask.sum()):,})"
        handles.append(
            Line2D([], [], color=color, marker=marker, linestyle="none", markersize=5, label=label)
        )
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.17), borderaxespad=0, handletextpad=0.2
    )
    axes.set_xticks([])
    axes.set_yticks([])
