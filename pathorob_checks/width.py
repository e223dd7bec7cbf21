"""How wide what the gate and the commands write may be."""

from __future__ import annotations

import os
import sys
from typing import TextIO

LOG = 120  # columns where nothing says how many there are
_NARROWEST, _USUAL = 40, 80  # pytest takes a smaller number for a mistake, and 80 instead


def width() -> int:
    """Columns of what is written: of the terminal, or of a log.

    Where there is no terminal, as in a CI, pytest takes 80. But a log has no width: its readers scroll, or
    their browser wraps it, and what was folded to 80 columns cannot be unfolded again. 120 hold a table with
    one line for each check.

    Returns
    -------
    COLUMNS of the environment, or else the width of the terminal that standard output or (before a pipe, as
    to `tee`) standard error is, or else `LOG`.
    """
    columns = os.environ.get("COLUMNS", "")
    known = int(columns) if columns.isdecimal() else 0
    known = known or _columns(sys.__stdout__) or _columns(sys.__stderr__)
    if not known:
        return LOG
    return known if known >= _NARROWEST else _USUAL


def _columns(stream: TextIO | None) -> int:
    """Columns of a terminal; 0 for what is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream is not None else 0
    except (OSError, ValueError):
        return 0
