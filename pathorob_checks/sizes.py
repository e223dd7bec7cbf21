"""Amounts of bytes as people write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_size(text: str) -> int:
    """`50GB`, `1.5 TB`, `800mb` or a number of bytes, as bytes.

    Raises
    ------
    ValueError : the text is not a size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", text.strip().upper())
    if not match or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is not a size such as 50GB")
    return int(float(match[1]) * _UNITS[match[2]])


def written_size(size: int) -> str:
    """Bytes in the largest unit that they fill: `1.5 GB`."""
    for unit in ("TB", "GB", "MB", "KB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.1f} {unit}"
    return f"{size} B"
