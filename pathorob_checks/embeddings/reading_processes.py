"""Processes that read images for a model that is faster than the threads of one process.

Threads share one interpreter, which holds them up at some thousands of images per second however many cores
there are. Processes do not: each reads a few images into a file in memory that it shares with this process.
They take seconds to start, in which threads read, as they do where processes cannot.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.console import logger_of
from pathorob_checks.embeddings.threads import GROUP, new_threads
from pathorob_checks.errors import PathorobChecksError

if TYPE_CHECKING:
    from pathorob_checks.embeddings.reading import Preprocessed, RowReader

logger = logger_of(__name__)


@dataclass(frozen=True)
class _Failure:
    """An error of a process, as data: not every error can be sent."""

    kind: type[PathorobChecksError]
    problem: str
    remedy: str


@dataclass(frozen=True)
class _Place:
    """Room for the images of a group in the shared file: `shape` is (`GROUP`, H, W, 3), `offset` in bytes."""

    path: Path
    offset: int
    shape: tuple[int, ...]

    def images(self) -> Any:
        return np.memmap(self.path, np.uint8, "r+", self.offset, self.shape)


@dataclass(frozen=True)
class _Reading:
    """A group that is being read, in a process if it has a place."""

    rows: Sequence[int]
    future: Future[Any]
    place: _Place | None


def read_in_processes(
    reader: RowReader, rows: Sequence[int], *, processes: int, window: int
) -> Generator[Preprocessed, None, None]:
    """The images of these rows, in order.

    Parameters
    ----------
    reader : gives (H, W, 3) uint8 arrays, all of one shape.
    processes : their number; also that of the threads that read until the processes have started.
    window : images that are in work or wait to be consumed.

    Raises
    ------
    CohortError, ModelError : as `RowReader.read`, when the turn of the row has come.
    """
    if not rows:
        return
    first = reader.read(rows[0])
    yield first
    with contextlib.closing(ReadingProcesses(reader, first.shape, processes, -(-window // GROUP))) as readers:
        left = iter([rows[start : start + GROUP] for start in range(1, len(rows), GROUP)])
        pending = deque(map(readers.begin, itertools.islice(left, readers.groups)))
        while pending:
            images, failure = readers.finish(pending.popleft())
            pending.extend(map(readers.begin, itertools.islice(left, 1)))
            yield from images
            if failure is not None:
                raise failure.kind(failure.problem, remedy=failure.remedy)


class ReadingProcesses:
    """The processes, the file that they share, and threads in their stead.

    Attributes
    ----------
    groups : that are read at a time.
    started : done when a process can read; None where processes cannot be used.
    """

    def __init__(self, reader: RowReader, shape: tuple[int, ...], count: int, groups: int) -> None:
        self.groups = max(groups, count + 1)
        self._reader = reader
        self._threads = new_threads(count)
        self._folder = tempfile.TemporaryDirectory(prefix="pathorob-checks-", ignore_cleanup_errors=True)
        self._pool: Any = None
        self.started: Future[Any] | None = None
        try:
            self._free = self._places((GROUP, *shape))
            self._pool = _pool_of(reader, count)
            self.started = self._pool.submit(_answer)
        except Exception as error:  # no room for the file, a cohort that cannot be sent, no processes here
            self._use_threads(error)

    def _places(self, shape: tuple[int, ...]) -> list[_Place]:
        path, size = Path(self._folder.name) / "images", int(np.prod(shape))
        with path.open("wb") as file:
            # A disk that is full would otherwise end the process when it writes there.
            os.posix_fallocate(file.fileno(), 0, self.groups * size)
        return [_Place(path, number * size, shape) for number in range(self.groups)]

    def begin(self, rows: Sequence[int]) -> _Reading:
        """Begin to read a group."""
        if self.started is not None and self.started.done():
            place = self._free[-1]
            try:
                self.started.result()
                reading = _Reading(rows, self._pool.submit(_read, rows, place), place)
            except Exception as error:
                self._use_threads(error)
            else:
                self._free.pop()
                return reading
        return _Reading(rows, self._threads.submit(_read_here, self._reader, rows), None)

    def finish(self, reading: _Reading) -> tuple[Sequence[Preprocessed], _Failure | None]:
        """The images of a group, those before the first that cannot be read, and why it cannot."""
        if reading.place is None:
            return reading.future.result()  # type: ignore[no-any-return]
        try:
            done, failure = reading.future.result()
        except Exception as error:  # the process was killed
            self._use_threads(error)
            return _read_here(self._reader, reading.rows)
        images = np.array(reading.place.images()[:done])
        self._free.append(reading.place)
        return list(images), failure

    def _use_threads(self, error: Exception) -> None:
        if self.started is not None or self._pool is None:
            logger.info("Images are read in threads, as processes cannot: %s", " ".join(str(error).split()))
        self.started = None

    def close(self) -> None:
        """End the processes and the threads, and delete the shared file."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()


def _pool_of(reader: RowReader, count: int) -> Any:
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.backend.context import get_context

    # The device belongs to this process, and one core to each of those. They do not run the main program.
    environment = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    context = get_context("loky")
    return ProcessPoolExecutor(count, context=context, env=environment, initializer=_keep, initargs=(reader,))


# -- in the processes --------------------------------------------------------------------------------------

_kept: list[RowReader] = []


def _keep(reader: RowReader) -> None:
    _kept[:] = [reader]


def _answer() -> None:
    """What tells that a process has started."""


def _read(rows: Sequence[int], place: _Place) -> tuple[int, _Failure | None]:
    """Fill the place with the images of these rows: how many of them, and why not the next."""
    images, failure = _read_here(_kept[0], rows)
    shared = place.images()
    for number, image in enumerate(images):
        if image.shape != shared.shape[1:]:
            error = _kept[0].different_shapes([image.shape, shared.shape[1:]])
            return number, _Failure(type(error), error.problem, error.remedy)
        shared[number] = image
    return len(images), failure


def _read_here(reader: RowReader, rows: Sequence[int]) -> tuple[list[Preprocessed], _Failure | None]:
    images: list[Preprocessed] = []
    for row in rows:
        try:
            images.append(reader.read(row))
        except PathorobChecksError as error:
            return images, _Failure(type(error), error.problem, error.remedy)
    return images, None
