"""Requests to the hub: with an end, repeated where that helps, and without a word that holds a secret."""

from __future__ import annotations

import importlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pathorob_checks.hub_failures import (
    AccessError,
    SlowError,
    cause_of,
    host_of,
    is_offline,
    is_unreachable,
    probe_error,
)

Result = TypeVar("Result")

TIMEOUT_S = 15.0
"""For each piece of a response."""
DEADLINE_S = 45.0
"""For a whole response about a repository, and for a download that does not move."""
FIRST_PAUSE_S = 1.0
"""Before the second attempt; doubled after every attempt."""
PROBE_S = 5.0
"""For the answer of a host that is only asked whether it answers."""

_ATTEMPTS = 4
_POLL_S = 0.5
_CHUNK_BYTES = 1 << 18  # with larger ones a slow download could not be told from one that stands still
_LOGGERS = ("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "urllib3", "requests")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_UNREACHABLE: set[str] = set()  # hosts that no request is made to, see `unreachable`

logger = logging.getLogger("pathorob_checks.hub")


class Progress:
    """When something last happened.

    Parameters
    ----------
    folder : where other processes may download the same file; growing files there count as progress.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._sizes: dict[str, int] = {}
        self._last = time.monotonic()

    def beat(self) -> None:
        """Note that something happened now."""
        self._last = time.monotonic()

    def seconds_since(self) -> float:
        """Seconds without any progress."""
        sizes = self._partial_files()
        if sizes != self._sizes:
            self._sizes = sizes
            self.beat()
        return time.monotonic() - self._last

    def _partial_files(self) -> dict[str, int]:
        if self._folder is None:
            return {}
        try:
            return {path.name: path.stat().st_size for path in self._folder.glob("*.incomplete")}
        except OSError:  # renamed meanwhile
            return {}


def ask(request: Callable[[], Result], *, once: bool = False) -> Result:
    """The result of a request that is repeated, after a pause, where the hub is down or overloaded.

    Parameters
    ----------
    once : whether it is not repeated.

    Raises
    ------
    SlowError : the response does not end within `DEADLINE_S`.
    AccessError : the user's token cannot be a token.
    Exception : whatever the request raises in its last attempt.
    """
    return _in_time(request if once else lambda: _repeated(request), Progress())


def download(request: Callable[[Progress], Result], folder: Path) -> Result:
    """As `ask`, for a download that may take long, but not without progress.

    Parameters
    ----------
    request : gets what it shall note its progress in.
    folder : see `Progress`.
    """
    progress = Progress(folder)
    return _in_time(lambda: _repeated(lambda: request(progress)), progress)


def probe(address: str) -> None:
    """Ask a host of the web once whether it answers; any answer will do, unless the host says it is down.

    Raises
    ------
    OfflineError : it does not answer within `PROBE_S` seconds, whatever it does meanwhile.
    HubError : it cannot be asked.
    """
    from huggingface_hub import get_session

    try:
        response = _in_time(lambda: get_session().head(address, timeout=PROBE_S), Progress(), PROBE_S)
    except AccessError:
        raise
    except Exception as error:  # its type depends on huggingface_hub's HTTP client: see probe_error
        raise probe_error(error, address, PROBE_S) from None
    if response.status_code in (502, 503, 504):
        raise probe_error(None, address, PROBE_S, response.status_code)


@contextmanager
def unreachable() -> Iterator[set[str]]:
    """A set of hosts, with their ports, that are known not to answer: a request to one of them fails at once.

    It is empty when the block begins and when it has ended.
    """
    _UNREACHABLE.clear()
    try:
        yield _UNREACHABLE
    finally:
        _UNREACHABLE.clear()


def answers(address: str) -> bool:
    """Whether the host of an address is none of those that are known not to answer."""
    return host_of(address) not in _UNREACHABLE


def watched_bar(bar: type[Any] | None, progress: Progress) -> type[Any]:
    """A tqdm class that notes its updates in `progress`; without `bar` that of huggingface_hub."""
    base: Any = bar or importlib.import_module("huggingface_hub.utils.tqdm").tqdm

    class Bar(base):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            progress.beat()
            super().__init__(*arguments, **options)

        def update(self, n: float | None = 1) -> Any:
            progress.beat()
            return super().update(n)

    return Bar


def token() -> str | None:
    """The user's token, from the environment or a file.

    Raises
    ------
    AccessError : it has characters that no token has.
    """
    from huggingface_hub import get_token

    try:
        value = get_token()
    except OSError:  # no file that can be read
        return None
    except ValueError:  # not even text
        value = ""
    if value is not None and not _TOKEN.fullmatch(value):
        raise AccessError(
            "the Hugging Face token, of HF_TOKEN or its file, has characters that no token has",
            remedy="copy it again from https://huggingface.co/settings/tokens",
        )
    return value


def _in_time(request: Callable[[], Result], progress: Progress, limit_s: float | None = None) -> Result:
    """The result of a request that runs in a thread, so that one that stands still can be left."""
    from huggingface_hub import constants

    token()
    if not answers(constants.ENDPOINT) and limit_s is None:
        raise ConnectionError("known not to answer")
    limit_s = DEADLINE_S if limit_s is None else limit_s
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        with _CAREFUL:  # in this thread: one that was left goes on, and still says nothing
            try:
                results.append(request())
            except BaseException as error:
                failures.append(error)

    thread = threading.Thread(target=run, name="hub", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(min(_POLL_S, limit_s))
        if thread.is_alive() and progress.seconds_since() > limit_s:
            raise SlowError(f"no progress in {limit_s:.0f} s")
    if failures:
        raise failures[0]
    return results[0]


def _repeated(request: Callable[[], Result]) -> Result:
    start = time.monotonic()
    for attempt in range(_ATTEMPTS - 1):
        try:
            return request()
        except Exception as error:
            cause = cause_of(error)
            late = time.monotonic() - start > DEADLINE_S - TIMEOUT_S
            if is_offline() or late or not is_unreachable(cause):
                raise
            logger.info("the hub does not respond (%s); trying again", type(cause).__name__)
            time.sleep(FIRST_PAUSE_S * 2**attempt)
    return request()


class _Careful:
    """While any thread is in this block, the libraries say nothing and download in small chunks.

    Their messages quote addresses with the passwords in them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._levels: dict[str, int] = {}
        self._chunk = 0

    def __enter__(self) -> None:
        from huggingface_hub import constants

        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._levels = {name: logging.getLogger(name).level for name in _LOGGERS}
                self._chunk = constants.DOWNLOAD_CHUNK_SIZE
            for name in _LOGGERS:
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
            constants.DOWNLOAD_CHUNK_SIZE = min(constants.DOWNLOAD_CHUNK_SIZE, _CHUNK_BYTES)

    def __exit__(self, *_: object) -> None:
        from huggingface_hub import constants

        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            for name, level in self._levels.items():
                logging.getLogger(name).setLevel(level)
            constants.DOWNLOAD_CHUNK_SIZE = self._chunk


_CAREFUL = _Careful()
