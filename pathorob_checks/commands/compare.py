"""FMs of several results files beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pathorob_checks.errors import ResultsError
from pathorob_checks.report.comparison import comparison_csv, comparison_markdown
from pathorob_checks.report.comparison_page import comparison_html
from pathorob_checks.results.comparing import Comparison, comparison_of
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.results import Results
from pathorob_checks.results.saving import save_text
from pathorob_checks.wording import brief, printable

# By the option that writes it.
FORMS: Mapping[str, tuple[str, Callable[[Comparison], str]]] = {
    "markdown": ("Markdown table", comparison_markdown),
    "html": ("HTML page", comparison_html),
    "csv": ("CSV table", comparison_csv),
}


def compare_files(paths: Sequence[Path], to: str | None = None) -> Comparison:
    """Put the FMs of some results files beside each other.

    Raises
    ------
    ResultsError : a file cannot be read or contradicts itself, or as `comparison_of`.
    """
    documents = [Results.read(path) for path in paths]
    for path, document in zip(paths, documents, strict=True):
        for contradiction in contradictions(document):
            raise ResultsError(
                brief(printable(f"the results file {path} contradicts itself: {contradiction}"), 400),
                remedy="do not use it; run the gate again",
            )
    return comparison_of(documents, [str(path) for path in paths], to=to)


def save(comparison: Comparison, files: Mapping[str, Path], inputs: Sequence[Path]) -> None:
    """Write a comparison to files, by their form.

    Raises
    ------
    ResultsError : a file is one of the inputs, or cannot be written.
    """
    for form, path in files.items():
        noun, render = FORMS[form]
        if path.exists() and any(one.exists() and path.samefile(one) for one in inputs):
            raise ResultsError(
                f"the {noun} {printable(str(path))} is one of the files that are compared",
                remedy=f"name another file with --{form}",
            )
        save_text(path, render(comparison), noun)
