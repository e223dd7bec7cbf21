"""Reports made from a results file, later than its run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from pathorob_checks.console import say
from pathorob_checks.errors import ResultsError
from pathorob_checks.files import expanded
from pathorob_checks.report.forms import FORMS, Form

Commands = argparse._SubParsersAction  # `argparse` has no public name for it


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "report",
        help="write an HTML or Markdown report on a results file",
        description="Write reports on results that a run left behind. A results file holds no images of "
        "patches; only --fm-html shows them.",
    )
    parser.add_argument("file", type=Path, help="what --fm-json or --fm-html wrote")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one HTML page, as --fm-html does")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write Markdown, as --fm-markdown does")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results that a page holds")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    targets = {name: path for name in FORMS if (path := getattr(options, name))}
    for line in report(options.file, targets):
        say(line)
    return 0


def report(source: Path, targets: Mapping[str, Path]) -> list[str]:
    """Write reports on a results file, or on the results that an HTML report holds.

    Parameters
    ----------
    source : the file.
    targets : the file to write, by the names in `FORMS`.

    Returns
    -------
    A line for each file that was written.

    Raises
    ------
    ResultsError : the source cannot be read or contradicts itself, there is no target, or a target cannot be
        written or holds something else.
    """
    from pathorob_checks.commands.earlier_outputs import removed_where_nothing_is_made

    if not targets:
        raise ResultsError("no report is asked for", remedy="give --html=FILE or --markdown=FILE")
    with removed_where_nothing_is_made(
        {path: FORMS[name].is_one for name, path in targets.items()}, [source]
    ):
        return _written(source, targets)


def _written(source: Path, targets: Mapping[str, Path]) -> list[str]:
    from pathorob_checks.results.consistency import contradictions
    from pathorob_checks.results.results import Results

    results = Results.read(source)
    for contradiction in contradictions(results):
        raise ResultsError(
            f"the results in {source} contradict each other: {contradiction}",
            remedy="do not use them; run the gate again",
        )
    paths = {name: expanded(path) for name, path in targets.items()}
    for name, path in paths.items():
        _refuse_other_files(FORMS[name], path, source)
    if len({os.path.realpath(path) for path in paths.values()}) < len(paths):
        raise ResultsError("two reports have the same file", remedy="name another file for one of them")
    for name, path in paths.items():
        FORMS[name].save(results, path)
    return [f"{FORMS[name].noun}: {path}" for name, path in paths.items()]


def _refuse_other_files(form: Form, path: Path, source: Path) -> None:
    try:
        exists = path.exists()
        is_source = exists and path.samefile(source)
        is_other = path.is_file() and path.stat().st_size > 0 and not form.is_one(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"the {form.noun} {path} cannot be written ({getattr(error, 'strerror', None) or error})",
            remedy="name another file",
        ) from None
    if is_source or is_other:
        what = "is what the report is made from" if is_source else f"exists and is no {form.noun}"
        raise ResultsError(f"the file {path} {what}", remedy="name another file")
