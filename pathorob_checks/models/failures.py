"""Errors of libraries and of the user's code, as part of a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pathorob_checks.errors import ModelError, PathorobChecksError
from pathorob_checks.wording import printable

_LENGTH = 200


def brief(error: BaseException) -> str:
    """The type of an error and the first line of its text, which may quote a file."""
    line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {printable(line)[:_LENGTH]}" if line else type(error).__name__


@contextmanager
def in_a_sentence(origin: str) -> Iterator[None]:
    """Whatever a model's files make a library raise becomes a ModelError that names the model."""
    try:
        yield
    except PathorobChecksError:
        raise
    except Exception as error:  # any values may be in the files; chained, so that it can be debugged
        raise ModelError(
            f"the files of {origin} cannot be used ({brief(error)})",
            remedy="save the model again, or load it with your own python:module:factory",
        ) from error
