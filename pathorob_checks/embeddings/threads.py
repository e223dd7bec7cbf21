"""Work in threads whose results come in order."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_order(
    function: Callable[[_T], _R], items: Iterable[_T], *, threads: int, window: int
) -> Generator[_R, None, None]:
    """`map` in threads: results in order; at most `window` items are in work or wait to be consumed.

    An error is raised when its item's turn comes, so that the same input always gives the error of the
    same item. Items that have not begun by then are cancelled.
    """
    remaining = iter(items)
    pool = new_threads(threads)
    try:
        pending: deque[Future[_R]] = deque(
            pool.submit(function, item) for item in itertools.islice(remaining, window)
        )
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in itertools.islice(remaining, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
    return ThreadPoolExecutor(
        max_workers=count,
        thread_name_prefix="preprocess",
        initializer=_limit_openmp,
        initargs=(threading.local(),),
    )


def _limit_openmp(kept: threading.local) -> None:
    kept.limit = threadpool_limits(1, user_api="openmp")  # for this thread
