"""How a run inside pytest shows its long work and shares the machine with the other workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pathorob_checks.evaluation.observer import Observer
from pathorob_checks.progress import Item

if TYPE_CHECKING:
    from pathorob_checks.plugin.bars import Bars
    from pathorob_checks.plugin.worker import Worker


class PytestObserver(Observer):
    """Shows bars past pytest's capture; while this worker waits, others have its cores."""

    def __init__(self, bars: Bars, worker: Worker) -> None:
        self._bars, self._worker = bars, worker
        self.process = worker.index

    def progress(self, items: Iterable[Item], total: int, text: str, /) -> Iterable[Item]:
        """The items, with a bar on a terminal."""
        return self._bars.progress(items, total, text)

    def extraction_progress(self, items: Iterable[Item], total: int, text: str, /) -> Iterable[Item]:
        """The items, with a bar, this worker's share of the cores following what the others do."""
        return self._worker.following(self.progress(items, total, text))

    def waits(self, text: str) -> None:
        """Leave the cores to others, and print what this process waits for."""
        self._worker.rest()
        self._bars.wait(text)

    def works(self) -> None:
        """Take a share of the cores again."""
        self._worker.resume()
