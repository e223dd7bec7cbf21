"""A gated run in the history that was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.errors import HistoryError

if TYPE_CHECKING:
    from pathorob_checks.results.results import Results


class Keeping:
    """Keeps a run when it has ended; a history that cannot be written changes no verdict.

    Parameters
    ----------
    path : the history; None where nobody asked for one.

    Attributes
    ----------
    sentence : about it, from the end of the run on; "" without a history.
    is_kept : whether the run is in it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = None if path is None else path.absolute()
        self._shown, self._digest = path, ""
        self._process = os.getpid()  # a test may start another one, which runs on as this one does
        self.sentence, self.is_kept = "", False

    def keep(self, results: Results) -> None:
        """Add the run, or replace what was added of it before."""
        if self._path is None or os.getpid() != self._process:
            return
        from pathorob_checks.history.store import History, why_not_kept

        self.is_kept = False
        if reason := why_not_kept(results):
            self.sentence = f"history: the run is not kept in {self._shown}, because {reason}"
            return
        try:
            self._digest, _ = History(self._path).add(results, instead_of=self._digest or None)
        except HistoryError as error:
            self.sentence = f"history: not written: {error}"
            return
        self.sentence, self.is_kept = f"history: {self._shown}", True
