"""Errors of the cache folder, with a remedy."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from pathorob_checks.errors import CacheError


@contextlib.contextmanager
def cache_errors(root: Path, verb: str) -> Iterator[None]:
    """Within the block an OSError becomes a CacheError: the folder `root` cannot be `verb`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise CacheError(
            f"cache folder '{root}' cannot be {verb}: {reason}",
            remedy=f"{'free some space or ' if full else ''}give a writable folder with --fm-cache=DIR",
        ) from error
