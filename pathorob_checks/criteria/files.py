"""From the values of `--fm-criteria` to one profile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pathorob_checks.criteria.comparison import differences, in_words, less_strict_in, ruled
from pathorob_checks.criteria.document import Document, read
from pathorob_checks.criteria.mistakes import CriteriaFileError, Mistake, checked
from pathorob_checks.criteria.profile import Profile

_SETTINGS = ("inconclusive", "confidence", "require_complete")


def load_profile(name_or_path: str | Path) -> Profile:
    """Read a built-in profile by its name, else a criteria file by its path.

    Raises
    ------
    CriteriaError : neither exists, or the file is not a valid criteria file.
    """
    return checked(read(name_or_path))


def load_profiles(names: Sequence[str | Path]) -> Profile:
    """Read several files and merge them.

    A later file adds criteria, or is stricter: under an id that is already there it may give a criterion that
    is at least as strict in every key, and it may give a stricter setting. Anything else needs
    `override = true` in that criterion; settings cannot be relaxed. The first file's rule holds for its
    criteria, a later file's for its own. The name becomes `first+second`.

    Raises
    ------
    CriteriaFileError : files are not valid or do not fit together; the error has every mistake of every file.
    CriteriaError : a file cannot be read.
    """
    documents = [read(name) for name in names]
    profiles: list[Profile] = []
    mistakes: list[Mistake] = []
    for document in documents:
        try:
            profiles.append(checked(document))
        except CriteriaFileError as error:
            mistakes += error.mistakes
    if mistakes:
        raise CriteriaFileError(mistakes)
    merged = profiles[0]
    for document, profile in zip(documents[1:], profiles[1:], strict=True):
        mistakes += _conflicts(merged, profile, document)
        merged = _merged(merged, profile)
    if mistakes:
        raise CriteriaFileError(mistakes)
    return merged


def _merged(first: Profile, second: Profile) -> Profile:
    entries = ruled(first) | ruled(second)
    settings = {key: getattr(second, key) for key in _SETTINGS if key in second.model_fields_set}
    terms = first.baseline.model_copy(
        update={
            "margin": {**first.baseline.margin, **second.baseline.margin},
            "rule": second.baseline.rule or first.baseline.rule,
        }
    )
    return first.model_copy(
        update={
            **settings,
            "name": f"{first.name}+{second.name}",
            "baseline": terms,
            "criteria": tuple(entries.values()),
        }
    )


def _conflicts(merged: Profile, later: Profile, document: Document) -> Iterable[Mistake]:
    known = ruled(merged)
    for number, entry in enumerate(ruled(later).values()):
        if entry.id not in known or entry.override:
            continue
        if less := less_strict_in(known[entry.id], entry):
            yield Mistake(
                document.name,
                document.line(("criteria", number)),
                f"criterion {entry.id!r} is in an earlier file too ({in_words(known[entry.id])}), and here "
                f"it is less strict, or not comparable, in {', '.join(less)}",
                "make it at least as strict, give it another id, or write override = true",
            )
    for one in differences(merged, _merged(merged, later)):
        if one.change == "loosened" and one.subject not in known:
            yield Mistake(
                document.name,
                document.line((one.subject.partition(" ")[0],)),
                f"{one.subject} is relaxed from {one.before} to {one.after}",
                "leave it out, make it at least as strict as in the files before it, or name this file first",
            )
