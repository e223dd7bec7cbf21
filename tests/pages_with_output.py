"""Pages that show commands and what they print, as indented blocks; `...` leaves lines out."""

from __future__ import annotations

import re
from collections.abc import Sequence

_DIGEST = re.compile(r"\b[0-9a-f]{8}(?:[0-9a-f]{56}\b|\.\.\.)")
_SECONDS = re.compile(r"in [\d.]+s(?: \([\d:]+\))?")


def blocks_of(text: str, commands: tuple[str, ...]) -> list[list[str]]:
    """The indented blocks of a page, without their indentation.

    A block whose first line begins with one of `commands` ends at an empty line.
    """
    separate = []
    for block in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.M):
        shown = re.sub("^ {4}", "", block, flags=re.M).strip("\n")
        if shown.startswith(commands) and "\n\n" in shown:
            typed, _, shown = shown.partition("\n\n")
            separate.append(typed.splitlines())
        separate.append(shown.splitlines())
    return separate


def with_digest(line: str, digest: str) -> str:
    """The line with another digest in place of its own."""
    return _DIGEST.sub(digest, line)


def comparable(text: str) -> str:
    """The text in one line, without what differs from run to run."""
    return " ".join(_SECONDS.sub("in SECONDS", with_digest(text, "DIGEST")).split())


def after_lines(printed: str, lines: Sequence[str]) -> str:
    """What was printed after these lines, which must be there in this order; `printed` is comparable."""
    for line in lines:
        if line and line != "...":
            _, found, printed = printed.partition(comparable(line))
            assert found, f"not printed: {line}"
    return printed
