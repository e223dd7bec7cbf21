"""Pages that show commands and what they print, as indented blocks; `...` leaves lines out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import sklearn
from packaging.version import Version

_DIGEST = re.compile(r"\b[0-9a-f]{8}(?:[0-9a-f]{56}\b|\.\.\.)")
# Of a value: between two processors 0.006 was seen. scikit-learn 1.5 ends fits in few dimensions elsewhere
# than the version that the pages were made with: between them 0.043 was seen, of the end of an interval.
LARGEST_DIFFERENCE = 0.02 if Version(sklearn.__version__) >= Version("1.6") else 0.06
_VALUE = re.compile(r"-?\b\d\.\d{3}\b")
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
            end = _end_of(comparable(line), printed)
            assert end is not None, f"not printed: {line}"
            printed = printed[end:]
    return printed


def _end_of(line: str, printed: str) -> int | None:
    """Where the first such line ends, whose values may differ by what rounding does on another processor."""
    pattern = f"({_VALUE.pattern})".join(map(re.escape, _VALUE.split(line)))
    shown = [float(value) for value in _VALUE.findall(line)]
    for match in re.finditer(pattern, printed):
        differences = (abs(float(new) - old) for new, old in zip(match.groups(), shown, strict=True))
        if all(difference <= LARGEST_DIFFERENCE for difference in differences):
            return match.end()
    return None
