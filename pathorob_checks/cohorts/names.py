"""Names of classes, centers, subsets and slides: read in one encoding, and refused where two may be one.

A medical center under two names counts as two: its patches become each other's neighbors "from another
center", and every metric improves.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pathorob_checks.cohorts.lookalikes import in_latin, mixed_word, rare_letters, readings, unseen
from pathorob_checks.cohorts.reading import read_file
from pathorob_checks.errors import CohortError
from pathorob_checks.wording import printable

LABELS = {
    "biological_class": "biological classes",
    "medical_center": "medical centers",
    "subset": "subsets",
}
MOST_CHARACTERS = 500
_MOST_OF_A_PATH = 4_000
_SHOWN = 60
_MOST_BYTES = 1 << 20
_AFTER_A_REVIEW = "list {} in a file for --fm-accept-names after a review"


@dataclass(frozen=True)
class AcceptedNames:
    """Names that somebody reviewed: they may look like others, or mix scripts.

    Attributes
    ----------
    file : name of the list, for reports.
    names : in NFKC.
    """

    file: str = ""
    names: frozenset[str] = frozenset()


NONE_ACCEPTED = AcceptedNames()


def read_accepted_names(path: Path) -> AcceptedNames:
    """Read a reviewed list: UTF-8 text with one name in each line.

    Raises
    ------
    CohortError : it cannot be read, or has a name with a character that cannot be seen.
    """
    what = f"the list of accepted names '{printable(path.name)}'"
    try:
        lines = read_file(path, what, _MOST_BYTES).decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise CohortError(f"{what} does not exist", remedy="give an existing file") from None
    except UnicodeDecodeError:
        raise CohortError(
            f"{what} is not UTF-8 text", remedy="save it as UTF-8 with one reviewed name in each line"
        ) from None
    names = [name for line in lines if (name := line.strip())]
    for number, name in enumerate(names, 1):
        if unseen(name):
            raise CohortError(
                f"name {number} of {what} has a character that cannot be seen: {described(name)}",
                remedy="remove the character: nobody can review it",
            )
    return AcceptedNames(path.name, frozenset(map(_normal, names)))


@dataclass
class Names:
    """The names of one cohort while it is read.

    Parameters
    ----------
    accepted : names for which look-alikes and mixed scripts are no mistake.
    """

    accepted: AcceptedNames = NONE_ACCEPTED
    _known: dict[tuple[str, str], str] = field(default_factory=dict)
    _first: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    _used: dict[str, None] = field(default_factory=dict)

    def label(self, where: str, column: str, text: str) -> str:
        """The name of a class, center or subset, in NFKC.

        Raises
        ------
        CohortError : it has characters that cannot be seen or letters of two scripts within a word, or the
            cohort has it in another encoding.
        """
        if (column, text) not in self._known:
            self._known[column, text] = self._read(where, column, text)
        return self._known[column, text]

    def _read(self, where: str, column: str, text: str) -> str:
        check_characters(where, column, text)
        name = _normal(text)
        check_characters(where, column, name)
        if mixed_word(name) is not None and not self._accepts(name):
            raise CohortError(
                f"{where} has letters of different scripts within a word of its {column}: {described(name)}",
                remedy=f"write the word in one script, or {_AFTER_A_REVIEW.format('the name')}",
            )
        if (rare := rare_letters(name)) and not self._accepts(name):
            raise CohortError(
                f"{where} has letters of a script that is rarely used in its {column}: {quoted_name(name)} "
                f"({_code_points(dict.fromkeys(rare))})",
                remedy=f"write the name in a common script, or {_AFTER_A_REVIEW.format('the name')}",
            )
        first, first_where = self._first.setdefault(column, {}).setdefault(name, (text, where))
        if first != text and not self._accepts(name):
            raise _alike(LABELS[column], (first, first_where), (text, where))
        return name

    def check(self) -> None:
        """Refuse names that a reader would take for one.

        Raises
        ------
        CohortError : two names of a column have a reading in common; the message shows how they differ.
        """
        for column, first in self._first.items():
            alike: dict[str, tuple[str, str]] = {}
            for name, (_, where) in first.items():
                for reading in sorted(readings(name)):
                    other = alike.setdefault(reading, (name, where))
                    if other[0] != name and not self._accepts(other[0], name):
                        raise _alike(LABELS[column], other, (name, where))

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on what was accepted; none where nothing was."""
        if not self._used:
            return ()
        names = ", ".join(map(described, self._used))
        return (
            f"Names that look alike or mix scripts are accepted by the reviewed list "
            f"{printable(self.accepted.file)}: {names}.",
        )

    def _accepts(self, *names: str) -> bool:
        if not self.accepted.names.issuperset(names):
            return False
        self._used.update(dict.fromkeys(names))
        return True


