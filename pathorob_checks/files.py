"""Files that appear whole or not at all, and files that are read within limits."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PART = 1 << 20  # bytes that are read at a time of a file whose size is not known
_POINTER, _POINTER_BYTES = b"version https://git-lfs.github.com/spec/", 1024
TEMPORARY = ".*.tmp"  # what a process that was killed may leave behind


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path whose ~ is a home folder; shells do not expand that of `--fm-cohort=~/data`.

    As in a shell, the ~ of a user whom this machine does not know stays as it is.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def without_home(path: str) -> str:
    """A path in which ~ stands for the home folder, so that what is passed on names no user.

    `kind:path` is a path too.
    """
    home = str(Path.home())
    before, home_part, rest = path.partition(home)
    is_whole = home_part and len(home) > 1 and (not before or before[-1] == ":") and rest[:1] in ("", os.sep)
    return f"{before}~{rest}" if is_whole else path


def shown(path: Path) -> str:
    """A path as a user may type it: below the current folder from there, else whole."""
    absolute, here = path.absolute(), Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else absolute).as_posix()


@contextlib.contextmanager
def atomic_writer(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A stream whose content replaces `path` in one step when the block ends without an error.

    A reader, and a machine that loses power, sees the old file or the new one. The temporary file is in the
    same folder, because renaming is one step only within a file system. A symbolic link stays: the file
    that it points to is replaced. `mode` is what the umask leaves of it.

    Raises
    ------
    OSError : the file cannot be written; the old one is still there.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def is_pointer(content: bytes) -> bool:
    """Whether a file's content is what git-lfs writes instead of a file that it has not fetched."""
    return len(content) < _POINTER_BYTES and content.startswith(_POINTER)


def write_atomically(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Replace the content of `path` in one step; see `atomic_writer`."""
    with atomic_writer(path, mode) as stream:
        stream.write(content)


def read_limited(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    A named pipe would make a run wait forever, a device would never end.

    Raises
    ------
    OSError : it cannot be read, is a folder or no regular file, or is larger; `strerror` says which.
    """
    # No buffered file: it would take five more system calls, each of which gives Python's lock away, and room
    # for `most` bytes. Opening a named pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = _content(descriptor, status.st_size, most)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes")
    return content


def _content(descriptor: int, size: int, most: int) -> bytes:
    """All bytes of an open file, but not more than `most` + 1, whatever `size` its folder names."""
    content = os.read(descriptor, min(size, most) + 1)
    if len(content) == size:
        return content
    parts = [content]
    left = most + 1 - len(content)
    while left and (part := os.read(descriptor, min(left, _PART))):  # it grows, or one read is not enough
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
