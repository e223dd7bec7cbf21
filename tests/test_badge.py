"""`pathorob-checks badge`: only a run that passed as a whole looks like one."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_checks import made, passing, unmeasured
from made_results import results_of

from pathorob_checks.cli import main
from pathorob_checks.report.badge import COLORS, LABEL_COLOR, TEXT, badge
from pathorob_checks.results.check import IntegrityCheck
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.results import Results

SVG = "{http://www.w3.org/2000/svg}"
FAILING = made(criterion="second", id="2")
UNDECIDED = made(value=0.52, interval=(0.4, 0.6), criterion="third", id="3")
BROKEN = IntegrityCheck(id="i", name="finite", fm="demo:color-sensitive", cohort="demo", verdict="fail")
RUNS = {
    "pass 1 of 1": results_of([passing()]),
    "fail 1 of 2": results_of([passing(), FAILING]),
    "inconclusive 1 of 2": results_of([passing(), UNDECIDED]),
    "partial 1 of 3": results_of([passing()], planned=3, deselected=2),
    "error": results_of([passing()], planned=3),
    "error ": results_of([passing(), unmeasured(metric="clustering_score")]),
    "error  ": results_of([passing()], problems=("the run did not finish",)),
    "fail": results_of([passing()], integrity=(BROKEN,)),
}


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("message", RUNS)
def test_a_badge_says_what_the_run_came_to(message: str) -> None:
    svg = badge(RUNS[message])
    root = ElementTree.fromstring(svg)
    assert words(svg) == ["robustness", message.strip()]
    assert (root.get("role"), root.get("aria-label")) == ("img", f"robustness: {message.strip()}")
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == root.get("aria-label")
    is_pass = RUNS[message].outcome is Outcome.PASS
    assert (COLORS[Outcome.PASS] in svg) == is_pass
    assert ("pass" in svg) == is_pass


def luminance(color: str) -> float:
    """Relative luminance as in WCAG 2."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_outcome_has_a_color_of_its_own_on_which_text_is_read() -> None:
    assert set(COLORS) == set(Outcome)
    assert len(set(COLORS.values())) == len(Outcome)
    for color in (*COLORS.values(), LABEL_COLOR):
        lighter, darker = sorted((luminance(TEXT), luminance(color)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, color


def test_the_parts_are_as_wide_as_their_texts() -> None:
    wide, narrow = (ElementTree.fromstring(badge(RUNS["fail"], label)) for label in ("W" * 20, "i" * 20))
    assert int(wide.get("width") or 0) > 2 * int(narrow.get("width") or 0)
    for root in (wide, narrow):
        boxes = [(int(one.get("x") or 0), int(one.get("width") or 0)) for one in root.iter(f"{SVG}rect")]
        assert boxes[0][0] == 0
        assert boxes[1][0] == boxes[0][1]
        assert sum(boxes[1]) == int(root.get("width") or 0)
        for (start, width), text in zip(boxes, root.iter(f"{SVG}text"), strict=True):
            half = int(text.get("textLength") or 0) / 2
            assert start < float(text.get("x") or 0) - half
            assert float(text.get("x") or 0) + half < start + width


@pytest.mark.parametrize(
    "label", ["</text><script>alert(1)</script>", '"><x>', "a\x1b[31m\x00", "$\\frac{", "x" * 500, " "]
)
def test_a_label_is_text(label: str) -> None:
    svg = badge(RUNS["fail"], label)
    assert len(words(svg)) == 2
    assert "\x1b" not in svg
    assert len(words(svg)[0]) <= 43
    assert {element.tag for element in ElementTree.fromstring(svg).iter()} == {
        f"{SVG}{name}" for name in ("svg", "title", "rect", "g", "text")
    }


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["badge", *arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_the_command_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    RUNS["fail 1 of 2"].save("r.json")
    assert printed(capsys, "r.json", "--out=new/b.svg") == "badge: new/b.svg (fail 1 of 2)\n"
    assert Path("new/b.svg").read_text() == badge(Results.read("r.json"))
    assert words(badge(Results.read("r.json"), "our FM"))[0] == "our FM"
    printed(capsys, "r.json", "--out=c.svg", "--label=our FM")
    assert words(Path("c.svg").read_text())[0] == "our FM"


def test_a_doctored_file_has_no_badge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    doctored = RUNS["fail"].model_copy(update={"outcome": Outcome.PASS, "summary": "PASS: all is well"})
    doctored.save("r.json")
    assert "contradicts itself: its outcome is pass" in printed(capsys, "r.json", "--out=b.svg", code=1)
    assert not Path("b.svg").exists()
