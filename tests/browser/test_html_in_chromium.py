"""The HTML report in a browser: for the eyes, the ears, the keyboard, paper, a phone, and attackers."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from report_documents import HOSTILE, failing, good, hostile, many, not_finished, not_started

from pathorob_checks import Results
from pathorob_checks.wording import printable

DOCUMENTS = {
    "failing": failing,
    "good": good,
    "not started": not_started,
    "not finished": not_finished,
    "hostile": hostile,
}
A4_PX = (210 * 96 / 25.4, 297 * 96 / 25.4)
MARGIN_PX = 14 * 96 / 25.4
PICTURES = """[...document.querySelectorAll('img, figure svg')].map(one => {
  const box = one.getBoundingClientRect();
  return {width: box.width, height: box.height, right: box.right, natural: one.naturalWidth ?? box.width}})"""
BROKEN_WORDS = r"""() => {
  const broken = [];
  for (const cell of document.querySelectorAll('.scroll :is(th, td)')) {
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walker.nextNode())
      for (const word of walker.currentNode.data.matchAll(/\b[\w.]{3,16}\b/g)) {
        const range = document.createRange();
        range.setStart(walker.currentNode, word.index);
        range.setEnd(walker.currentNode, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
        if (lines.size > 1) broken.push(word[0]);
      }
  }
  return broken;
}"""
every_document = pytest.mark.parametrize("kind", DOCUMENTS)


@every_document
def test_nothing_is_complained_of_and_nothing_is_fetched(kind, visit):
    seen = visit(DOCUMENTS[kind]())
    pictures = seen.all(PICTURES)
    assert seen.said == []
    assert seen.remote == []
    assert all(min(one["width"], one["height"], one["natural"]) > 0 for one in pictures)
    assert len(pictures) > 6 or kind not in ("failing", "hostile")


@every_document
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(kind, scheme, visit):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    seen = visit(DOCUMENTS[kind](), color_scheme=scheme)
    seen.all("0")
    violations = axe.run(seen.page)
    assert violations.violations_count == 0, violations.generate_report()
    assert len(violations.response["passes"]) > 10


@pytest.mark.slow
def test_the_keyboard_reaches_and_opens_every_part(visit):
    page = visit(failing()).page
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = false")
    total = page.evaluate("document.querySelectorAll('details').length")
    assert total > 10
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(20 * total):
        page.keyboard.press("Tab")
        tag = page.evaluate("document.activeElement.tagName")
        if tag == "SUMMARY" and not page.evaluate("document.activeElement.parentElement.open"):
            page.keyboard.press("Enter")
        elif tag == "BODY":
            break
    assert page.evaluate("document.querySelectorAll('details[open]').length") == total


def test_the_page_is_whole_without_scripts(visit):
    results = failing()
    page = visit(results, java_script_enabled=False).page
    assert not page.locator("#filter").is_visible()
    assert page.locator("tr[data-name]").count() == len(results.checks)
    assert page.locator("tr[data-name]").last.is_visible()
    closed = page.locator("details:not([open])").first
    closed.locator("summary").click()
    assert page.locator("figure svg").first.is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["failing", "hostile"])
def test_it_prints_on_a4_without_losing_anything(kind, visit):
    width, height = (side - 2 * MARGIN_PX for side in A4_PX)
    page = visit(DOCUMENTS[kind](), viewport={"width": int(width), "height": int(height)}).page
    page.emulate_media(media="print")
    pictures = page.evaluate(PICTURES)
    assert len(pictures) > 6
    assert all(one["right"] <= width + 1 and one["height"] <= height for one in pictures)
    assert page.evaluate("document.documentElement.scrollWidth") <= width + 1
    folded = page.locator("details:not([open]) > :not(summary)")
    assert folded.count() > 10
    assert [one.text_content() for one in folded.all() if not one.is_visible()] == []
    assert not page.locator("nav").is_visible()
    content = page.pdf(prefer_css_page_size=True)
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
    assert {(round(float(w)), round(float(h))) for w, h in sizes} == {(595, 842)}
    assert len(sizes) > 2


@pytest.mark.parametrize(("media", "width"), [("screen", 360), ("screen", 1200), ("print", 688)])
def test_no_table_breaks_a_word_of_usual_length(media, width, visit):
    seen = visit(failing(), viewport={"width": width, "height": 800})
    seen.page.emulate_media(media=media)
    assert seen.all(BROKEN_WORDS) == []


@every_document
@pytest.mark.parametrize("width", [320, 375, 768])
def test_the_page_never_scrolls_sideways(kind, width, visit):
    seen = visit(DOCUMENTS[kind](), viewport={"width": width, "height": 800})
    assert seen.all("document.documentElement.scrollWidth") <= width


def test_hostile_names_do_no_harm(visit):
    results = hostile()
    seen = visit(results)
    assert (seen.said, seen.remote) == ([], [])
    assert seen.page.evaluate("[document.scripts.length, document.styleSheets.length]") == [2, 1]
    attributes = "[...document.querySelectorAll('*')].flatMap(one => [...one.attributes].map(a => a.name))"
    assert not [name for name in seen.page.evaluate(attributes) if name.startswith("on")]
    assert seen.page.evaluate("[...document.links].every(one => one.getAttribute('href')[0] == '#')")
    text = seen.all("document.body.innerText")
    # Figures frame names that are read from right to left by marks of their own.
    seen.page.evaluate("document.querySelectorAll('svg').forEach(one => one.remove())")
    outside_figures = seen.all("document.body.innerText")
    shown = {char for char in outside_figures if unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs")}
    assert shown <= set("\n\t")
    for name in HOSTILE:
        assert " ".join(printable(name).split()) in " ".join(text.split())
    assert json.loads(Results.read(seen.file).to_json()) == json.loads(results.to_json())


@pytest.mark.parametrize("make", [not_started, not_finished])
def test_a_run_without_an_end_looks_so_at_a_glance(make, visit):
    page = visit(make(), viewport={"width": 375, "height": 667}).page
    alarm = page.locator(".alarm")
    box = alarm.bounding_box()
    assert box["y"] + box["height"] < 667  # on the first screen of a phone
    assert page.locator(".banner").inner_text().startswith("! ERROR")
    assert "PASS" not in page.locator(".banner").inner_text()


@pytest.mark.slow
def test_the_filter_shows_what_was_asked_for_and_says_how_much(visit):
    page = visit(many(fms=4, cohorts=2)).page
    said = page.locator("output")
    assert said.inner_text() == "32 of 32 checks shown"
    assert said.get_attribute("aria-live") == "polite"
    page.get_by_label("foundation model or cohort").fill("MODEL-01")
    assert said.inner_text() == "8 of 32 checks shown"
    page.get_by_label("verdict").select_option("fail")
    shown = page.locator("tr[data-name]:visible")
    assert said.inner_text() == f"{shown.count()} of 32 checks shown"
    assert 0 < shown.count() < 8
    assert page.locator("tbody.group-of-checks:visible").count() == 2
    assert page.locator("details.missed:visible").count() == shown.count()
    page.get_by_label("foundation model or cohort").fill("nobody")
    assert said.inner_text() == "0 of 32 checks shown"
    assert page.get_by_text("Nothing with this name and verdict.").is_visible()


@pytest.mark.slow
def test_fifty_fms_on_four_cohorts_are_one_page_of_less_than_20_mb(visit):
    seen = visit(many())
    assert seen.file.stat().st_size < 20e6
    assert seen.page.locator("tr[data-name]").count() == 800
    assert "have figures of their own here" in seen.page.locator("#figures + p").inner_text()
    assert seen.said == []
