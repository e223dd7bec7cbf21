"""The files that a gated run writes, from before the run can fail to its end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.errors import PathorobChecksError, SettingsError
from pathorob_checks.evaluation.assembling import unstarted
from pathorob_checks.report.forms import FORMS
from pathorob_checks.wording import shortened

if TYPE_CHECKING:
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.results.results import Results


class ReportFiles:
    """What a run writes where.

    Parameters
    ----------
    paths : by the names in `FORMS`, as the user wrote them.
    spared : where a run that is refused writes nothing: in the folder of the evidence, over the baseline.
    """

    def __init__(self, paths: Mapping[str, str], spared: Iterable[Path] = ()) -> None:
        self.paths = paths
        self._spared = tuple(spared)
        self._absolute = {name: Path(path).absolute() for name, path in paths.items()}
        self._process = os.getpid()  # a test may start another one, which runs on as this one does

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """What each file is called, and its path as the user wrote it."""
        return ((FORMS[name].noun, path) for name, path in self.paths.items())

    def save(self, results: Results) -> list[PathorobChecksError]:
        """Write all files; returns the error of each that cannot be written."""
        errors = []
        if os.getpid() == self._process:
            for name, path in self._absolute.items():
                try:
                    FORMS[name].save(results, path)
                except PathorobChecksError as error:
                    errors.append(error)
        return errors

    @contextlib.contextmanager
    def guarded(self, settings: Settings) -> Iterator[ReportFiles]:
        """Where the run cannot start, its files say so.

        Raises
        ------
        SettingsError : a file exists and holds something else, is the baseline, or is named twice.
        """
        for name, path in self.paths.items():
            try:
                _check(name, Path(path), settings)
            except OSError as error:
                raise SettingsError(
                    f"the {FORMS[name].noun} {shortened(path)} cannot be written ({error.strerror})",
                    remedy=f"name another file with --fm-{name}",
                ) from None
        if len(set(self._absolute.values())) < len(self._absolute):
            raise SettingsError(
                "two reports have the same file", remedy="name another file for one of the options"
            )
        try:
            yield self
        except PathorobChecksError as error:
            self._say_unstarted(unstarted(settings, str(error)))
            raise

    def mark_unstarted(self, problem: str) -> None:
        """Have the files say why this run did not start, also in place of those of an earlier run."""
        from pathorob_checks.evaluation.settings import Settings

        self._say_unstarted(unstarted(Settings(fms=()), problem))

    def _say_unstarted(self, results: Results) -> None:
        """What exists and is no report stays as it is; the refusal is told wherever it can be."""
        for name, path in self._absolute.items():
            is_spared = any(path.is_relative_to(place) for place in self._spared)
            with contextlib.suppress(PathorobChecksError):
                if not is_spared and FORMS[name].may_replace(path):
                    FORMS[name].save(results, path)


def _check(name: str, path: Path, settings: Settings) -> None:
    form, baseline = FORMS[name], settings.baseline
    if baseline is not None and path.exists() and Path(baseline).exists() and path.samefile(baseline):
        raise SettingsError(
            f"the {form.noun} {path} is the baseline of this run",
            remedy=f"name another file with --fm-{name}",
        )
    if path.is_file() and path.stat().st_size and not form.may_replace(path):
        article = "a" if form.noun[0].islower() or form.noun[0] == "M" else "an"
        raise SettingsError(
            f"the file {path} exists and is not {article} {form.noun}",
            remedy=f"name another file with --fm-{name}, or delete this one",
        )
