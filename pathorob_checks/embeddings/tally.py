"""A count that threads add to."""

from __future__ import annotations

import threading


class Tally:
    """A count; another process gets one of its own, which begins at 0.

    Attributes
    ----------
    count : so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self, number: int) -> None:
        """Add to the count, on any thread."""
        with self._lock:
            self.count += number

    def __reduce__(self) -> tuple[type[Tally], tuple[()]]:
        return Tally, ()
