"""Reading a user's files: what is no file, is too large or stands for another file is refused."""

from __future__ import annotations

from pathlib import Path

from pathorob_checks.errors import CohortError
from pathorob_checks.files import is_pointer, read_limited


def read_file(path: Path, what: str, most: int) -> bytes:
    """The content of a file; a pipe or a device is not waited for.

    Parameters
    ----------
    what : the file, for messages.
    most : bytes that such a file may have.

    Raises
    ------
    FileNotFoundError : there is no such file.
    CohortError : it cannot be read, is no file, is larger than `most`, or is a pointer of git-lfs.
    """
    try:
        content = read_limited(path, most)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        raise unreadable(what, error) from error
    if is_pointer(content):
        raise pointer(what)
    return content


def unreadable(what: str, error: Exception) -> CohortError:
    """The error for a file that the operating system does not give, or that is above its limit."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    return CohortError(f"{what} cannot be read: {reason}", remedy="make it a readable file of usual size")


def pointer(what: str) -> CohortError:
    """The error for such a file."""
    return CohortError(
        f"{what} is a pointer of git-lfs, not the file itself", remedy="fetch the files with 'git lfs pull'"
    )
