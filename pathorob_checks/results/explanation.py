"""What a check's verdict means, as data: reporters render it, no reporter writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pathorob_checks.criteria.verdict import Verdict, meets, written
from pathorob_checks.metrics.definition import Direction, Quantity
from pathorob_checks.metrics.measurement import CellValue, SlideValue
from pathorob_checks.results.check import Check, Suspect
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.results.numbers import check_interval
from pathorob_checks.results.part import Document, Finite
from pathorob_checks.wording import percent, printable, rounded_percent

_CELLS, _SLIDES, _SUSPECTS = 2, 3, 2

_SUBJECTS: Mapping[Quantity, str] = {
    "value": "{metric} of {fm} on {cohort}",
    "worst-center": "{metric} of {fm} on {cohort}, worst medical center ({group}),",
    "worst-class": "{metric} of {fm} on {cohort}, worst biological class ({group}),",
    "mean": "{metric} of {fm}, mean over {cohort},",
    "difference": "{metric} on {cohort}, {fm} minus {baseline},",
}
# The quantity's part of a label in tables: `robustness index, worst center`.
QUANTITY_LABELS: Mapping[Quantity, str] = {
    "value": "",
    "worst-center": ", worst center",
    "worst-class": ", worst class",
    "mean": ", mean",
    "difference": ", change",
}


class Explanation(Document):
    """What a check's verdict means.

    Attributes
    ----------
    subject : str
        What was measured, of which FM, on what.
    verdict : {'pass', 'fail', 'inconclusive', 'skipped', 'error'}
        Of the check.
    headline : str
        The verdict as a sentence with value, bound and interval.
    value : float or None
        Of the headline, like the next four.
    interval : tuple of (float, float) or None
        Of the value, at `confidence`.
    confidence : float or None
        Of the interval, between 0 and 1.
    bound : float
        What the value must reach.
    direction : {'>=', '<='}
        On which side of the bound the value must lie.
    reason : str
        Why there is no clear verdict, as a sentence; "" where the headline says it.
    meaning : str
        What the value says, and how many patches are informative.
    cells : tuple of CellValue
        The weakest centers x classes, worst first: two, or all that are as weak as the first. Of changes,
        such as those of recall, only losses.
    cells_note : str
        Why there are no cells where the metric has some, as a sentence; "" elsewhere.
    slides : tuple of SlideValue
        The slides most responsible, most responsible first.
    suspects : tuple of Suspect
        What is likely to be at fault, likeliest first.
    remedies : tuple of str
        What to do, in sentences.
    rationale : str
        Why the bound is what it is.

    Examples
    --------
    >>> from pathorob_checks.results.check import Check
    >>> from pathorob_checks.results.explanation import explain
    >>> check = Check(
    ...     id="test_mine.py::test_index[ours-camelyon]",
    ...     fm="ours",
    ...     cohort="camelyon",
    ...     metric="robustness_index",
    ...     criterion="index",
    ...     value=0.31,
    ...     interval=(0.25, 0.38),
    ...     support=0.9,
    ...     bound=0.5,
    ...     direction=">=",
    ...     rule="three-way",
    ...     verdict="fail",
    ...     reason="0.310 < 0.500",
    ...     rationale="Biology outweighs the medical center.",
    ...     label="robustness index",
    ... )
    >>> explanation = explain(check)
    >>> explanation.headline
    'robustness index of ours on camelyon is 0.310, below the bound 0.500 (95 % interval [0.250, 0.380]).'
    """

    subject: str
    verdict: Verdict
    headline: str
    value: Finite | None
    interval: tuple[Finite, Finite] | None
    confidence: Finite | None
    bound: Finite
    direction: Direction
    reason: str
    meaning: str
    cells: tuple[CellValue, ...]
    cells_note: str
    slides: tuple[SlideValue, ...]
    suspects: tuple[Suspect, ...]
    remedies: tuple[str, ...]
    rationale: str


def subject_of(check: Check) -> str:
    """What was measured, of which FM, on what: the subject of a sentence."""
    names = {
        "metric": check.label.removesuffix(QUANTITY_LABELS[check.quantity]),
        "fm": fm_and_method(check.fm, check.method),
        "cohort": ", ".join(check.cohort.split("+")) if check.quantity == "mean" else check.cohort,
        "group": check.group or "unknown",
        "baseline": check.baseline.fm if check.baseline else "the baseline",
    }
    return printable(_SUBJECTS[check.quantity].format(**names))


def sentence_of(check: Check) -> str:
    """What was measured and how it was judged, in one sentence."""
    return printable(f"{subject_of(check)} is {check.verdict}: {check.reason}.")


def explain(check: Check) -> Explanation:
    """Explain a check, whatever its verdict; without a value, why there is none."""
    # Where the interval contains the bound the headline says so, unless it is drift that widens it.
    unclear = check.verdict not in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE) or check.drift
    cells = _without_gains(check.cells)
    return Explanation(
        subject=subject_of(check),
        verdict=check.verdict,
        headline=_headline(check),
        value=check.value,
        interval=check.interval,
        confidence=check.confidence,
        bound=check.bound,
        direction=check.direction,
        reason=check.reason if check.value is not None and unclear else "",
        meaning=_meaning(check),
        cells=cells[: max(_CELLS, len(weakest(cells)))],
        cells_note=_cells_note(check.cells) if check.value is not None and not cells else "",
        slides=check.slides[:_SLIDES],
        suspects=check.suspects[:_SUSPECTS],
        remedies=_remedies(check),
        rationale=check.rationale,
    )


def _headline(check: Check) -> str:
    subject = subject_of(check)
    if check.value is None:
        what = "skipped" if check.verdict is Verdict.SKIPPED else "not measured"
        return printable(f"{subject} was {what}: {check.reason}")
    value, bound = written(check.value, check.bound, check.direction)
    if check.interval is None:
        return f"{subject} is {value}{_side(check)} the bound {bound}."
    low, high = check.interval
    interval = f"{percent(check.confidence or 0.95)} interval {check_interval(check)}"
    met = [meets(end, check.direction, check.bound) for end in (low, check.value, high)]
    if check.verdict in (Verdict.INCONCLUSIVE, Verdict.FAIL) and met[0] != met[2] and check.rule != "point":
        fails = f", which fails by the rule {check.rule}" if check.verdict is Verdict.FAIL else ""
        return f"{subject} is {value}, and its {interval} contains the bound {bound}{fails}."
    return f"{subject} is {value}{_side(check)} the bound {bound} ({interval})."


def _side(check: Check) -> str:
    """How the value stands to the bound."""
    assert check.value is not None  # noqa: S101 (for the type checker)
    if check.verdict is Verdict.PASS:
        return " and meets"
    if check.verdict is Verdict.INCONCLUSIVE:
        return ", not clearly on one side of"
    if check.verdict is not Verdict.FAIL:
        return ", not judged against"
    if meets(check.value, check.direction, check.bound):
        return ", which does not clearly meet"
    return ", below" if check.direction == ">=" else ", above"


def _meaning(check: Check) -> str:
    if check.value is None or not check.meaning:
        return ""
    sentence = check.meaning if check.meaning.endswith(".") else f"{check.meaning}."
    if check.support is not None and check.quantity != "difference":
        sentence += f" {rounded_percent(check.support)} of the patches are informative."
    return sentence


def _remedies(check: Check) -> tuple[str, ...]:
    """The check's remedies, after the place to start at."""
    if not check.remedies or check.verdict is not Verdict.FAIL:
        return check.remedies
    return (*_start(check), *check.remedies)


