"""The results file of a gated run, from before the run can fail to its end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.errors import PathorobChecksError, SettingsError
from pathorob_checks.evaluation.assembling import unstarted
from pathorob_checks.wording import shortened

if TYPE_CHECKING:
    from pathorob_checks.evaluation.settings import Settings

_FORM = "pathorob-checks/results/"


@contextlib.contextmanager
def results_file(settings: Settings, path: str | None) -> Iterator[str | None]:
    """`path`; where the run cannot start, a file of an earlier run is replaced by one that says so.

    Raises
    ------
    SettingsError : the file exists and holds something else than results, or is the baseline.
    """
    if path is None:
        yield None
        return
    try:
        _check(Path(path), settings)
    except OSError as error:
        raise SettingsError(
            f"the results file {shortened(path)} cannot be written ({error.strerror})",
            remedy="name another file with --fm-json",
        ) from None
    try:
        yield path
    except PathorobChecksError as error:
        with contextlib.suppress(PathorobChecksError):
            if Path(path).is_file():
                unstarted(settings, str(error)).save(path)
        raise


def mark_unstarted(path: str, problem: str) -> None:
    """Replace a results file of an earlier run by one that says why this run did not start."""
    from pathorob_checks.evaluation.settings import Settings

    file = Path(path)
    with contextlib.suppress(PathorobChecksError, OSError):
        if file.is_file() and _holds_results(file):
            unstarted(Settings(fms=()), problem).save(file)


def _check(path: Path, settings: Settings) -> None:
    baseline = settings.baseline
    if baseline is not None and path.exists() and Path(baseline).exists() and path.samefile(baseline):
        raise SettingsError(
            f"the results file {path} is the baseline of this run", remedy="name another file with --fm-json"
        )
    if path.is_file() and path.stat().st_size and not _holds_results(path):
        raise SettingsError(
            f"the file {path} exists and is not a results file",
            remedy="name another file with --fm-json, or delete this one",
        )


def _holds_results(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and str(content.get("schema", "")).startswith(_FORM)
