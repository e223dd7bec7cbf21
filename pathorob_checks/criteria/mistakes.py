"""What is wrong in a criteria file: every mistake, with its line, as sentences."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pathorob_checks.criteria.criterion import CriterionEntry
from pathorob_checks.criteria.document import BUILT_IN, Document
from pathorob_checks.criteria.profile import SCHEMA, BaselineTerms, Profile
from pathorob_checks.errors import CriteriaError
from pathorob_checks.wording import hint, printable, shortened


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake: where, what is wrong, and what to do about it, as clauses."""

    file: str
    line: int
    problem: str
    remedy: str

    def __str__(self) -> str:
        return printable(f"{self.file}:{self.line}: {self.problem}; {self.remedy}.")


JOINED_BY = "+"  # the names of merged files
_NAMED = 50  # of a file's mistakes


class CriteriaFileError(CriteriaError):
    """All that is wrong in one or several criteria files."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes))
        first = self.mistakes[0]
        super().__init__(f"{first.file}:{first.line}: {first.problem}", remedy=first.remedy)

    def __str__(self) -> str:
        if len(self.mistakes) == 1:
            return str(self.mistakes[0])
        lines = [str(mistake) for mistake in self.mistakes[:_NAMED]]
        more = len(self.mistakes) - len(lines)
        lines += [f"... and {more:,} more; 'pathorob-checks criteria check' lists them."] if more else []
        return f"the criteria have {len(self.mistakes):,} mistakes:\n" + "\n".join(lines)


def checked(document: Document) -> Profile:
    """The profile that a document says.

    Raises
    ------
    CriteriaFileError : it is not a valid criteria file; the error has every mistake with its line.
    """
    content = dict(document.content)
    mistakes = [
        Mistake(document.name, line, f"the key {shortened(key)} stands twice", "delete one of them")
        for key, line in document.repeated
    ]
    schema = content.pop("schema", None)
    if schema != SCHEMA:
        problem = f"the schema is {shortened(schema)}" if schema is not None else "the file has no schema"
        remedy = f'write schema: "{SCHEMA}"' if document.is_yaml else f'write schema = "{SCHEMA}"'
        mistakes.append(Mistake(document.name, document.line(("schema",)), problem, remedy))
    try:
        profile = Profile.model_validate(content)
    except ValidationError as error:
        mistakes += [_mistake(detail, document) for detail in error.errors(include_url=False)]
    mistakes += _repeated_ids(document)
    mistakes += _borrowed_name(document)
    if mistakes:
        raise CriteriaFileError(mistakes)
    return profile


def borrows(name: str) -> str | None:
    """The profile of this package that a name is, or looks like; None where it is one of its own."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    letters = "".join(filter(str.isalnum, plain))
    for known in BUILT_IN:
        alike = [a == b or not a.isascii() for a, b in zip(letters, known, strict=False)]
        if len(letters) == len(known) and all(alike) and set(letters) & set(known):
            return known
    return None


def _borrowed_name(document: Document) -> Iterator[Mistake]:
    """Refuse a file that calls itself by the name of a profile of this package, or of a merged one."""
    name = document.content.get("name")
    if document.is_built_in or not isinstance(name, str):
        return
    line = document.line(("name",))
    if known := borrows(name):
        problem = f"the name {shortened(name)} is, or looks like, that of the profile {known} of this package"
        yield Mistake(document.name, line, problem, "give the file a name of its own")
    if JOINED_BY in name:
        problem = f"the name {shortened(name)} has a {JOINED_BY}, which joins the names of merged files"
        yield Mistake(document.name, line, problem, "give the file a name without it")
    if printable(name) != name:
        problem = f"the name {shortened(name)} has characters that cannot be seen"
        yield Mistake(document.name, line, problem, "delete them")


WHOLE = "the file"
_MAPPING_KEY = "[key]"  # where pydantic places a complaint about a key of a mapping
# The model behind each table of a file, to name its keys.
_TABLES: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): Profile,
    ("criteria",): CriterionEntry,
    ("baseline",): BaselineTerms,
}
_TYPE_WORDS: Mapping[str, str] = {
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "invalid_key": "named by text",
}


def _mistake(detail: ErrorDetails, document: Document) -> Mistake:
    """pydantic's complaint, with the criterion's id and the key as the user wrote them."""
    place = detail["loc"]
    subject, key, model = _subject(place, document)
    of_key = shortened(key) if subject == WHOLE else f"{subject}: {shortened(key)}"

    def mistake(problem: str, remedy: str) -> Mistake:
        return Mistake(document.name, document.line(place), problem, remedy.rstrip("."))

    match detail["type"]:
        case "extra_forbidden":
            remedy = hint(key, model.model_fields, "known keys are {known}")
            return mistake(f"{subject} has the unknown key {shortened(key)}", remedy)
        case "missing":
            return mistake(f"{subject} has no {shortened(key)}", "add it")
        case "value_error":
            problem, _, advice = str(detail["ctx"]["error"]).partition("; ")
            lead = of_key if key and place[-1] != _MAPPING_KEY else subject
            return mistake(f"{lead} {problem}", advice or "correct it")
        case kind:
            expected = _TYPE_WORDS.get(kind) or detail["msg"].removeprefix("Input should be ")
            given = "nothing" if detail["input"] is None else shortened(detail["input"])
            return mistake(f"{of_key if key else subject} must be {expected}, not {given}", "correct it")


def _subject(place: tuple[int | str, ...], document: Document) -> tuple[str, str, type[BaseModel]]:
    """The words that a complaint starts with, the key complained about, and the model that has it."""
    if place[:1] == ("criteria",) and len(place) > 1:
        key = str(place[2]) if len(place) > 2 else ""
        return _criterion(document.content, place[1]), key, CriterionEntry
    if place[:2] == ("baseline", "margin") and len(place) > 2:
        return "[baseline.margin]", str(place[2]), BaselineTerms
    tables = tuple(str(part) for part in place)
    for length in range(len(tables) - 1, -1, -1):
        if tables[:length] in _TABLES:
            lead = f"[{'.'.join(tables[:length])}]" if length else WHOLE
            return lead, tables[length], _TABLES[tables[:length]]
    return WHOLE, "", Profile


def _criterion(content: Mapping[str, Any], index: int | str) -> str:
    """`criterion 'robustness-index'`, or its number where it has no usable id."""
    criteria = content["criteria"]
    entry = criteria[index] if isinstance(criteria, list) and isinstance(index, int) else None
    name = entry.get("id") if isinstance(entry, dict) else None
    if isinstance(name, str) and name:
        return f"criterion {shortened(name)}"
    return f"criterion number {index + 1}" if isinstance(index, int) else "criteria"


def _repeated_ids(document: Document) -> Iterator[Mistake]:
    criteria = document.content.get("criteria")
    seen: set[str] = set()
    for index, entry in enumerate(criteria if isinstance(criteria, list) else []):
        name = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            continue
        if name in seen:
            line = document.line(("criteria", index))
            yield Mistake(
                document.name, line, f"the id {shortened(name)} stands twice", "give every criterion its own"
            )
        seen.add(name)
