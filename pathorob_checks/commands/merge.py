"""The results files of several jobs as one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pathorob_checks.console import say
from pathorob_checks.errors import ResultsError
from pathorob_checks.files import expanded
from pathorob_checks.wording import printable


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of the command line."""
    parser = commands.add_parser(
        "merge",
        help="make one results file of those of several jobs; end as the whole run would",
        description="Merge the results files of jobs that checked one FM on one cohort each. Outcome, "
        "verdicts, completeness and means over cohorts are worked out again over all of them. Files that do "
        "not belong together are refused. The exit code is that of the whole run.",
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="what --fm-json wrote in each job"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="where to write the whole")
    parser.add_argument(
        "--fm-cohort",
        action="append",
        default=[],
        metavar="NAME",
        help="a cohort that the run must have; exit code 1 if no file has it; may repeat",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    sentence, code = merge(options.files, options.out, options.fm_cohort)
    say(sentence)
    return code


def merge(paths: Sequence[Path], out: Path, cohorts: Sequence[str] = ()) -> tuple[str, int]:
    """Write the results of all files together; returns their summary and the exit code that follows.

    Parameters
    ----------
    cohorts : names of cohorts that must be in a file.

    Raises
    ------
    ResultsError : a file cannot be read or cannot be a part, the files do not belong together, or `out` is
        one of them or cannot be written.
    """
    from pathorob_checks.commands.earlier_outputs import removed_where_nothing_is_made
    from pathorob_checks.commands.verdict import exit_code_of
    from pathorob_checks.evaluation.merging import merged
    from pathorob_checks.evaluation.part import part_of
    from pathorob_checks.report.forms import FORMS
    from pathorob_checks.results.results import Results

    out = expanded(out)
    for path in paths:
        if out.exists() and path.exists() and out.samefile(path):
            raise ResultsError(
                f"the file {printable(str(out))} is to be written and is one of those that are merged",
                remedy="name another file with --out",
            )
    with removed_where_nothing_is_made({out: FORMS["json"].is_one}, paths):
        results = merged([part_of(str(path), Results.read(path)) for path in paths], cohorts)
        results.save(out)
    return printable(results.summary), exit_code_of(results)
