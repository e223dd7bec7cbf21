"""What a run shows of its long work, outside pytest's capture: bars on a terminal, and who waits for whom."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from pathorob_checks.wording import printable

_DELAY_S = 2.0  # what is over sooner needs no bar
_BETWEEN_WAITS_S = 30.0


class Bars:
    """What a run shows of its long work."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._waits: dict[str, float] = {}

    def progress(self, items: Iterable[Any], total: int, text: str) -> Iterator[Any]:
        """The items, with a bar of `total` steps while they are consumed."""
        if not _wanted(self._config):
            yield from items
            return
        from tqdm import tqdm

        # Gone when it is done.
        shown: dict[str, Any] = {
            "delay": _DELAY_S,
            "leave": False,
            "dynamic_ncols": True,
            "file": sys.__stderr__,
        }
        with tqdm(total=total, desc=printable(text), **shown) as bar:
            for item in items:
                yield item
                with _uncaptured(self._config):
                    bar.update()

    def wait(self, text: str) -> None:
        """Print now and then, also from a worker, what this process waits for."""
        text = printable(text)
        what = text.partition(":")[0]
        now = time.monotonic()
        if now < self._waits.get(what, 0.0) or sys.__stderr__ is None:
            return
        self._waits[what] = now + _BETWEEN_WAITS_S
        worker = getattr(self._config, "workerinput", {}).get("workerid", "")
        with _uncaptured(self._config):
            sys.__stderr__.write(f"\n{worker or 'pytest'} is waiting for {text}\n")
            sys.__stderr__.flush()


def show_downloads(config: pytest.Config) -> None:
    """Let downloads from the hub show their bars in the same way."""
    from tqdm import tqdm

    from pathorob_checks import hub

    wanted = _wanted(config)

    class DownloadBar(tqdm):  # type: ignore[type-arg]
        """huggingface_hub makes it with what it would give its own bar."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            kwargs["desc"] = printable(kwargs.get("desc") or "")  # a file's name
            shown = {"delay": _DELAY_S, "leave": False, "dynamic_ncols": True, "file": sys.__stderr__}
            super().__init__(*args, **{**kwargs, **shown, "disable": not wanted})

        def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
            super().set_description(printable(desc or ""), refresh)

        def update(self, n: float | None = 1) -> bool | None:
            with _uncaptured(config) if wanted else contextlib.nullcontext():
                return super().update(n)

    hub.download_bar = DownloadBar


def _wanted(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput") and sys.__stderr__ is not None and sys.__stderr__.isatty()


def _uncaptured(config: pytest.Config) -> contextlib.AbstractContextManager[None]:
    capture = config.pluginmanager.getplugin("capturemanager")
    return contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled()
