"""How the workers of one run share the cores."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pathorob_checks.cpus import available_cpus

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOOK_AGAIN_S = 5.0


class Worker:
    """One process of a run; without other workers it has all the cores.

    A worker that runs a test holds a lock on a file in a folder that all workers share, and releases it
    while it waits for another one's extraction. The workers that hold a lock share the cores.

    Attributes
    ----------
    index : 0, 1, ... among the workers.
    """

    def __init__(self, config: pytest.Config) -> None:
        workerinput = getattr(config, "workerinput", {})
        name = workerinput.get("workerid", "gw0")
        self.index = int(name[2:]) if name[2:].isdecimal() else 0
        self._workers = int(workerinput.get("workercount", 1))
        # A number that the user set is kept.
        self._free = self._workers > 1 and "OMP_NUM_THREADS" not in os.environ
        self._share: int | None = None  # what this process computes on by now
        self._folder = Path(tempfile.gettempdir()) / f"pathorob-checks-{workerinput.get('testrunuid', '')}"
        self._path = self._folder / name
        self._lock: Any = None
        if self._free:
            # Read by numpy, torch and OpenMP when they are first imported, which counting the cores does.
            os.environ |= dict.fromkeys(_VARIABLES, "1")
            self._compute_on(max(1, available_cpus() // self._workers))

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Within the block this worker holds its lock and uses its share of the cores."""
        if not self._free:
            yield
            return
        self.resume()
        try:
            yield
        finally:
            self.rest()

    def resume(self) -> None:
        """Hold the lock, and use the share of the cores."""
        if self._free:
            import filelock

            if self._lock is None:
                self._folder.mkdir(exist_ok=True)
                self._lock = filelock.FileLock(self._path)
            if not self._lock.is_locked:
                self._lock.acquire()
            self.use_share()

    def rest(self) -> None:
        """Leave the cores to others."""
        if self._lock is not None:
            self._lock.release(force=True)

    def leave(self) -> None:
        """Clear away what this worker left in the folder."""
        if self._lock is not None:
            self.rest()
            with contextlib.suppress(OSError):  # the last one removes the folder
                self._path.unlink(missing_ok=True)
                self._folder.rmdir()

    def share(self) -> int:
        """Cores for each worker that holds a lock."""
        import filelock

        others = 0
        for path in self._folder.iterdir():
            if path == self._path:
                continue
            lock = filelock.FileLock(path)
            try:
                lock.acquire(timeout=0)
                lock.release()
            except filelock.Timeout:
                others += 1
        return max(1, available_cpus() // (others + 1))

    def use_share(self) -> None:
        """Let this process compute on its share."""
        count = self.share()
        if count != self._share:
            self._compute_on(count)

    def _compute_on(self, count: int) -> None:
        """Let the libraries loaded by now, and those loaded later, use so many cores."""
        from threadpoolctl import threadpool_limits

        os.environ |= dict.fromkeys(_VARIABLES, str(count))
        threadpool_limits(count)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(count)
        self._share = count

    def following(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items; between them the share is adapted to what the other workers do."""
        last_look = time.monotonic()
        for item in items:
            yield item
            if self._free and time.monotonic() - last_look > _LOOK_AGAIN_S:
                self.use_share()
                last_look = time.monotonic()
