"""The verdicts that the HTML report shows to a reader, compared with its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

from pathorob_checks.evidence.report_rows import evidence_rows
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.embedded import results_within
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.wording import printable

REPORT = "report.html"
_TABLE = "checks"  # the section with every criterion
_EVIDENCE = "evidence"  # that of the protocol and the qualification
_FACTS = ("dt", "dd")
Shown = tuple[str, str]


def report_disagreements(content: bytes, results_file: bytes, results: ResultsDocument) -> Iterator[str]:
    """A sentence for each thing that the report tells in another way than the results.

    Parameters
    ----------
    content : of report.html.
    results_file : of results.json.
    results : what that says.
    """
    try:
        held = strict_json(results_within(content))
    except (ValueError, RecursionError):
        yield f"{REPORT} does not hold the results of its run"
        return
    if held != strict_json(results_file):
        yield f"{REPORT} holds other results than results.json"
    shown = _ReportReader()
    shown.feed(content.decode(errors="replace"))
    shown.close()
    if shown.outcomes != [results.outcome.value]:
        yield f"{REPORT} shows another outcome than results.json"
    expected = Counter(
        (_searched(f"{fm_and_method(check.fm, check.method)} {check.cohort}"), check.verdict.value)
        for check in results.checks
    )
    if Counter(shown.verdicts) != expected:
        yield f"{REPORT} shows other verdicts than results.json"


def evidence_disagreements(content: bytes, protocol: Mapping[str, Any]) -> Iterator[str]:
    """A sentence where the report names another person, time or qualification than the protocol.

    Reports of earlier versions say nothing of these.

    Raises
    ------
    KeyError, TypeError, AttributeError : the protocol is none.
    """
    shown = _ReportReader()
    shown.feed(content.decode(errors="replace"))
    shown.close()
    expected = [_shown(text) for row in evidence_rows(protocol) for text in row]
    if shown.evidence and [_shown(text) for text in shown.evidence] != expected:
        yield f"{REPORT} shows another protocol or qualification than protocol.json"


def _shown(text: str) -> str:
    return printable(text).replace("\N{NO-BREAK SPACE}", " ")


def _searched(name: str) -> str:
    return _shown(name).lower()


class _ReportReader(HTMLParser):
    """What a reader sees: the outcome in the banner, and the badge in each row of the table of criteria.

    Attributes
    ----------
    outcomes : the word in each banner.
    verdicts : FM and cohort of each row, and the word of its badge.
    evidence : terms and texts of the section about the evidence.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.outcomes: list[str] = []
        self.verdicts: list[Shown] = []
        self.evidence: list[str] = []
        self._section = ""
        self._is_in_fact = False  # a term or a text of the section about the evidence is open
        self._row: str | None = None  # FM and cohort of a row whose badge is still to come
        self._word: str | None = None  # text of the banner or badge that is open
        self._depth = 0  # elements open within it

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        classes = (named.get("class") or "").split()
        if self._word is not None:
            self._depth += 1
        elif "word" in classes or ("badge" in classes and self._row is not None):
            self._word, self._depth = "", 0
        if tag == "section":
            self._section = named.get("aria-labelledby") or ""
        if tag in _FACTS and self._section == _EVIDENCE:
            self._is_in_fact = True
            self.evidence.append("")
        if tag == "tr" and self._section == _TABLE and "data-verdict" in named:
            self._row = _searched(named.get("data-name") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in _FACTS:
            self._is_in_fact = False
        if self._word is None:
            return
        if self._depth:
            self._depth -= 1
            return
        word = self._word.split()[-1].lower() if self._word.split() else ""
        if self._row is None:
            self.outcomes.append(word)
        else:
            self.verdicts.append((self._row, word))
        self._word = self._row = None

    def handle_data(self, data: str) -> None:
        if self._is_in_fact:
            self.evidence[-1] += data
        if self._word is not None:
            self._word += data
