"""Work in threads whose results come in order."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from threadpoolctl import ThreadpoolController

GROUP = 16  # items that are handed out at a time, at most
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Done(Generic[_R]):
    """What became of some items: the results of those before the first that failed, and its error."""

    results: Sequence[_R]
    error: BaseException | None = None


def in_order(
    function: Callable[[_T], _R], items: Sequence[_T], *, threads: int, window: int
) -> Generator[_R, None, None]:
    """`map` in threads: results in order; at most `window` items are in work or wait to be consumed.

    An error is raised when its item's turn comes, so that the same input always gives the error of the
    same item. Items that have not begun by then are cancelled.

    A thread is given several items at a time. To hand over each of them and its result would take Python's
    lock several times an item from the thread that runs the model.
    """
    ended = threading.Event()
    each = _items_at_a_time(len(items), threads, window)
    groups = iter([items[start : start + each] for start in range(0, len(items), each)])

    def work(group: Sequence[_T]) -> Done[_R]:
        results: list[_R] = []
        for item in group:
            if ended.is_set():
                break
            try:
                results.append(function(item))
            except BaseException as error:
                return Done(results, error)
        return Done(results)

    pool = new_threads(threads)
    try:
        pending: deque[Future[Done[_R]]] = deque(
            pool.submit(work, group) for group in itertools.islice(groups, max(1, window // each))
        )
        while pending:
            done = pending.popleft().result()
            yield from done.results
            if done.error is not None:
                raise done.error
            pending.extend(pool.submit(work, group) for group in itertools.islice(groups, 1))
    finally:
        ended.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _items_at_a_time(items: int, threads: int, window: int) -> int:
    """So many that every thread has two groups in the window and four in all."""
    return max(1, min(GROUP, window // (2 * threads), items // (4 * threads)))


def ahead(items: Iterator[_T]) -> Generator[_T, None, None]:
    """The same items, each made in a thread while the previous one is used."""
    done = object()
    with new_threads(1) as pool:
        waiting: Future[Any] = pool.submit(next, items, done)
        try:
            while (item := waiting.result()) is not done:
                waiting = pool.submit(next, items, done)
                yield item
        finally:
            with contextlib.suppress(Exception):
                waiting.cancel() or waiting.result()  # so that the thread no longer uses the iterator


def new_threads(count: int) -> ThreadPoolExecutor:
    """Threads that start no further threads: torch would use several even to scale one image."""
    libraries = ThreadpoolController()  # to look for them takes milliseconds, in which no other thread runs
    return ThreadPoolExecutor(
        max_workers=count,
        thread_name_prefix="preprocess",
        initializer=_limit_openmp,
        initargs=(libraries, threading.local()),
    )


def _limit_openmp(libraries: ThreadpoolController, kept: threading.local) -> None:
    kept.limit = libraries.limit(limits=1, user_api="openmp")  # for this thread
