"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".*.tmp"  # what a process that was killed may leave behind


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


def write_atomically(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Replace the content of `path` in one step; see `atomic_writer`."""
    with atomic_writer(path, mode) as stream:
        stream.write(content)
