"""The results files of several jobs as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pathorob_checks.commands.verdict import exit_code_of
from pathorob_checks.errors import ResultsError
from pathorob_checks.evaluation.merging import merged
from pathorob_checks.evaluation.part import part_of
from pathorob_checks.results.results import Results
from pathorob_checks.wording import printable


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
    for path in paths:
        if out.exists() and path.exists() and out.samefile(path):
            raise ResultsError(
                f"the file {printable(str(out))} is to be written and is one of those that are merged",
                remedy="name another file with --out",
            )
    results = merged([part_of(str(path), Results.read(path)) for path in paths], cohorts)
    results.save(out)
    return printable(results.summary), exit_code_of(results)
