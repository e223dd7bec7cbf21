"""FMs of several results files beside each other."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.errors import ResultsError
from pathorob_checks.width import width
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from pathorob_checks.results.comparison import Comparison

_NOUNS = {"markdown": "Markdown table", "html": "HTML page", "csv": "CSV table"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of the command line."""
    parser = commands.add_parser(
        "compare",
        help="put the FMs of results files beside each other: values, paired differences, places, verdicts",
        description="Compare FMs of one results file or of several: for each cohort and metric the value "
        "with its interval, the paired difference to a reference FM, the place among the published FMs, and "
        "the verdict.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what --fm-json wrote")
    parser.add_argument("--to", metavar="NAME", help="the FM to compare with (default: the first)")
    for form, noun in _NOUNS.items():
        parser.add_argument(f"--{form}", type=Path, metavar="FILE", help=f"where to write it as well: {noun}")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from pathorob_checks.commands.earlier_outputs import (
        has_first_line,
        holds,
        removed_where_nothing_is_made,
    )
    from pathorob_checks.report.comparison import render_comparison
    from pathorob_checks.report.forms import MARK
    from pathorob_checks.results.comparing import compare
    from pathorob_checks.results.comparison_rows import COLUMNS

    outputs = {form: path for form in _NOUNS if (path := getattr(options, form))}
    earlier = {
        path: has_first_line(",".join(COLUMNS)) if form == "csv" else holds(MARK)
        for form, path in outputs.items()
    }
    with removed_where_nothing_is_made(earlier, options.files):
        comparison = compare(options.files, to=options.to)
        say(render_comparison(comparison, width()))
        save(comparison, outputs, options.files)
    return 0


def save(comparison: Comparison, files: Mapping[str, Path], inputs: Sequence[Path] = ()) -> None:
    """Write a comparison to files, by their form: `markdown`, `html`, `csv`.

    Raises
    ------
    ResultsError : a file is one of the inputs, or cannot be written.
    """
    from pathorob_checks.report.comparison import comparison_csv, comparison_markdown
    from pathorob_checks.report.comparison_page import comparison_html
    from pathorob_checks.results.saving import save_text

    forms: Mapping[str, Callable[[Comparison], str]] = {
        "markdown": comparison_markdown,
        "html": comparison_html,
        "csv": comparison_csv,
    }
    for form, path in files.items():
        if path.exists() and any(one.exists() and path.samefile(one) for one in inputs):
            raise ResultsError(
                f"the {_NOUNS[form]} {printable(str(path))} would replace a file that is compared",
                remedy=f"name another file with --{form}",
            )
        save_text(path, forms[form](comparison), _NOUNS[form])
