"""Locks on entries of the store, for processes that change an entry and for those that read it.

    <root>/locks/<key>.lock        held while an entry is extracted, repaired or removed
    <root>/leases/<name>.lock      held by a process as long as it lives
                 /<name>.json      the keys of the entries that the process uses

A lock is the operating system's lock on the file, not the file itself: it is released when the process ends,
even if it is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from pathorob_checks.embeddings.files import cache_errors
from pathorob_checks.embeddings.ownership import make_folder
from pathorob_checks.errors import CacheError
from pathorob_checks.files import write_atomically

POLL_S = 1.0


class Locks:
    """The locks that this process holds under one root; the same thread may enter a lock again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: dict[str, filelock.BaseFileLock] = {}

    @contextlib.contextmanager
    def hold(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock `name`, which excludes all other processes and threads.

        `waiting` is called about once a second as long as another process or thread holds it.

        Raises
        ------
        CacheError : the lock file cannot be made.
        """
        lock = self._lock(name)
        with cache_errors(self._root, "locked"):
            while True:
                try:
                    lock.acquire(timeout=POLL_S if waiting else -1)
                    break
                except filelock.Timeout:
                    if waiting is not None:
                        waiting()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def hold_where_possible(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Like `hold`, but holds nothing in a folder that cannot be written: nobody can change it."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(CacheError):
                stack.enter_context(self.hold(name, waiting))
            yield

    @contextlib.contextmanager
    def try_to_hold(self, name: str) -> Iterator[bool]:
        """Like `hold`, but without waiting; yields whether this process now holds the lock."""
        lock = self._lock(name)
        with cache_errors(self._root, "locked"):
            try:
                lock.acquire(timeout=0)
                held = True
            except filelock.Timeout:  # it is an OSError, which `cache_errors` would translate
                held = False
        try:
            yield held
        finally:
            if held:
                lock.release()

    def _lock(self, name: str) -> filelock.BaseFileLock:
        folder = self._root / "locks"
        with cache_errors(self._root, "locked"):
            make_folder(self._root, folder)
        return self._held.setdefault(name, filelock.FileLock(folder / f"{name}.lock"))


class Lease:
    """The entries that this process uses, so that other processes do not prune them."""

    def __init__(self, root: Path) -> None:
        self._root, self._folder = root, root / "leases"
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._keys: set[str] = set()
        self._mutex = threading.Lock()
        self._lock: filelock.BaseFileLock | None = None

    def take(self, key: str) -> None:
        """Use an entry until this process ends. A read-only folder cannot be pruned and needs no lease."""
        with self._mutex, contextlib.suppress(OSError):
            if key in self._keys:
                return
            if self._lock is None:
                make_folder(self._root, self._folder)
                self._lock = filelock.FileLock(self._folder / f"{self._name}.lock", thread_local=False)
                self._lock.acquire()
                atexit.register(self.give_back)
            content = json.dumps(sorted({*self._keys, key})).encode()
            write_atomically(self._folder / f"{self._name}.json", content)
            self._keys.add(key)

    def give_back(self) -> None:
        """End the use of all entries."""
        with self._mutex, contextlib.suppress(OSError):
            if self._lock is not None:
                (self._folder / f"{self._name}.json").unlink(missing_ok=True)
                self._lock.release()
                (self._folder / f"{self._name}.lock").unlink(missing_ok=True)
            self._lock = None
            self._keys.clear()


def keys_in_use(root: Path) -> set[str]:
    """Keys of the entries that running processes use; the leases of ended processes are deleted."""
    used: set[str] = set()
    for path in sorted((root / "leases").glob("*.json")):
        lock = filelock.FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            with contextlib.suppress(OSError, ValueError):
                used |= set(json.loads(path.read_bytes()))
            continue
        path.unlink(missing_ok=True)
        lock.release()
        path.with_suffix(".lock").unlink(missing_ok=True)
    return used