def _start(check: Check) -> tuple[str, ...]:
    """Where to begin: slides with the most influence on the value, else the weakest center.

    Slides come first, because a cell may be weak by few neighbors that hardly move the value. Centers that
    are equally weak are named together: the order of their names decides nothing. Where every cell misses the
    bound there is no such place.
    """
    missed = [not meets(cell.value, check.direction, check.bound) for cell in check.cells]
    if len(missed) > 1 and all(missed):
        return ()
    if check.slides:
        centers = dict.fromkeys(slide.medical_center for slide in check.slides[:_SLIDES])
        return (f"Start with the slides most responsible, of {' and '.join(centers)}.",)
    centers = dict.fromkeys(cell.medical_center for cell in weakest(_without_gains(check.cells)))
    if len(centers) > 1:
        return (f"Start with {' or '.join(centers)}, which are equally weak.",)
    return tuple(f"Start with the slides of {center}." for center in centers)


def _without_gains(cells: Sequence[CellValue]) -> tuple[CellValue, ...]:
    """The cells without those that lost nothing, as far as three decimals show."""
    return tuple(cell for cell in cells if not cell.unit or round(cell.value, 3) < 0)


def _cells_note(cells: Sequence[CellValue]) -> str:
    units = " or ".join(dict.fromkeys(cell.unit for cell in cells))
    return f"No biological class of any medical center lost anything {units}." if cells else ""


def weakest(cells: Sequence[CellValue]) -> Sequence[CellValue]:
    """The first of some cells, worst first, and those whose value is printed alike."""
    return [cell for cell in cells if f"{cell.value:.3f}" == f"{cells[0].value:.3f}"]
