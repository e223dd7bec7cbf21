"""Processes that read images for a model that is faster than the threads of one process.

Threads share one interpreter, which holds them up at some thousands of images per second however many cores
there are. Processes do not: each reads a few images into a file in memory that it shares with this process.
They take seconds to start, in which threads read, as they do where processes cannot.

The file is on no disk and not in /dev/shm, which is small in containers, and nobody maps it: where there is
no room, writing to it is an error that can be caught, not a bus error. It is gone with this process.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.console import logger_of
from pathorob_checks.embeddings.threads import GROUP, new_threads
from pathorob_checks.errors import PathorobChecksError

if TYPE_CHECKING:
    from pathorob_checks.embeddings.reading import Preprocessed, RowReader

Uint8 = npt.NDArray[np.uint8]

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

    offset: int
    shape: tuple[int, ...]

    def write(self, file: int, images: Uint8) -> None:
        """Images of this shape, of which there may be fewer."""
        left, offset = np.ascontiguousarray(images).reshape(-1).data, self.offset
        while left:
            written = os.pwrite(file, left, offset)
            left, offset = left[written:], offset + written

    def read(self, file: int, count: int) -> Uint8:
        """The first `count` images."""
        images = np.empty((count, *self.shape[1:]), np.uint8)
        left, offset = images.reshape(-1).data, self.offset
        while left:
            read = os.preadv(file, [left], offset)
            if not read:
                raise EOFError("the shared file is too short")
            left, offset = left[read:], offset + read
        return images


@dataclass(frozen=True)
class _Reading:
    """A group that is being read, in a process if it has a place."""

    rows: Sequence[int]
    future: Future[Any]
    place: _Place | None


def read_in_processes(
    reader: RowReader,
    rows: Sequence[int],
    *,
    processes: int,
    window: int,
    cannot: Callable[[str], None] = lambda _: None,
) -> Generator[Preprocessed, None, None]:
    """The images of these rows, in order.

    Parameters
    ----------
    reader : gives (H, W, 3) uint8 arrays, all of one shape.
    processes : their number; also that of the threads that read until the processes have started.
    window : images that are in work or wait to be consumed.
    cannot : called once with the reason if threads have to read.

    Raises
    ------
    CohortError, ModelError : as `RowReader.read`, when the turn of the row has come.
    """
    if not rows:
        return
    first = reader.read(rows[0])
    yield first
    readers = ReadingProcesses(reader, first.shape, processes, -(-window // GROUP), cannot)
    with contextlib.closing(readers):
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
    problem : why threads read instead; None where processes do.
    started : done when a process can read; None where processes cannot be used.
    """

    def __init__(
        self,
        reader: RowReader,
        shape: tuple[int, ...],
        count: int,
        groups: int,
        cannot: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.groups = max(groups, count + 1)
        self._reader = reader
        self._cannot = cannot
        self._threads = new_threads(count)
        self._file: int | None = None
        self._pool: Any = None
        self.problem: str | None = None
        self.started: Future[Any] | None = None
        size = GROUP * int(np.prod(shape))
        self._free = [_Place(number * size, (GROUP, *shape)) for number in range(self.groups)]
        try:
            self._file = os.memfd_create("pathorob-checks-images")
            self._pool = _pool_of(reader, f"/proc/{os.getpid()}/fd/{self._file}", count)
            self.started = self._pool.submit(_answer)
        except Exception as error:  # not Linux, a cohort that cannot be sent, no processes here
            self._use_threads(error)

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
            done, failure, without_tissue = reading.future.result()
            images = reading.place.read(self._file or 0, done)
        except Exception as error:  # the process was killed, or there is no memory for the file
            self._use_threads(error)
            return _read_here(self._reader, reading.rows)
        self._free.append(reading.place)
        self._reader.without_tissue.add(without_tissue)
        return list(images), failure

    def _use_threads(self, error: Exception) -> None:
        if self.problem is None:
            self.problem = " ".join(str(error).split()) or type(error).__name__
            logger.warning("Images are read in threads, as processes cannot: %s", self.problem)
            self._cannot(self.problem)
        self.started = None

    def close(self) -> None:
        """End the processes and the threads, and give the shared file back."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _pool_of(reader: RowReader, file: str, count: int) -> Any:
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.backend.context import get_context

    return ProcessPoolExecutor(
        count,
        context=get_context("loky"),  # the processes do not run the main program
        # The device belongs to this process, and one core to each of those.
        env={"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        initializer=_keep,
        initargs=(reader, file, os.getpid()),
    )


# -- in the processes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kept:
    reader: RowReader
    file: int


_kept: list[_Kept] = []


def _keep(reader: RowReader, file: str, parent: int) -> None:
    _kept[:] = [_Kept(reader, os.open(file, os.O_RDWR))]
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A process that is killed cannot end those that it started."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _answer() -> None:
    """What tells that a process has started."""


def _read(rows: Sequence[int], place: _Place) -> tuple[int, _Failure | None, int]:
    """Fill the place with the images of these rows.

    Returns
    -------
    How many of them, why not the next, and how many were read in which an image method found no tissue.
    """
    reader, file = _kept[0].reader, _kept[0].file
    before = reader.without_tissue.count
    images, failure = _read_here(reader, rows)
    for number, image in enumerate(images):
        if image.shape != place.shape[1:]:
            error = reader.different_shapes([image.shape, place.shape[1:]])
            images, failure = images[:number], _Failure(type(error), error.problem, error.remedy)
            break
    if images:
        place.write(file, np.stack(images))
    return len(images), failure, reader.without_tissue.count - before


def _read_here(reader: RowReader, rows: Sequence[int]) -> tuple[list[Preprocessed], _Failure | None]:
    images: list[Preprocessed] = []
    for row in rows:
        try:
            images.append(reader.read(row))
        except PathorobChecksError as error:
            return images, _Failure(type(error), error.problem, error.remedy)
    return images, None
