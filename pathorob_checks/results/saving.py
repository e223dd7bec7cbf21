"""Writing a report to a file: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from pathorob_checks.errors import ResultsError
from pathorob_checks.files import write_atomically


def save_text(path: str | os.PathLike[str], text: str, noun: str) -> None:
    """Write a text as UTF-8; missing folders are made, and a file that exists is replaced.

    Parameters
    ----------
    noun : what is written, for messages: `results file`.

    Raises
    ------
    ResultsError : it cannot be written.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        what = "is a folder" if target.is_dir() else "is a pipe or a device"
        raise ResultsError(f"the {noun} {path} {what}", remedy="name a file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, text.encode())
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"the {noun} {path} cannot be written ({getattr(error, 'strerror', None) or error})",
            remedy="name a file in a folder that you may write to",
        ) from None
