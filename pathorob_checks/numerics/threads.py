"""The number of cores that a computation may use, and work spread over them without oversubscription.

torch is imported only where threads are limited, so that the definitions of metrics can be read without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from pathorob_checks.cpus import available_cpus

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Task = TypeVar("Task")
Result = TypeVar("Result")


def available() -> int:
    """Cores that this process may use: `available_cpus`, and at most OMP_NUM_THREADS where that is set."""
    cores = available_cpus()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdigit() and int(limit) > 0 else cores


@contextmanager
def limited(count: int) -> Iterator[ThreadpoolController]:
    """Within the block torch, BLAS and OpenMP use `count` threads; yields the controller of the last two."""
    import torch
    from threadpoolctl import ThreadpoolController

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        libraries = ThreadpoolController()  # once, because it searches the libraries for milliseconds
        with libraries.limit(limits=count):
            yield libraries
    finally:
        torch.set_num_threads(before)


class Spread(Protocol):
    """`map`, or the same spread over the cores."""

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task], /) -> Iterator[Result]:
        """Yield the function's result for each task, in order."""
        ...


@contextmanager
def pool(at_once: int | None = None) -> Iterator[Spread]:
    """Within the block one task per core at a time is in work, each on one thread.

    One thread, because in small steps threads lose more by waiting for each other than they gain. `at_once`
    is the largest number of tasks in work, where memory limits it.
    """
    workers = available() if at_once is None else min(available(), at_once)
    with limited(1) as libraries:
        if workers == 1:
            yield map
            return
        # A limit on OpenMP applies to the thread that sets it.
        with ThreadPoolExecutor(workers, initializer=lambda: libraries.limit(limits=1)) as threads:
            yield threads.map


def spread(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, at_once: int | None = None
) -> Iterator[Result]:
    """The function's result for each task, in order; see `pool`."""
    with pool(at_once) as run:
        yield from run(function, tasks)
