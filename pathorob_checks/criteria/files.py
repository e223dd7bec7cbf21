"""From the values of `--fm-criteria` to one profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pathorob_checks.criteria.comparison import WEAKENED, held, in_words, less_strict_in, settings_differences
from pathorob_checks.criteria.criterion import CriterionEntry
from pathorob_checks.criteria.document import Document, read
from pathorob_checks.criteria.mistakes import JOINED_BY, CriteriaFileError, Mistake, borrows, checked
from pathorob_checks.criteria.profile import Profile

CHANGED = "changed in Python"
_SETTINGS = (
    "inconclusive",
    "confidence",
    "family",
    "pass_confidence",
    "worst_ood_center",
    "repetitions",
    "require_complete",
)


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
    `override = true` in that criterion, which its rationale then begins with; settings cannot be relaxed. The
    first file's rule holds for its criteria, a later file's for its own. The name becomes `first+second`.

    Raises
    ------
    CriteriaFileError : files are not valid or do not fit together; the error has every mistake of every file.
    CriteriaError : a file cannot be read.
    """
    return merge([read(name) for name in names])


def under_own_name(profile: Profile) -> Profile:
    """The profile; one that was made in Python and is none of this package's does not bear their names."""
    known = borrows(profile.name)
    if known is None or profile.digest == load_profile(known).digest:
        return profile
    return profile.model_copy(update={"name": f"{profile.name} ({CHANGED})"})


def merge(documents: Sequence[Document]) -> Profile:
    """`load_profiles` of files that were read; raises CriteriaFileError."""
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
    entries, later = _ruled(first), _ruled(second)
    old, new = held(first), held(second)
    for name, entry in later.items():
        if entry.override and name in old and less_strict_in(old[name], new[name]):
            rationale = f"Overrides {in_words(old[name])} of an earlier file. {entry.rationale}"
            later[name] = entry.model_copy(update={"rationale": rationale})
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
            "name": f"{first.name}{JOINED_BY}{second.name}",
            "baseline": terms,
            "criteria": tuple((entries | later).values()),
        }
    )


def _ruled(profile: Profile) -> dict[str, CriterionEntry]:
    """The entries by id, each with the rule that it is judged by: a file's rule holds for its own."""
    return {name: one.entry.model_copy(update={"rule": one.rule}) for name, one in held(profile).items()}


def _conflicts(merged: Profile, later: Profile, document: Document) -> Iterator[Mistake]:
    """Where a file is less strict than those before it."""
    result = _merged(merged, later)
    known, new = held(merged), held(result)
    overrides = {entry.id for entry in later.criteria if entry.override}
    for number, entry in enumerate(later.criteria):
        if entry.id not in known or entry.id in overrides:
            continue
        if less := less_strict_in(known[entry.id], new[entry.id]):
            yield Mistake(
                document.name,
                document.line(("criteria", number)),
                f"criterion {entry.id!r} is in an earlier file too ({in_words(known[entry.id])}), and here "
                f"it is less strict, or not comparable, in {', '.join(less)}",
                "make it at least as strict, give it another id, or write override = true",
            )
    for one, keys in settings_differences(merged, result, set(known) - overrides):
        if one.change in WEAKENED:
            yield Mistake(
                document.name,
                document.line(keys),
                f"{one.subject} is relaxed from {one.before} to {one.after}{_REASONS.get(one.subject, '')}",
                "leave it out, make it at least as strict as in the files before it, or name this file first",
            )


_REASONS = {
    "confidence": " (a wider interval makes a FAIL inconclusive, which does not fail here, and a narrower one"
    " lets more pass)"
}
