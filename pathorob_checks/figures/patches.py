"""Patches that a metric misses, beside their nearest neighbors."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from pathorob_checks.errors import FigureError
from pathorob_checks.figures.choosing import fm_of, of_one_subject
from pathorob_checks.figures.style import BLUE, INK, MUTED, VERMILLION, WIDTH, new_figure, short, styled
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.subject_facts import Neighborhood, PatchFacts, Run
from pathorob_checks.wording import quoted

# By whether class and center are those of the patch: color, width and line of the frame.
_FRAMES: Mapping[tuple[bool, bool], tuple[str, float, str]] = {
    (True, True): (MUTED, 1.0, "-"),
    (True, False): (BLUE, 2.2, "-"),
    (False, True): (VERMILLION, 2.6, "--"),
    (False, False): (MUTED, 1.0, ":"),
}
_FRAME = (INK, 1.4, "-")  # of the patch itself
_SAME = {True: "same", False: "other"}
_GAP, _TEXT, _HEAD, _TITLE = 0.06, 0.62, 0.22, 0.3  # inches
_TILE, _BELOW = 0.84, 0.06  # inches
_TILES, _LETTERS = 7, 13  # in a row, and of a name
_LARGEST = 256 * 256  # pixels of an image
_FONT = 6.8  # points


def relation(patch: PatchFacts, neighbor: PatchFacts) -> str:
    """Whether class and center of a neighbor are those of the patch, in words.

    >>> one = PatchFacts(slide_id="s", patch_id="p", biological_class="tumor", medical_center="Bonn")
    >>> relation(one, one.model_copy(update={"biological_class": "normal"}))
    'other class, same center'
    """
    same_class, same_center = _same(patch, neighbor)
    return f"{_SAME[same_class]} class, {_SAME[same_center]} center"


def _same(patch: PatchFacts, neighbor: PatchFacts) -> tuple[bool, bool]:
    return (
        patch.biological_class == neighbor.biological_class,
        patch.medical_center == neighbor.medical_center,
    )


def misled_patches(
    results: ResultsDocument,
    *,
    fm: str | None = None,
    cohort: str | None = None,
    metric: str | None = None,
) -> Figure:
    """Draw patches that a metric misses, each beside its nearest neighbors.

    Parameters
    ----------
    results : Results
        Of a run; with images of the patches where it was made by `evaluate(images=True)`.
    fm, cohort, metric : str, optional
        Which FM, cohort and metric; the only ones when left out.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each patch, its neighbors from the nearest on. Frame and text say whether a neighbor is of
        the patch's class and of its center. Where there is no image the tile has the labels alone.

    Raises
    ------
    FigureError
        The results have no such patches, or those of several FMs, cohorts or metrics.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import misled_patches
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> figure = misled_patches(results, fm="virchow2", cohort="camelyon")  # doctest: +SKIP
    """
    runs = [run for run in results.runs if metric in (None, *(one.metric for one in run.neighborhoods))]
    runs = [run for run in runs if run.neighborhoods]
    run = of_one_subject(runs, fm, cohort, "patch that a metric misses")[0]
    metrics = list(dict.fromkeys(one.metric for one in run.neighborhoods))
    if metric is None and len(metrics) > 1:
        raise FigureError(
            "the results have patches that several metrics miss",
            remedy=f"pass metric= with one of {quoted(metrics)}",
        )
    return draw_patches(run, metric or metrics[0])


@styled
def draw_patches(run: Run, metric: str) -> Figure:
    """The figure of the patches that one metric misses."""
    shown = [one for one in run.neighborhoods if one.metric == metric]
    height = _TITLE + len(shown) * (_HEAD + _TILE + _TEXT)
    figure = new_figure(height, layout=None)
    title = short(f"{fm_of(run)} on {run.cohort.name}", 60) + ": patches and their nearest neighbors"
    figure.text(0.01, 1 - 0.04 / height, title, va="top", fontsize=9, fontweight="bold")
    for number, one in enumerate(shown):
        _row(figure, one, run.images, top=height - _TITLE - number * (_HEAD + _TILE + _TEXT))
    return figure


def _row(figure: Figure, shown: Neighborhood, images: Mapping[str, str], top: float) -> None:
    width, height = figure.get_size_inches()
    patch = shown.patch
    name = short(f"patch {patch.patch_id} of slide {patch.slide_id}; nearest on the left", 90)
    figure.text(0.01, top / height, name, va="top", fontsize=7.5)
    step = (WIDTH - _GAP) / max(_TILES, 1 + len(shown.neighbors))
    size = min(_TILE, step - _GAP)
    for place, one in enumerate((patch, *shown.neighbors)):
        left, bottom = _GAP + place * step, top - _HEAD - size
        axes = figure.add_axes((left / width, bottom / height, size / width, size / height))
        frame = _FRAMES[_same(patch, one)] if place else _FRAME
        labels = [short(one.biological_class, _LETTERS), short(one.medical_center, _LETTERS)]
        below = relation(patch, one).split(", ") if place else ["the patch"]
        if _fill(axes, images.get(one.key), frame):
            below += labels
        else:
            axes.text(0.5, 0.5, "\n".join(labels), ha="center", va="center", fontsize=_FONT)
        figure.text(
            left / width, (bottom - _BELOW) / height, "\n".join(below), va="top", fontsize=_FONT,
            linespacing=1.15,
        )  # fmt: skip


def _fill(axes: Axes, image: str | None, frame: tuple[str, float, str]) -> bool:
    """Frame a tile and put its image in; whether there was one."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=frame[0], linewidth=frame[1], linestyle=frame[2])
    pixels = None if image is None else pixels_of(image)
    if pixels is not None:
        axes.imshow(pixels, interpolation="none", aspect="auto")
    return pixels is not None


def pixels_of(image: str) -> np.ndarray | None:
    """A base64 JPEG as pixels; None where it is none, or is larger than a patch's image can be."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(image, validate=True)), formats=("JPEG",)) as opened:
            if opened.width * opened.height > _LARGEST:
                return None
            return np.asarray(opened.convert("RGB"))
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return None
