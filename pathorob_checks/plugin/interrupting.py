"""^C while a run ends, when pytest no longer expects it: one sentence instead of a traceback."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import pytest

from pathorob_checks import console


class Interrupting:
    """From the end of the tests, or from the first ^C on, ^C ends the process at once."""

    def __init__(self) -> None:
        self._before: Mapping[int, Any] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """The run was interrupted and now reports what it has."""
        self._start()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """The results are written and shown."""
        self._start()
        return (yield)

    def pytest_unconfigure(self) -> None:
        """Another run in this process is interrupted as usual."""
        console.handle_again(self._before)

    def _start(self) -> None:
        if not self._before:
            self._before = console.end_at_next_signal()
