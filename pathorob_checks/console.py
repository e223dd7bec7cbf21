"""This process at a terminal: what it writes, letters that cannot be shown, pipes that close, and ^C."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, NoReturn, TextIO

from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.wording import printable, printable_lines

NAME = "pathorob-checks"
_BY_SIGNAL = 128  # shells add a signal's number to it
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _OutputError(Exception):
    """Standard output takes no more; the cause says why."""


class _EndedBySignal(KeyboardInterrupt):
    """^C or a request to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = _BY_SIGNAL + number


def say(text: str) -> None:
    """Write lines to standard output at once; nothing in them steers the terminal."""
    write(printable_lines(text) + "\n")


def write(text: str) -> None:
    """Write to standard output at once."""
    try:
        if sys.stdout is not None:
            sys.stdout.write(text)
            sys.stdout.flush()
    except OSError as error:
        raise _OutputError from error


def run(command: Callable[[], int]) -> int:
    """The exit code of a command; what ends it early is said in one sentence, never in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        _replace_unknown_letters(stream)
    try:
        with ending_at_second_signal():
            return command()
    except PathorobChecksError as error:
        return complain(str(error))
    except _EndedBySignal as error:
        return complain("interrupted.", error.code)
    except _OutputError as error:
        return _lost_output(error.__cause__)
    except OSError as error:
        what = error.strerror or str(error) or type(error).__name__
        place = f"{error.filename}: " if error.filename else ""
        return complain(f"{place}{what}; correct that and try again.")


def _lost_output(cause: BaseException | None) -> int:
    """Standard output goes nowhere from now on: Python would complain of it again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(cause, BrokenPipeError):
        return 1  # whoever read it has seen enough
    reason = getattr(cause, "strerror", None) or cause
    return complain(f"the output cannot be written ({reason}); write it to another place.")


def complain(sentence: str, code: int = 1) -> int:
    """Write a sentence about what went wrong to standard error; gives the exit code."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(f"{NAME}: {printable_lines(sentence)}\n")
            sys.stderr.flush()
    return code


def _replace_unknown_letters(stream: TextIO | None) -> None:
    """Letters that the stream's code page lacks become backslash escapes, as in pytest's own output."""
    reconfigure: Callable[..., Any] | None = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def ending_at_second_signal() -> Iterator[None]:
    """The first ^C raises KeyboardInterrupt, so that files are closed; another ends the process at once."""

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        end_at_next_signal()
        raise _EndedBySignal(number)

    before = _handle(stop)
    try:
        yield
    except _EndedBySignal:
        before = {}  # ^C while Python itself ends would print a traceback
        raise
    finally:
        handle_again(before)


def end_at_next_signal() -> dict[int, Any]:
    """From now on ^C ends this process with one sentence; gives what handled it before, by signal."""
    return _handle(_end_at_once)


def handle_again(before: Mapping[int, Any]) -> None:
    """Undo `end_at_next_signal`."""
    for number, handler in before.items():
        signal.signal(number, handler)


def _handle(handler: Callable[[int, FrameType | None], object]) -> dict[int, Any]:
    """Handle signals; only the main thread can."""
    try:
        return {number: signal.signal(number, handler) for number in _SIGNALS}
    except ValueError:
        return {}


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    sentence = f"\n{NAME}: interrupted while ending; what was not finished by then is lost.\n"
    with contextlib.suppress(OSError):
        os.write(2, sentence.encode())
    os._exit(_BY_SIGNAL + number)


def logger_of(module: str) -> logging.Logger:
    """A module's logger; nothing in its messages steers a terminal or makes a second line."""
    logger = logging.getLogger(module)
    logger.addFilter(_make_printable)
    return logger


def _make_printable(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), ()
    return True
