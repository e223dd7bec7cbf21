"""From the text of `--fm-cohort` to a cohort, and from a cohort to the rows that a metric reads."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.cohorts.cohort import IN_DOMAIN, OUT_OF_DOMAIN, Cohort, View
from pathorob_checks.errors import CohortError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BUILT_IN = ("demo",)
# Reserved already now: a folder of that name must not change its meaning when these arrive.
PUBLISHED = ("camelyon", "tcga", "tolkach_esca")
METRICS = ("robustness_index", "performance_drop", "clustering_score")

_VIEW_FIELDS = frozenset(field.name for field in dataclasses.fields(View)) - {"rows"}


def cohort_name(text: str) -> str:
    """Name for test ids: 'demo', or the last part of a path with unusual characters as '_'.

    Looks at the text only, never at the disk: pytest asks in every worker and the answers must agree.
    """
    if text in BUILT_IN or text in PUBLISHED:
        return text
    # normpath and not Path.resolve, which would look at the disk; Path.cwd() gives '.' a name.
    last = Path(os.path.normpath(Path.cwd() / _path(text))).name
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", last).strip("_") or "cohort"


def check_cohort_text(text: str) -> None:
    """Tell a wrong `--fm-cohort` before anything is loaded.

    Raises
    ------
    CohortError : `text` is neither a built-in cohort nor an existing folder.
    """
    choices = "give 'demo' or the path of a folder with manifest.csv"
    if text in BUILT_IN:
        return
    if text in PUBLISHED:
        raise CohortError(
            f"cohort '{text}' is not available in this version yet",
            remedy=f"{choices} (a folder of that name is './{text}')",
        )
    path = _path(text)
    if not text.strip():
        raise CohortError("the cohort's name is empty", remedy=choices)
    if path.is_dir():
        return
    if path.exists():
        raise CohortError(
            f"cohort '{text}' is a file, not a folder",
            remedy="give the folder that holds it" if path.name == "manifest.csv" else choices,
        )
    names = BUILT_IN + PUBLISHED
    near = difflib.get_close_matches(text.strip().lower(), names, n=1)
    meant = f"did you mean '{near[0]}'? Otherwise " if near else ""
    raise CohortError(
        f"there is no cohort and no folder '{text}'",
        remedy=f"{meant}{choices}; {', '.join(PUBLISHED)} are not available in this version yet",
    )


def load_cohort(text: str) -> Cohort:
    """The cohort that `--fm-cohort=text` names.

    Raises
    ------
    CohortError : there is none, or its table or images cannot be used.
    """
    check_cohort_text(text)
    if text == "demo":
        from pathorob_checks.cohorts import demo

        return demo.load()
    from pathorob_checks.cohorts import manifest

    return manifest.load_folder(_path(text))


def view(cohort: Cohort, metric: str) -> View:
    """The rows of `cohort` that `metric` reads, and its settings.

    `performance_drop` reads all rows (it trains on in-domain and tests on both); the other metrics read
    the in-domain rows: subset 'ID', or every subset but 'OOD' where subsets are pairs.

    Raises
    ------
    ValueError : `metric` is no name of `METRICS`.
    CohortError : the cohort's settings for the metric have a field that `View` lacks.
    """
    import numpy as np

    if metric not in METRICS:
        raise ValueError(f"no metric '{metric}'; the metrics are {', '.join(METRICS)}")
    settings: dict[str, Any] = dict(cohort.view_settings.get(metric, {}))
    unknown = sorted(settings.keys() - _VIEW_FIELDS)
    if unknown:
        raise CohortError(
            f"cohort '{cohort.name}' sets the unknown field '{unknown[0]}' for {metric}",
            remedy=f"use {', '.join(sorted(_VIEW_FIELDS))}",
        )
    subset = cohort.patches["subset"].to_numpy(dtype=object)
    rows: npt.NDArray[np.int64]
    if metric == "performance_drop":
        rows = np.arange(len(cohort), dtype=np.int64)
    elif settings.get("paired"):
        rows = np.flatnonzero(subset != OUT_OF_DOMAIN).astype(np.int64)
    else:
        rows = np.flatnonzero(subset == IN_DOMAIN).astype(np.int64)
    rows.flags.writeable = False
    return View(rows=rows, **settings)


def _path(text: str) -> Path:
    """Shells leave the ~ of `--fm-cohort=~/data` alone."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~somebody who does not exist here
        return Path(text)
