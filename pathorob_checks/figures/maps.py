"""Embeddings in a plane, once by biological class and once by medical center."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pathorob_checks.errors import FigureError
from pathorob_checks.figures.choosing import fm_of, of_one_subject
from pathorob_checks.figures.style import (
    BLACK,
    COLORS,
    MARKERS,
    MUTED,
    distinct,
    entry,
    new_figure,
    short,
    styled,
)
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.subject_facts import EmbeddingMap
from pathorob_checks.wording import counted, hint, rounded_percent

if TYPE_CHECKING:
    import pandas as pd

_HEIGHT, _LEGEND_ROW = 3.5, 0.17  # inches
MOST = 12  # groups with a shape of their own
_ONE_COLUMN, _HALF_WIDTH = 6, 22  # entries, and letters of an entry, of a legend
_FEWEST = 3  # patches that a plane can show
_SEED = 1337


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Patches in a plane.

    Attributes
    ----------
    places : (2, N) of each patch.
    classes, centers : the number of each patch's class and center, and the names.
    outside : names of the out-of-domain centers.
    axes : what the two axes are.
    title : whose patches they are.
    """

    places: npt.NDArray[np.float64]
    classes: tuple[npt.NDArray[np.int64], tuple[str, ...]]
    centers: tuple[npt.NDArray[np.int64], tuple[str, ...]]
    axes: tuple[str, str]
    title: str
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Group:
    """Patches of one class or center, and how they are drawn."""

    mask: npt.NDArray[np.bool_]
    name: str
    label: str
    marker: str
    face: str
    edge: str


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
        The same patches twice: left by class, right by center, out-of-domain centers as hollow marks. The
        axes give the share of the variance that each component explains.

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
    return draw_map(run.map, f"{fm_of(run)} on {run.cohort.name}", run.cohort.out_of_domain_centers)


def embeddings_in_plane(
    embeddings: npt.ArrayLike,
    patches: pd.DataFrame,
    *,
    projection: Literal["pca", "umap"] = "pca",
    title: str = "embeddings",
    seed: int = _SEED,
) -> Figure:
    """Draw embeddings that you have in a plane, by biological class and by medical center.

    Parameters
    ----------
    embeddings : (N, D) array of float
        A row for each patch; L2-normalised before they are projected.
    patches : pandas.DataFrame
        Row i describes embedding i; with the columns `biological_class` and `medical_center`.
    projection : {'pca', 'umap'}, default 'pca'
        The first two principal components, or UMAP [1]_ with the cosine distance, which needs the package
        umap-learn and shows neighborhoods, not distances.
    title : str, default 'embeddings'
        Whose embeddings they are.
    seed : int, default 1337
        Of the projection.

    Returns
    -------
    matplotlib.figure.Figure
        The same patches twice: left by class, right by center.

    Raises
    ------
    FigureError
        The embeddings are no finite matrix with a row other than 0 for each of three patches or more, the
        table lacks a class or a center, or umap-learn is not installed.

    References
    ----------
    .. [1] McInnes, Healy, Melville. UMAP: Uniform Manifold Approximation and Projection. arXiv:1802.03426.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.figures import embeddings_in_plane
    >>> patches = pd.DataFrame({"biological_class": ["tumor", "normal"] * 9, "medical_center": "Bonn"})
    >>> embeddings = np.random.default_rng(0).normal(size=(18, 4))
    >>> figure = embeddings_in_plane(embeddings, patches, title="virchow2")
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['by biological class', 'by medical center']
    """
    matrix = _normalised(embeddings, len(patches))
    if projection not in _PROJECTIONS:
        raise FigureError(
            f"there is no projection {projection!r}", remedy=hint(projection, _PROJECTIONS, "use {known}")
        )
    classes, centers = (_groups(patches, name) for name in ("biological_class", "medical_center"))
    places, axes = _PROJECTIONS[projection](matrix, seed)
    title = f"{short(title, 60)}, {counted(len(matrix), 'patch', 'patches')}"
    return draw_plane(Plane(places=places.T, classes=classes, centers=centers, axes=axes, title=title))


def _normalised(embeddings: npt.ArrayLike, rows: int) -> npt.NDArray[np.float64]:
    """The embeddings of so many patches with the norm 1."""
    matrix = np.asarray(embeddings, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) != rows or rows < _FEWEST:
        raise FigureError(
            f"embeddings of the shape {matrix.shape} do not fit {counted(rows, 'row')} of a table",
            remedy=f"give a matrix with a row for each patch, of {_FEWEST} patches at least",
        )
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise FigureError(
            "embeddings that are not finite or are all 0 have no place in a plane",
            remedy="leave these patches out",
        )
    normalised: npt.NDArray[np.float64] = matrix / norms
    return normalised


def _groups(patches: pd.DataFrame, column: str) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Each patch's group as a number, and the names of the groups."""
    if column not in patches or patches[column].isna().any():
        problem = "has no column" if column not in patches else "has patches without a value in"
        raise FigureError(
            f"the table {problem} {column}", remedy="give the class and the center of every patch"
        )
    groups = patches[column].astype("category").cat
    return np.asarray(groups.codes, dtype=np.int64), tuple(map(str, groups.categories))


def _principal(matrix: npt.NDArray[np.float64], seed: int) -> tuple[npt.NDArray[np.float64], tuple[str, str]]:
    from sklearn.decomposition import PCA

    components = PCA(n_components=2, svd_solver="randomized", random_state=seed)
    places = components.fit_transform(matrix)
    return places, _components(*np.nan_to_num(components.explained_variance_ratio_).tolist())


