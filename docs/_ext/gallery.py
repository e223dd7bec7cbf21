"""The gallery: one run on the demo cohort, which its scripts read, and what they show.

Scripts run in a copy of `docs/gallery` in the folder `build`, where they may leave files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst

import pathorob_checks
from pathorob_checks import evaluate

DOCS = Path(__file__).parents[1]
SCRIPTS = DOCS / "gallery"
COPY = DOCS.parent / "build" / "gallery"
PAGES = DOCS / "auto_gallery"
RESULTS = "results.json"
FMS = ("demo:color-sensitive", "demo:stain-invariant")
ORDER = (
    "intervals",
    "index_over_k",
    "accuracy_over_correlation",
    "clustering_heatmap",
    "neighbor_shares",
    "embedding_map",
    "misled_patches",
    "changes_by_method",
    "comparison",
    "trend",
    "among_published",
)


def prepare() -> None:
    """Copy the scripts and measure the demo, unless the results are newer than the package."""
    kept = COPY / RESULTS
    package = Path(pathorob_checks.__file__).parent
    changed = max(path.stat().st_mtime for path in package.rglob("*.*") if path.suffix != ".pyc")
    results = kept.read_bytes() if kept.exists() and kept.stat().st_mtime > changed else None
    if results is None:
        shutil.rmtree(PAGES, ignore_errors=True)  # they show what was measured before
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(SCRIPTS, COPY, ignore=shutil.ignore_patterns("__pycache__"))
    if results is None:
        evaluate(FMS, progress=False).save(kept)
    else:
        kept.write_bytes(results)


def place(name: str) -> int:
    """Where a script stands in the gallery."""
    return ORDER.index(name.removeprefix("plot_").removesuffix(".py"))


def shown(block: object, variables: Mapping[str, Any], settings: Mapping[str, Any]) -> str:  # noqa: ARG001
    """Save what a script calls `figure`: a figure of matplotlib, or the path of a picture."""
    figure = variables["example_globals"].pop("figure", None)
    if figure is None:
        return ""
    path = Path(next(_paths(variables)))
    if isinstance(figure, Figure):
        figure.savefig(path)
    else:
        shutil.copyfile(COPY / figure, path)
    title = str(variables["example_globals"]["__doc__"]).strip().partition("\n")[0]
    return str(figure_rst([path], settings["src_dir"], title))


def _paths(variables: Mapping[str, Any]) -> Iterator[str]:
    yield from variables["image_path_iterator"]


def _prepare(_: Sphinx) -> None:
    prepare()


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("builder-inited", _prepare, priority=100)  # before sphinx-gallery runs the scripts
    return {"parallel_read_safe": True, "parallel_write_safe": True}
