"""Reports on results: what the terminal shows at the end of a run, and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from pathorob_checks.results.results import Results

__all__ = ["save_report"]

_FORMS = {".html": "html", ".htm": "html", ".md": "markdown", ".markdown": "markdown", ".json": "json"}


def save_report(results: Results, path: str | os.PathLike[str]) -> None:
    """Write a report, whole or not at all; missing folders are made.

    Parameters
    ----------
    results : Results
        Of `evaluate` or of a file. Only those of `evaluate(images=True)` have images of patches, which an
        HTML report then shows.
    path : str or path-like
        The file, which is replaced where it exists. Its ending says what is written: `.html` the report of
        `--fm-html`, `.md` that of `--fm-markdown`, `.json` the results file of `--fm-json`.

    Raises
    ------
    ResultsError
        The file has another ending, or cannot be written.

    See Also
    --------
    pathorob_checks.Results.save : Writes the results file under any name.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.report import save_report
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> save_report(results, "report.html")  # doctest: +SKIP
    """
    from pathlib import Path

    from pathorob_checks.errors import ResultsError
    from pathorob_checks.report.forms import FORMS

    form = _FORMS.get(Path(path).suffix.lower())
    if form is None:
        raise ResultsError(
            f"the name of the report {path} does not say what to write",
            remedy="end it with .html, .md or .json",
        )
    FORMS[form].save(results, path)
