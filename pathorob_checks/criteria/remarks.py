"""What is valid in a criteria file and seldom meant: bounds in the other direction, unknown cohorts, margins
that hold nothing, and places of a template that nobody has filled in."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pathorob_checks.criteria.document import Document
from pathorob_checks.criteria.mistakes import Mistake, checked
from pathorob_checks.criteria.templates import open_places
from pathorob_checks.wording import hint, shortened


def upside_down(document: Document) -> Iterator[Mistake]:
    """Bounds that keep an FM from being more robust; the file is valid."""
    for number, entry in enumerate(checked(document).criteria):
        if entry.is_upside_down:
            line = document.line(("criteria", number, "at_most" if entry.at_least is None else "at_least"))
            problem = f"criterion {entry.id!r}: {entry.upside_down}"
            yield Mistake(document.name, line, problem, "be sure that this is meant")


def other_cohorts(document: Document, cohorts: Collection[str], whose: str) -> Iterator[Mistake]:
    """Criteria about a cohort that is none of `cohorts`, which are `whose`; the file is valid."""
    for number, entry in enumerate(checked(document).criteria):
        for name in entry.cohorts or ():
            if name not in cohorts:
                line = document.line(("criteria", number, "cohorts"))
                what = f"criterion {entry.id!r} is about the cohort {shortened(name)}"
                remedy = hint(name, cohorts, "known are {known}").rstrip(".")
                yield Mistake(document.name, line, f"{what}, which is no cohort of {whose}", remedy)


def unfilled(document: Document) -> Iterator[Mistake]:
    """Texts that still say what is to be filled in; the file is valid."""
    for path in open_places(checked(document).model_dump(mode="json")):
        key = next(part for part in reversed(path) if isinstance(part, str))
        yield Mistake(document.name, document.line(path), f"{key} is not filled in", "write your own")


def unmeasured_margins(document: Document, measured: Collection[str]) -> Iterator[Mistake]:
    """Margins for metrics that no criterion is about; the file is valid.

    Parameters
    ----------
    measured : metrics that criteria of the file, or of those that it is merged with, are about.
    """
    for name in checked(document).baseline.margin:
        if name not in measured:
            line = document.line(("baseline", "margin", name))
            problem = (
                f"the margin of {name} counts only where the baseline has it, as no criterion is about it"
            )
            yield Mistake(document.name, line, problem, "add a criterion, or leave the margin out")
