"""The page that shows the signatures of people, and whether a page shows those of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser

from pathorob_checks.evidence.manifest import SIGNATURES
from pathorob_checks.evidence.pages import rendered
from pathorob_checks.evidence.personal_signatures import PersonalSignature
from pathorob_checks.wording import printable

_TABLE = "signatures"
Row = tuple[str, ...]


def signatures_page(
    signatures: Sequence[PersonalSignature], summary: str, about: Sequence[str], remarks: Sequence[str]
) -> str:
    """signatures.html.

    Parameters
    ----------
    summary : what the evidence has come to.
    about : a clause for each thing that it is about.
    remarks : a clause for each thing about those who signed that deserves a second look.
    """
    return rendered(
        "signatures.html",
        signatures=signatures,
        summary=summary,
        about=about,
        remarks=remarks,
        file=SIGNATURES,
    )


def rows_of(signatures: Sequence[PersonalSignature]) -> list[Row]:
    """The cells that a page has for some signatures."""
    return [
        tuple(
            printable(cell)
            for cell in (
                one.predicate.name,
                one.predicate.role,
                one.predicate.meaning,
                one.time,
                one.signed_with,
            )
        )
        for one in signatures
    ]


def rows_on(page: bytes) -> list[Row]:
    """The cells that a reader of a page sees in the table of signatures."""
    reader = _TableReader()
    reader.feed(page.decode(errors="replace"))
    reader.close()
    return [tuple(row) for row in reader.rows if row]


class _TableReader(HTMLParser):
    """Collects the cells of the table with the signatures."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[str]] = []
        self._is_in_table = self._is_in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._is_in_table = dict(attrs).get("id") == _TABLE
        elif tag == "tr" and self._is_in_table:
            self.rows.append([])
        elif tag == "td" and self._is_in_table:
            self.rows[-1:] = [[*row, ""] for row in self.rows[-1:]]
            self._is_in_cell = bool(self.rows)

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._is_in_table = False
        if tag in ("td", "tr", "table"):
            self._is_in_cell = False

    def handle_data(self, data: str) -> None:
        if self._is_in_cell:
            self.rows[-1][-1] += data
