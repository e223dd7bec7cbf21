"""Reports made from a results file, later than its run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pathorob_checks.errors import ResultsError
from pathorob_checks.files import expanded
from pathorob_checks.report.forms import FORMS, Form
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.results import Results


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
    if not targets:
        options = " or ".join(f"--{name}" for name in FORMS)
        raise ResultsError("no report is asked for", remedy=f"give {options} with a file")
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
