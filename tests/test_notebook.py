"""Results in a notebook and in a console: what is not met comes first, and any color is readable."""

import re
from html.parser import HTMLParser

import pytest
from made_checks import made, passing, unmeasured
from made_document import document

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.check import IntegrityCheck
from pathorob_checks.results.document import Release
from pathorob_checks.results.listing import MOST_ROWS
from pathorob_checks.results.notebook import BACKGROUNDS, OTHER_BACKGROUND

VERDICTS = ("fail", "error", "inconclusive", "skipped", "pass")


class Reader(HTMLParser):
    """Tags that are open, tags that occur, and the texts of cells and folded parts."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.rows, self.folded, self.items = [], set(), [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1].append(data)
        elif "summary" in self.open:
            self.folded.append(data)
        elif "li" in self.open:
            self.items.append(data)


def mixed():
    checks = [
        passing(fm="a"),
        unmeasured(Verdict.SKIPPED, fm="b"),
        made(fm="c"),
        made(fm="d", value=0.5, interval=(0.4, 0.6)),
        unmeasured(fm="e"),
    ]
    return document(checks)


def shown(results):
    return Reader(results._repr_html_())


def test_what_is_not_met_comes_first():
    read = shown(mixed())
    assert read.rows[0] == ["FM", "cohort", "metric", "value", "interval", "bound", "verdict"]
    assert [row[-1].lower() for row in read.rows[1:]] == list(VERDICTS)
    lines = str(mixed()).splitlines()
    assert lines[0] == mixed().summary
    rows = [line.split() for line in lines if line[1:3] == "  "]
    assert [row[-1].lower() for row in rows] == list(VERDICTS)


def test_explanations_of_what_is_not_met_are_folded():
    read = shown(mixed())
    assert [title.split()[-1].lower() for title in read.folded] == list(VERDICTS[:-1])
    assert "details" in read.tags
    assert shown(document([passing()])).folded == []


def test_the_verdict_on_each_fm_is_above_the_table():
    release = Release(fm="c", verdict=Verdict.FAIL, family="none", planned=1, sentence="FAIL: not met: index")
    results = document([made(fm="c")], releases=(release,))
    html = results._repr_html_()
    assert html.index("c: FAIL: not met: index") < html.index("<table>")
    assert "release verdict on c: FAIL: not met: index" in str(results)


def test_problems_and_failed_integrity_checks_are_listed():
    failed = IntegrityCheck(
        id="t", name="deterministic", fm="c", cohort="demo", verdict="fail", reason="differs"
    )
    results = document([made()], integrity=(failed,), problems=("a worker was lost",))
    assert shown(results).items == ["a worker was lost", "deterministic of c on demo: fail: differs"]
    assert "deterministic of c on demo: fail: differs" in str(results)


def test_nothing_but_the_page_itself_is_needed():
    html = mixed()._repr_html_()
    assert not shown(mixed()).tags & {"script", "style", "link", "img", "iframe"}
    assert not re.search(r"url\(|https?:|class=|id=", html)


def test_without_styles_every_verdict_is_a_word():
    plain = re.sub(r' style="[^"]*"', "", mixed()._repr_html_())  # as some viewers show it
    assert [row[-1].lower() for row in Reader(plain).rows[1:]] == list(VERDICTS)


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("color", [*BACKGROUNDS.values(), OTHER_BACKGROUND])
def test_white_letters_are_readable_on_every_badge(color):
    """WCAG 2, level AA: the contrast of small letters is at least 4.5."""
    assert 1.05 / (luminance(color) + 0.05) >= 4.5
    assert "color:#fff" in mixed()._repr_html_()


def test_a_long_table_says_what_it_leaves_out():
    results = document([made(fm="c"), *(passing(fm=f"fm{number}") for number in range(MOST_ROWS + 1))])
    assert len(shown(results).rows) == 1 + MOST_ROWS
    for text in (results._repr_html_(), str(results)):
        assert "2 more checks not shown; results.table() has all." in text


def test_without_checks_there_is_no_table():
    results = document([])
    assert shown(results).rows == []
    assert str(results) == results.summary


@pytest.mark.parametrize(("does", "word"), [("warn", "INCONCLUSIVE (allowed)"), ("fail", "INCONCLUSIVE")])
def test_an_undecided_verdict_that_is_allowed_says_so(does, word):
    results = document([made(value=0.6, interval=(-0.0001, 0.7))])
    terms = results.environment.criteria.model_copy(update={"profile": {"inconclusive": does}})
    environment = results.environment.model_copy(update={"criteria": terms})
    results = results.model_copy(update={"environment": environment})
    assert f">{word}</strong>" in results._repr_html_()
    assert str(results).rstrip().endswith(f"  {word}")
    assert "[0.000, 0.700]" in str(results)
