"""What the tables and pages of an evidence folder tell of its verdicts, compared with its results."""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pathorob_checks.evidence.manifest import Manifest
from pathorob_checks.evidence.pages import traceability_page
from pathorob_checks.evidence.traceability import traces, traces_as_csv
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.wording import printable

TRACES, TRACES_PAGE = "traceability.csv", "traceability.md"
PROTOCOL_PAGE, SIGNATURE_PAGE = "protocol.md", "signature-page.html"
# What is compared: a later version may add columns, and figures are found by the report of each version.
_OF_CSV = ("requirement", "criterion", "fm", "cohort", "metric", "test", "value", "low", "high", "direction",
           "bound", "rule", "verdict")  # fmt: skip
_OF_PAGE = ("requirement", "criterion", "FM", "cohort", "test", "value", "bound", "verdict")
_CELL_END = re.compile(r"(?<!\\)\|")
_DIGEST_ROW = re.compile(r'<th scope="row">([^<]+)</th><td><code>([0-9a-f]{64})</code>')
_TAG = re.compile(r"<[^>]*>")
# What the signature page says of the seal; each version has written these words.
_SAYS_SEALED = "The folder of this page has an electronic signature in attestation.intoto.jsonl."
Row = Mapping[str, str | None]


def traceability_disagreements(
    contents: Mapping[str, bytes], results: ResultsDocument, protocol: Mapping[str, Any]
) -> Iterator[str]:
    """A sentence for each of the two tables that tells other requirements, values or verdicts.

    Raises
    ------
    LookupError, TypeError, AttributeError : the protocol is none.
    """
    trace_rows = traces(results, protocol, "")
    tables: Sequence[tuple[str, str, Any, tuple[str, ...]]] = (
        (TRACES, traces_as_csv(trace_rows), _csv_rows, _OF_CSV),
        (TRACES_PAGE, traceability_page(trace_rows, results), _page_rows, _OF_PAGE),
    )
    for name, text, rows_of, columns in tables:
        try:
            file_rows = _compared(rows_of(contents[name].decode()), columns)
        except (ValueError, LookupError, csv.Error):
            yield f"{name} is not a table that can be read"
            continue
        if file_rows != _compared(rows_of(text), columns):
            yield f"{name} tells other requirements, values or verdicts than results.json and protocol.json"


def _compared(rows: Sequence[Row], columns: Sequence[str]) -> Counter[tuple[str | None, ...]]:
    return Counter(tuple(row[name] for name in columns) for row in rows)


def _csv_rows(text: str) -> Sequence[Row]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def _page_rows(text: str) -> Sequence[Row]:
    """The rows of the first table of a Markdown page."""
    lines = iter(text.splitlines())
    head = _cells(next((line for line in lines if line.startswith("|")), ""))
    next(lines, "")
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(head, _cells(line), strict=True)))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _CELL_END.split(line)[1:-1]]


def page_disagreements(
    contents: Mapping[str, bytes], results: ResultsDocument, manifest: Manifest
) -> Iterator[str]:
    """A sentence for each page that does not name the digests or the outcome of the run."""
    terms = results.environment.criteria
    protocol_page = contents[PROTOCOL_PAGE].decode(errors="replace")
    if not (terms.digest in protocol_page and terms.plan_digest in protocol_page):
        yield f"{PROTOCOL_PAGE} does not name the digests of results.json"
    page = contents[SIGNATURE_PAGE].decode(errors="replace").partition("<body")[2]
    if printable(results.summary) not in html.unescape(_TAG.sub("", page)):
        yield f"{SIGNATURE_PAGE} does not tell the outcome of results.json"
    for name, digest in _DIGEST_ROW.findall(page):
        if name in manifest.files and manifest.files[name].sha256 != digest:
            yield f"{SIGNATURE_PAGE} has another digest of {name} than manifest.json"


def says_sealed(page: bytes) -> bool:
    """Whether a signature page says that the folder was sealed when the page was written."""
    text = html.unescape(_TAG.sub("", page.decode(errors="replace").partition("<body")[2]))
    return _SAYS_SEALED in " ".join(text.split())
