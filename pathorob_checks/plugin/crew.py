"""The workers of one run: which tests each gets, and how the cores are shared among those at work."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathorob_checks.plugin.pairs import Pair

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOOK_AGAIN_S = 5.0


class Crew:
    """A process among the workers of a run; without workers it has all the cores.

    A worker that runs a test holds a lock on a file in a folder that all of them know, and gives it up
    while it waits for another one's extraction. Those at work share the cores.

    Attributes
    ----------
    index : 0, 1, ... among the workers.
    """

    def __init__(self, config: pytest.Config) -> None:
        told = getattr(config, "workerinput", {})
        name = told.get("workerid", "gw0")
        self.index = int(name[2:]) if name[2:].isdecimal() else 0
        self._workers = int(told.get("workercount", 1))
        self._free = self._workers > 1 and "OMP_NUM_THREADS" not in os.environ  # not what the user decided
        self._folder = Path(tempfile.gettempdir()) / f"pathorob-checks-{told.get('testrunuid', '')}"
        self._path = self._folder / name
        self._lock: Any = None
        if self._free:
            # Read by numpy, torch and OpenMP when they are first imported.
            os.environ |= dict.fromkeys(_VARIABLES, str(max(1, _cores() // self._workers)))

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Within the block this worker counts, and uses its share of the cores."""
        if not self._free:
            yield
            return
        self.resume()
        try:
            yield
        finally:
            self.rest()

    def resume(self) -> None:
        """Count among those at work."""
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
        """Cores for each of those who are at work."""
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
        return max(1, _cores() // (others + 1))

    def use_share(self) -> None:
        """Let this process compute on its share."""
        count = self.share()
        if os.environ["OMP_NUM_THREADS"] == str(count):
            return
        from threadpoolctl import threadpool_limits

        os.environ |= dict.fromkeys(_VARIABLES, str(count))
        threadpool_limits(count)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(count)

    def following(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items; between them the share follows what the others do."""
        looked = time.monotonic()
        for item in items:
            yield item
            if self._free and time.monotonic() - looked > _LOOK_AGAIN_S:
                self.use_share()
                looked = time.monotonic()


def pair_of(nodeid: str, pairs: Sequence[Pair]) -> str:
    """FM and cohort of a test by its id; the id itself where it is of none or of several."""
    inside = nodeid.partition("[")[2].removesuffix("]")
    places = [f"{pair.fm}-{pair.cohort}" for pair in pairs]
    fitting = [place for place in places if inside == place or inside.startswith(place + "-")]
    return max(fitting, key=len, default=nodeid)


def scheduler(config: pytest.Config, log: Any, pairs: Sequence[Pair]) -> Any:
    """A scheduler that gives all tests of one FM on one cohort to one worker; None where the user chose one.

    They need the same embeddings and share what is computed of them.
    """
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByPair(LoadScopeScheduling):  # type: ignore[misc]
        """A unit of work is one FM on one cohort."""

        def _split_scope(self, nodeid: str) -> str:
            return pair_of(nodeid, pairs)

    return ByPair(config, log)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
