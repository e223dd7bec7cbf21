"""Files that are there whole or not at all, and what a cache folder may refuse."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from pathorob_checks.errors import CacheError

TEMPORARY = ".*.tmp"


def write(path: Path, content: bytes) -> None:
    """Replace `path` in one step: a crash leaves the old file or the new one.

    The temporary file lies in the same folder, because renaming is one step only within a file system.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def cache_errors(root: Path, verb: str) -> Iterator[None]:
    """Within the block an OSError becomes a CacheError on `root`, which could not be `verb`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise CacheError(
            f"cache folder '{root}' cannot be {verb}: {reason}",
            remedy=f"{'free some space or ' if full else ''}give a writable folder with --fm-cache=DIR",
        ) from error
