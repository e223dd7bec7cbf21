"""Code of others must not end the process with 0 before the run has ended.

A model is third-party code that runs in this process. `os._exit(0)` in it would end the run without an error
and without a verdict, and a program that takes this process' place would end with whatever it likes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

_ENDING = ("_exit", "execv", "execve")  # all of os.exec* call the last two
_SENTENCE = (
    "pathorob-checks: a part of the run tried to end the process before the run had ended; look for "
    "os._exit or os.exec in the model's code.\n"
)


def fails(status: object) -> bool:
    """Whether a process with this exit status has failed: a system keeps eight bits of it, 256 becomes 0."""
    return not isinstance(status, int) or status & 0xFF != 0


def guard(before: Callable[[], None]) -> Callable[[], None]:
    """From now on this process ends with 1 where it would end by itself with 0; gives what undoes it.

    Parameters
    ----------
    before : called before it ends: what lets its last sentence be seen.
    """
    process, modules = os.getpid(), (os, sys.modules[os.name])  # `os` has them of `posix` or `nt`
    real = {name: getattr(os, name) for name in _ENDING}

    def end(name: str) -> Callable[..., Any]:
        def ended(*arguments: Any, **named: Any) -> Any:
            is_ours = os.getpid() == process  # processes that this one starts may end as they like
            status = named.get("status", arguments[0] if arguments else 0)
            if not is_ours or (name == "_exit" and fails(status)):
                return real[name](*arguments, **named)
            with contextlib.suppress(Exception):
                before()
            with contextlib.suppress(OSError):
                os.write(2, _SENTENCE.encode())
            return real["_exit"](1)

        return ended

    def put(functions: Mapping[str, Callable[..., Any]]) -> None:
        for module in modules:
            for name, function in functions.items():
                setattr(module, name, function)

    put({name: end(name) for name in _ENDING})
    return lambda: put(real)
