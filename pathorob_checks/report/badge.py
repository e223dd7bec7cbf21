"""A badge for a README: what a run has come to, as a small SVG image."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.document import Outcome, ResultsDocument
from pathorob_checks.results.releases import effective_verdicts
from pathorob_checks.wording import brief, printable

LABEL = "robustness"
MARK = "pathorob-checks badge"  # in every badge, to tell it from somebody else's image
# White text is read on all of them: its contrast is at least 4.5 to 1, as WCAG 2 demands.
TEXT, LABEL_COLOR = "#ffffff", "#3d444d"
COLORS = {
    Outcome.PASS: "#1a7f37",
    Outcome.FAIL: "#b42318",
    Outcome.ERROR: "#6e4a9e",
    Outcome.INCONCLUSIVE: "#8a5a00",
    Outcome.PARTIAL: "#57606a",
}
_FONT, _SIZE, _HEIGHT, _SIDE = "Verdana, DejaVu Sans, Geneva, sans-serif", 11, 20, 6
_LONGEST = 40


def badge(results: ResultsDocument, label: str = LABEL) -> str:
    """The badge of a run; only a run that passed as a whole has the color and the word of a pass.

    Parameters
    ----------
    label : what stands at its left.

    Returns
    -------
    str
        An SVG document.
    """
    left, right = brief(printable(label), _LONGEST), message(results)
    widths = [_width(text) for text in (left, right)]
    sides = [width + 2 * _SIDE for width in widths]
    total = sum(sides)
    title = f"{left}: {right}"
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": str(total),
            "height": str(_HEIGHT),
            "viewBox": f"0 0 {total} {_HEIGHT}",
            "role": "img",
            "aria-label": title,
        },
    )
    ElementTree.SubElement(svg, "title").text = title
    svg.append(ElementTree.Comment(f" {MARK} "))
    colors = (LABEL_COLOR, COLORS[results.outcome])
    for start, side, color in zip((0, sides[0]), sides, colors, strict=True):
        box = {"x": str(start), "width": str(side), "height": str(_HEIGHT), "fill": color}
        ElementTree.SubElement(svg, "rect", box)
    words = ElementTree.SubElement(
        svg, "g", {"fill": TEXT, "font-family": _FONT, "font-size": str(_SIZE), "text-anchor": "middle"}
    )
    for start, side, width, text in zip((0, sides[0]), sides, widths, (left, right), strict=True):
        place = {"x": f"{start + side / 2:g}", "y": "14", "textLength": str(width)}
        ElementTree.SubElement(words, "text", place).text = text
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def message(results: ResultsDocument) -> str:
    """The outcome and its number of criteria: `fail 2 of 8`."""
    counts = results.environment.criteria.completeness
    verdicts = Counter(effective_verdicts(results.checks, results.releases))
    outcome, planned = results.outcome, counts.planned
    number = {
        Outcome.PASS: verdicts[Verdict.PASS],
        Outcome.FAIL: verdicts[Verdict.FAIL],
        Outcome.ERROR: 0,
        Outcome.INCONCLUSIVE: verdicts[Verdict.INCONCLUSIVE],
        Outcome.PARTIAL: counts.measured,
    }[outcome]
    return f"{outcome} {number} of {planned}" if number else str(outcome)


def _width(text: str) -> int:
    """Pixels of a text in DejaVu Sans, whose letters are as wide as Verdana's."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 1
    path = TextPath((0, 0), text.replace("$", r"\$"), size=_SIZE, prop=FontProperties(family="DejaVu Sans"))
    return round(path.get_extents().width)
