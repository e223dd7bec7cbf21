"""What a run printed, line by line as it is printed: without colors, secrets, and what steers a terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TextIO

from pathorob_checks.evidence.redaction import Redaction
from pathorob_checks.wording import printable

_COLORS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


class Log:
    """A file of lines; each is on disk as soon as it ends.

    Parameters
    ----------
    path : the file; it is made when the first line ends.

    Attributes
    ----------
    problem : why lines are missing; None where none is.
    """

    def __init__(self, path: Path, redaction: Redaction) -> None:
        self._path, self._redaction = path, redaction
        self._line = ""
        self._file: TextIO | None = None
        self.problem: str | None = None

    def write(self, text: str) -> None:
        """Take in what was printed, which may be a part of a line."""
        *ended, self._line = (self._line + text).split("\n")
        for line in ended:
            self._write_line(line)

    def close(self) -> None:
        """Write the last line."""
        if self._line:
            self._write_line(self._line)
            self._line = ""
        try:
            if self._file is None:
                self._path.touch()
            else:
                self._file.close()
        except OSError as error:
            self.problem = self.problem or error.strerror or str(error)

    def _write_line(self, line: str) -> None:
        shown = _COLORS.sub("", line).rstrip("\r").rpartition("\r")[2]  # what was overwritten is not seen
        try:
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8", newline="\n")
            self._file.write(self._redaction.in_text(printable(shown)).rstrip() + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            self.problem = self.problem or getattr(error, "strerror", None) or str(error)
