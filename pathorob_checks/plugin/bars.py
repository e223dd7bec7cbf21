"""What a run shows of its long work, outside pytest's capture: bars or lines, and who waits for whom.

A terminal has a bar. Where there is none (the log of a CI), and in a worker, whose bars would overwrite each
other, it is a line now and then.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from pathorob_checks.sizes import written_size
from pathorob_checks.wording import counted, ends, printable, rounded_percent

BAR_AFTER_S = 2.0  # what is over sooner needs no bar
LINE_EVERY_S = 60.0
_BETWEEN_WAITS_S = 30.0
_BESIDE_NAME = 50  # columns that tqdm needs for `: 24%|##| 12,000/50,000 [03:00<10:00, 66.67it/s]`
_LEAST_NAME = 15


class Bars:
    """What a run shows of its long work.

    Attributes
    ----------
    bar : class with the interface of tqdm.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._waits: dict[str, float] = {}
        self.bar = _bar(config)

    def progress(self, items: Iterable[Any], total: int, text: str) -> Iterator[Any]:
        """The items; while they are consumed it is shown how many of `total` are done."""
        with self.bar(total=total, desc=text) as bar:
            for item in items:
                yield item
                bar.update()

    def wait(self, text: str) -> None:
        """Print now and then, also from a worker, what this process waits for."""
        text = printable(text)
        what = text.partition(":")[0]
        now = time.monotonic()
        if now < self._waits.get(what, 0.0):
            return
        self._waits[what] = now + _BETWEEN_WAITS_S
        _write_line(self._config, f"{_name(self._config)} is waiting for {text}")


def show_downloads(bars: Bars) -> None:
    """Let downloads from the hub be shown in the same way."""
    from pathorob_checks import hub

    hub.download_bar = bars.bar


def _bar(config: pytest.Config) -> Any:
    """tqdm as this run shows it; it decides when to show something, and this class how."""
    from tqdm import tqdm

    with _uncaptured(config):  # a captured stream is no terminal
        on_terminal = not _is_worker(config) and sys.__stderr__ is not None and sys.__stderr__.isatty()
    pause = {"delay": BAR_AFTER_S} if on_terminal else {"delay": LINE_EVERY_S, "mininterval": LINE_EVERY_S}

    class Bar(tqdm):  # type: ignore[type-arg]
        """For work of this package, and for huggingface_hub, which gives it what it would give its own."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            kwargs["desc"] = printable(kwargs.get("desc") or "")  # a file's name
            # With `miniters` nothing is shown between updates, by a thread.
            shown = {"leave": False, "dynamic_ncols": True, "miniters": 1, "file": sys.__stderr__, **pause}
            self._has_line = False
            with _uncaptured(config):
                super().__init__(*args, **{**kwargs, **shown, "disable": sys.__stderr__ is None})

        def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
            super().set_description(printable(desc or ""), refresh)

        @property
        def format_dict(self) -> dict[str, Any]:
            """What is shown; a long name is cut, because tqdm cuts the time at the other end of the line."""
            state = dict(super().format_dict)
            if on_terminal and state["ncols"]:
                state["prefix"] = ends(state["prefix"], max(state["ncols"] - _BESIDE_NAME, _LEAST_NAME))
            return state

        def display(self, msg: str | None = None, pos: int | None = None) -> Any:
            if not on_terminal:
                _write_line(config, f"{_name(config)}: {_progress(self.format_dict)}")
                return True
            with _uncaptured(config):
                if not self._has_line:
                    _end_line(config)
                    self._has_line = True
                return super().display(msg, pos)

        def close(self) -> None:
            if not on_terminal:
                self.last_print_t = 0.0  # there is nothing to clear
            with _uncaptured(config):
                super().close()

    return Bar


def _progress(state: Mapping[str, Any]) -> str:
    """`good on coh: embedding: 1,200 of 5,000 (24 %) in 3 minutes, about 10 minutes left`."""
    done, total, elapsed = state["n"], state["total"], state["elapsed"]
    amount = written_size if state["unit"] == "B" else "{:,}".format
    text = f"{state['prefix']}: {amount(done)}"
    if not total:
        return f"{text} in {_duration(elapsed)}"
    new = done - state["initial"]
    left = f", about {_duration(elapsed * (total - done) / new)} left" if new else ""
    return f"{text} of {amount(total)} ({rounded_percent(done / total)}) in {_duration(elapsed)}{left}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return counted(round(seconds), "second")
    return counted(round(seconds / 60), "minute") if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _write_line(config: pytest.Config, text: str) -> None:
    """Write a line of its own to the error stream."""
    if sys.__stderr__ is None:
        return
    with _uncaptured(config):
        _end_line(config)
        before = "\n" if _is_worker(config) else ""  # the controller may have begun a line
        sys.__stderr__.write(f"{before}{text}\n")
        sys.__stderr__.flush()


def _name(config: pytest.Config) -> str:
    return str(getattr(config, "workerinput", {}).get("workerid", "pytest"))


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _end_line(config: pytest.Config) -> None:
    """Let pytest end the line that it has begun; what comes now must not overwrite it."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        reporter.ensure_newline()
        reporter.flush()


def _uncaptured(config: pytest.Config) -> contextlib.AbstractContextManager[None]:
    capture = config.pluginmanager.getplugin("capturemanager")
    return contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled()
