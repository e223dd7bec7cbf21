"""The files of an evidence folder: their names, sizes and digests, and nothing else in it."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})*")
_LONGEST_NAME = 200
_DEEPEST = 8  # folders in folders
MOST_FILES = 10_000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something in the folder.

    Attributes
    ----------
    name : relative to the folder, with slashes.
    size : bytes of a file.
    problem : what is wrong with it, as a clause about it; "" for a file as it should be.
    """

    name: str
    size: int = 0
    problem: str = ""


def is_plain(name: str) -> bool:
    """Whether a name is relative, of ASCII letters and digits, and stays in its folder.

    >>> is_plain("report.html"), is_plain("../report.html"), is_plain("/etc/passwd"), is_plain(".hidden")
    (True, False, False, False)
    """
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def entries(folder: Path) -> Iterator[Entry]:
    """Everything in a folder and in its folders, by name; links are never followed.

    Raises
    ------
    OSError : the folder cannot be read.
    """
    for count, entry in enumerate(_below(folder, "", _DEEPEST)):
        yield entry
        if count >= MOST_FILES:
            yield Entry(name="the folder", problem=f"holds more than {MOST_FILES:,} files")
            return


def _below(folder: Path, prefix: str, depth: int) -> Iterator[Entry]:
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    if prefix and not entries:
        yield Entry(name=prefix, problem="is an empty folder")
    for entry in entries:
        name = prefix + entry.name
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            yield Entry(name=name, problem="is a symbolic link")
        elif not is_plain(name):
            yield Entry(name=name, problem="has a name that no file of an evidence folder has")
        elif stat.S_ISDIR(status.st_mode) and depth:
            yield from _below(folder / entry.name, name + "/", depth - 1)
        elif stat.S_ISREG(status.st_mode):
            yield Entry(name=name, size=status.st_size)
        else:
            yield Entry(name=name, problem="is not a regular file")


def opened(path: Path) -> io.BufferedReader:
    """A regular file, opened for reading; a link that took its place meanwhile is not followed.

    Raises
    ------
    OSError : it cannot be opened, is a link or no regular file.
    """
    stream = open(path, "rb", opener=_not_following)  # noqa: SIM115 (the caller closes it)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "it is not a regular file")
    return stream


def _not_following(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a regular file.

    Raises
    ------
    OSError : as of `opened`.
    """
    with opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_of(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises
    ------
    OSError : as of `opened`, or it is larger.
    """
    with opened(path) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes")
    return content