def check_characters(where: str, column: str, text: str) -> None:
    """Refuse a cell that is empty, too long, not text, or has characters that a reader cannot see.

    Raises
    ------
    CohortError : the message shows the code points.
    """
    if not text.strip():
        raise CohortError(f"{where} has an empty cell in column '{column}'", remedy="fill it")
    most = _MOST_OF_A_PATH if column == "image_path" else MOST_CHARACTERS
    if len(text) > most:
        raise CohortError(
            f"{where} has a {column} of {len(text):,} characters: {_short(text)!r}",
            remedy=f"shorten it to at most {most}",
        )
    if text.isascii() and text.isprintable() and text == text.strip():
        return
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):  # a file name that is not UTF-8
        raise CohortError(
            f"{where} has a {column} that is not UTF-8 text: {_short(text)!r}", remedy="rename it"
        )
    # 'RUMC ' would be a second medical center beside 'RUMC'.
    if text != text.strip() or any(unicodedata.category(character) == "Cc" for character in text):
        raise CohortError(
            f"{where} has stray white space or a control character in its {column}: {_short(text)!r}",
            remedy="remove it",
        )
    if unseen(text):
        raise CohortError(
            f"{where} has a character that cannot be seen in its {column}: {described(text)}",
            remedy="remove the character",
        )


def check_ids(noun: str, ids: Iterable[tuple[str, str, str]]) -> None:
    """Refuse two ids of one slide: they differ in encoding, or within a center in case or script.

    Ids may look alike otherwise (`S-1`, `S1`): they are numbers more often than names.

    Parameters
    ----------
    noun : what has the ids, in the plural: `slides`.
    ids : id, center, and where it is first, of each.

    Raises
    ------
    CohortError : the message shows how they differ.
    """
    first_with: dict[tuple[str, ...], tuple[str, str]] = {}
    for name, center, where in ids:
        for plain in ((_normal(name),), (in_latin(_normal(name)), center)):
            first = first_with.setdefault(plain, (name, where))
            if first[0] != name:
                raise _alike(noun, first, (name, where))


def described(text: str) -> str:
    """A name in quotes, with the code points of what is not ASCII."""
    special = dict.fromkeys(character for character in text if not character.isascii())
    return quoted_name(text) + (f" ({_code_points(special)})" if special else "")


def _alike(noun: str, one: tuple[str, str], two: tuple[str, str]) -> CohortError:
    (first, first_where), (second, second_where) = one, two
    remedy = "write them alike, or choose more distinct names"
    if noun in LABELS.values():
        remedy = f"write them alike, choose more distinct names, or {_AFTER_A_REVIEW.format('both')}"
    return CohortError(
        f"the {noun} {quoted_name(first)} ({first_where}) and {quoted_name(second)} ({second_where}) "
        f"{_difference(first, second)}",
        remedy=remedy,
    )


def _difference(one: str, two: str) -> str:
    """How two names differ that a reader takes for one, with code points where case is not all."""
    if one.casefold() == two.casefold():
        return "differ only in upper and lower case"
    encoding = _normal(one).casefold() == _normal(two).casefold()
    what = "differ only in the encoding of letters" if encoding else "look like one name"
    only = (Counter(one) - Counter(two), Counter(two) - Counter(one))
    sides = [
        f"the {which} has {_code_points(characters)}"
        for which, characters in zip(("first", "second"), only, strict=True)
        if characters
    ]
    return f"{what}: {' and '.join(sides)}" if sides else what


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def quoted_name(text: str) -> str:
    """A name for a message: printable, and cut where it is long."""
    return f"'{printable(_short(text))}'"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _code_points(characters: Iterable[str]) -> str:
    shown = list(characters)
    points = [f"U+{ord(one):04X} {unicodedata.name(one, 'without a name')}" for one in shown[:4]]
    return ", ".join(points) + (", ..." if len(shown) > 4 else "")
