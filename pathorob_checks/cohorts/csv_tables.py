"""Parsing a CSV file of patches, strictly and within limits."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from pathorob_checks.errors import CohortError

MOST_BYTES = 1 << 29
MOST_ROWS = 2_000_000
MOST_COLUMNS = 1_000


@dataclass(frozen=True)
class CsvTable:
    """A header, and each row with its line in a text editor (the header is line 1)."""

    header: list[str]
    rows: list[tuple[int, list[str]]]


def parse_csv(what: str, content: bytes) -> CsvTable:
    """Parse a table; blank lines, and rows whose cells are all empty, are not rows.

    The `csv` module, not pandas: pandas accepts ragged rows and has no line numbers.

    Parameters
    ----------
    what : the file, for messages.

    Returns
    -------
    Without rows if the file has none; the header is empty if the file is.

    Raises
    ------
    CohortError : it is not UTF-8, not CSV, too large, or has a row of another length than the header.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise CohortError(f"{what} line {line} is not UTF-8 text", remedy="save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if not any(map(str.strip, cells)):  # spreadsheets write such rows at the end
                continue
            if not header:
                header = _checked(what, cells)
                continue
            if len(cells) != len(header):
                raise CohortError(
                    f"{what} line {reader.line_num} is malformed CSV: {len(cells)} instead of {len(header)} "
                    "cells",
                    remedy="give every row one cell per column, and quote cells that contain a comma",
                )
            if len(rows) == MOST_ROWS:
                raise CohortError(
                    f"{what} has more than {MOST_ROWS:,} rows", remedy="split it into several cohorts"
                )
            rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise CohortError(
            f"{what} line {reader.line_num} is malformed CSV: {error}",
            remedy='close every quote, and write a quote inside a quoted cell as ""',
        ) from error
    return CsvTable(header, rows)


def _checked(what: str, header: list[str]) -> list[str]:
    if len(header) > MOST_COLUMNS:
        raise CohortError(
            f"{what} has {len(header):,} columns", remedy=f"keep at most {MOST_COLUMNS:,}, among them labels"
        )
    return header