def _neighbors(matrix: npt.NDArray[np.float64], seed: int) -> tuple[npt.NDArray[np.float64], tuple[str, str]]:
    try:
        from umap import UMAP
    except ImportError:
        raise FigureError(
            "a projection by UMAP needs the package umap-learn, which is not installed",
            remedy="install it: pip install umap-learn",
        ) from None
    places = UMAP(metric="cosine", random_state=seed, n_jobs=1).fit_transform(matrix)
    return np.asarray(places, dtype=np.float64), ("UMAP 1", "UMAP 2")


_PROJECTIONS = {"pca": _principal, "umap": _neighbors}


def _components(first: float, second: float) -> tuple[str, str]:
    """Names of the axes with the share of the variance that each explains."""
    shares = rounded_percent(first), rounded_percent(second)
    return f"component 1 ({shares[0]} of the variance)", f"component 2 ({shares[1]} of the variance)"


def draw_map(shown: EmbeddingMap, subject: str, outside: tuple[str, ...] = ()) -> Figure:
    """The figure of a map that results have; `outside` are the out-of-domain centers."""
    drawn = len(shown.x)
    sample = f"{drawn:,} of " if drawn < shown.patches else ""
    return draw_plane(
        Plane(
            places=np.array([shown.x, shown.y], dtype=np.float64),
            classes=(np.array(shown.biological_class, dtype=np.int64), shown.classes),
            centers=(np.array(shown.medical_center, dtype=np.int64), shown.centers),
            axes=_components(*shown.explained),
            title=f"{short(subject, 60)}, {sample}{counted(shown.patches, 'patch', 'patches')}",
            outside=outside,
        )
    )


@styled
def draw_plane(shown: Plane) -> Figure:
    """The figure of patches in a plane."""
    # The second side begins with other colors and shapes: no class looks like a center.
    sides = (
        ("by biological class", _looks(*shown.classes, first=0), False),
        ("by medical center", _looks(*shown.centers, first=3, outside=shown.outside), bool(shown.outside)),
    )
    columns = [_legend_columns(groups) for _, groups, _ in sides]
    rows = max(
        -(-(len(groups) + hollow) // ncols) for (_, groups, hollow), ncols in zip(sides, columns, strict=True)
    )
    figure = new_figure(_HEIGHT + rows * _LEGEND_ROW)
    panels: Sequence[Axes] = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, (title, groups, hollow), ncols in zip(panels, sides, columns, strict=True):
        _draw(axes, shown.places, groups)
        handles = [_handle(group.marker, group.face, group.edge, group.label) for group in groups]
        handles += [_handle("o", "none", MUTED, "hollow: out-of-domain")] if hollow else []
        axes.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.17), borderaxespad=0,
            handletextpad=0.2, columnspacing=0.8, ncols=ncols,
        )  # fmt: skip
        axes.set_title(title)
        axes.set_xlabel(shown.axes[0])
    panels[0].set_ylabel(shown.axes[1])
    figure.suptitle(shown.title, x=0.01, ha="left", fontsize=9, fontweight="bold")
    return figure


def _looks(
    groups: npt.NDArray[np.int64], names: Sequence[str], *, first: int, outside: Sequence[str] = ()
) -> list[_Group]:
    """The groups of one side; their colors and shapes begin with the number `first`.

    Where colors repeat, the shape is another one and has a dark edge.
    """
    sizes = np.bincount(groups, minlength=len(names))
    own = sorted(np.argsort(-sizes, kind="stable")[: MOST if len(names) > MOST else len(names)].tolist())
    shown = distinct(names, 28)
    looks = []
    for number, group in enumerate(own):
        color, marker = (every[(first + number) % len(every)] for every in (COLORS, MARKERS))
        is_hollow = names[group] in outside
        repeats = number >= len(COLORS) and not is_hollow
        looks.append(
            _Group(
                mask=groups == group,
                name=shown[names[group]],
                label=entry(f"{shown[names[group]]} ({int(sizes[group]):,})"),
                marker=marker,
                face="none" if is_hollow else color,
                edge=BLACK if repeats else color,
            )
        )
    rest = ~np.isin(groups, own)
    if rest.any():
        more = counted(len(names) - len(own), "more group")
        looks.append(_Group(rest, more, f"{more} ({int(rest.sum()):,})", ".", MUTED, MUTED))
    return looks


def _legend_columns(groups: Sequence[_Group]) -> int:
    """Two columns for many short names."""
    return 2 if len(groups) > _ONE_COLUMN and max(len(one.label) for one in groups) <= _HALF_WIDTH else 1


def _handle(marker: str, face: str, edge: str, label: str) -> Line2D:
    return Line2D(
        [], [], marker=marker, markerfacecolor=face, markeredgecolor=edge, linestyle="none", markersize=5,
        label=label,
    )  # fmt: skip


def _draw(axes: Axes, places: npt.NDArray[np.float64], groups: Sequence[_Group]) -> None:
    """Draw the patches of one side."""
    patches = places.shape[1]
    order = np.random.default_rng(0).permutation(patches)  # no group lies on top of all others
    ranks = np.argsort(order)
    size = 16 if patches <= 400 else 9
    for group in groups:
        for part in range(4):  # in turns, for the same reason
            chosen = group.mask & (ranks % 4 == part)
            axes.scatter(
                places[0][chosen], places[1][chosen], s=size, marker=group.marker, facecolors=group.face,
                edgecolors=group.edge, linewidths=0 if group.face == group.edge else 0.7, alpha=0.85,
                rasterized=True, label=f"_{group.name}", zorder=1 + part,
            )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
