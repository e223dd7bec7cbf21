"""An explanation as plain text, for terminals and logs of any width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pathorob_checks.metrics.measurement import CellValue
from pathorob_checks.results.explanation import Explanation, weakest
from pathorob_checks.wording import printable, rounded_percent

DEFAULT_WIDTH = 80
_NARROWEST = 20
_TITLE = 12
_NAMED = 3  # cells that are equally weak
_UNBROKEN = "\0%"  # `printable` leaves no such character in a text


def wrapped(text: str, *, width: int = DEFAULT_WIDTH, lead: str = "", indent: str = "") -> str:
    """`text`, made printable, in lines of at most `width`; `lead` opens the first, `indent` the others."""
    words = " ".join(printable(text).split()).replace(" %", _UNBROKEN)  # 95 % stays on one line
    lines = textwrap.wrap(
        words,
        width=max(width, _NARROWEST),
        initial_indent=lead,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace(_UNBROKEN, " %")


def render_explanation(explanation: Explanation, width: int = DEFAULT_WIDTH) -> str:
    """What happened, what it means, where it is weakest and what to do, in lines of at most `width`."""
    body = [
        wrapped(sentence, width=width, lead=f"{title + ':':<{_TITLE}}", indent=" " * _TITLE)
        for title, sentence in titled_sentences(explanation)
    ]
    # Indented, so that no line in it looks like the run's own headline.
    return "\n".join([wrapped(explanation.headline, width=width, indent="  "), *body])


def titled_sentences(explanation: Explanation) -> list[tuple[str, str]]:
    """All but the headline, as sentences with a title each, in the order in which they are read."""
    if explanation.value is None:
        return [("Bound", f"{explanation.direction} {explanation.bound:.3f}. {explanation.rationale}")]
    sentences = [("Reason", explanation.reason), ("Meaning", explanation.meaning)]
    sentences += _places(explanation.cells) or [("Weakest", explanation.cells_note)]
    if explanation.slides:
        names = ", ".join(slide.slide_id for slide in explanation.slides)
        sentences.append(("Slides", f"{names} are most responsible for the value."))
    for number, suspect in enumerate(explanation.suspects):
        sentences.append(("Or" if number else "Suspect", f"{suspect.kind}: {suspect.sentence}"))
    sentences += [("What to do", " ".join(explanation.remedies)), ("Bound", explanation.rationale)]
    return [(title, sentence) for title, sentence in sentences if sentence]


def _places(cells: Sequence[CellValue]) -> list[tuple[str, str]]:
    """The weakest cells; those that are equally weak in one sentence."""
    alike = weakest(cells)
    if len(alike) > 1:
        names = [f"{cell.biological_class} of {cell.medical_center}" for cell in alike]
        rest = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else [names.pop()]
        value = " ".join(filter(None, (f"{alike[0].value:.3f}", alike[0].unit)))
        return [("Weakest", f"{', '.join(names[:_NAMED])} and {rest[0]} are equally weak: {value}")]
    sentences = []
    for number, cell in enumerate(cells):
        share = ""
        if cell.same_center is not None:
            share = f"{rounded_percent(cell.same_center)} of its neighbors are from its own center"
        details = "; ".join(filter(None, (cell.meaning if number == 0 else "", share)))
        value = " ".join(filter(None, (f"{cell.value:.3f}", cell.unit)))
        place = f"{cell.biological_class} of {cell.medical_center}: {value}"
        sentences.append(("Weakest" if number == 0 else "Next", f"{place} ({details})" if details else place))
    return sentences
