"""The verdicts that the HTML report shows to a reader, compared with its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser

from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.embedded import results_within
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.wording import printable

REPORT = "report.html"
_TABLE = "checks"  # the section with every criterion
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


def _searched(name: str) -> str:
    return printable(name).lower().replace("\N{NO-BREAK SPACE}", " ")


class _ReportReader(HTMLParser):
    """What a reader sees: the outcome in the banner, and the badge in each row of the table of criteria.

    Attributes
    ----------
    outcomes : the word in each banner.
    verdicts : FM and cohort of each row, and the word of its badge.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.outcomes: list[str] = []
        self.verdicts: list[Shown] = []
        self._is_in_table = False
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
            self._is_in_table = named.get("aria-labelledby") == _TABLE
        if tag == "tr" and self._is_in_table and "data-verdict" in named:
            self._row = _searched(named.get("data-name") or "")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 (of the parser)
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
        if self._word is not None:
            self._word += data
