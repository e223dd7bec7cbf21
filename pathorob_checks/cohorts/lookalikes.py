"""What a reader sees of a name: characters that cannot be seen, scripts within a word, and its skeleton."""

# ruff: noqa: RUF001 (it is about letters that look like others)

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

# Control, format, surrogate, private and unassigned characters, line and paragraph separators.
_UNREADABLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
# Letters, marks and symbols that are drawn as nothing.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_BLANK_RANGES = ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))  # variation selectors

# Marks that are written over or under letters of any script; those of one script may be its vowels.
_LOOSE_MARKS = ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
# Scripts that are written together within a word.
_TOGETHER = (
    frozenset({"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "LATIN"}),
    frozenset({"CJK", "IDEOGRAPHIC", "HANGUL", "LATIN"}),
    frozenset({"CJK", "IDEOGRAPHIC", "BOPOMOFO", "LATIN"}),
)
# Symbols that tell names apart, as HER2+ and HER2-, <50 and >50.
_TELLING = "+<>=\u2264\u2265\u00b1"

# Letters as the Latin ones, or the digits, that they look like. Upper case comes first, as what is alike in
# upper case need not be alike in lower case.
_LATIN_OF_LETTERS = (
    # Greek
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϺ", "ABEZHIKMNOPTYXCM"),
    ("αγικνορτυχϲϳ", "ayiKvopTuxcj"),
    # Cyrillic
    ("АВЕЗІЈКМНОРСТУХЅҮԌԚԜӀҺ", "ABE3IJKMHOPCTYXSYGQWIh"),
    ("авекмнопрстухіјѕһԁԛԝүӏьгз", "aBeKMHonpcTyxijshdqwylbr3"),
    # Armenian
    ("ՍՕոսօհցզյ", "UOnuohgqj"),
    # Cherokee
    ("ᎪᏴᏟᎠᎬᏀᎻᎫᏦᏞᎷᏢᏒᏚᎢᏙᏔᏃᎡᎳ", "ABCDEGHJKLMPRSTVWZRW"),
    # Letters of phonetic writing, Lisu
    ("ɑɩƖɪǀꓲꓮꓐꓚꓓꓰꓕ", "aiIIllABCDET"),
)
_LATIN_OF = {
    ord(letter): latin
    for letters, latins in _LATIN_OF_LETTERS
    for letter, latin in zip(letters, latins, strict=True)
}
_SPECIAL_FORM = re.compile("LETTER (?:DOTLESS|SCRIPT|INSULAR|BLACKLETTER|LONG|FINAL) ")
_WITHOUT_VOWEL_SIGNS = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE"})
_ALIKE_IN_LATIN = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l"})
_ALIKE_PAIRS = (("rn", "m"), ("vv", "w"))
_BETWEEN_DIGITS = re.compile(rf"(?<=\d)(?:[^\w{_TELLING}]|_)+(?=\d)")


def unseen(text: str) -> bool:
    """Whether a text has a character that is drawn as nothing, or that is none."""
    return any(_is_unseen(character) for character in text)


def _is_unseen(character: str) -> bool:
    return (
        unicodedata.category(character) in _UNREADABLE
        or character in _BLANK
        or _is_in(character, _BLANK_RANGES)
    )


def _is_in(character: str, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)


def mixed_word(text: str) -> str | None:
    """The first word with letters of scripts that no language writes together."""
    letters = "".join(character for character in text if not _is_in(character, _LOOSE_MARKS))
    for word in re.findall(r"[^\W\d_]+", letters):
        scripts = {_script(letter) for letter in word} - {""}
        if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
            return str(word)
    return None


def _script(letter: str) -> str:
    """The first word of a letter's name; marks and signs of all scripts have none."""
    name = unicodedata.name(letter, "")
    first = name.partition(" ")[0]
    if unicodedata.category(letter) == "Lm" and first in ("MODIFIER", "PROLONGED"):
        return ""
    return "KATAKANA" if first == "KATAKANA-HIRAGANA" else first


def in_latin(text: str) -> str:
    """A text in lower case, its letters replaced by the Latin ones that they look like.

    Letters are compared before and after their case is changed: some are alike in one case only.
    """
    plain = text if text.isascii() else "".join(map(_without_addition, text))
    return plain.translate(_LATIN_OF).casefold().translate(_LATIN_OF).casefold()


@cache
def _without_addition(letter: str) -> str:
    """A letter without the stroke, hook or tail that its name in Unicode has, and as no special form."""
    name = unicodedata.name(letter, "").partition(" WITH ")[0]
    name = name.replace("LETTER SMALL CAPITAL ", "CAPITAL LETTER ")
    name = _SPECIAL_FORM.sub("LETTER ", name)
    try:
        return unicodedata.lookup(name)
    except KeyError:
        return letter


def _is_vowel_sign(text: str, place: int) -> bool:
    """Whether a character is a mark on a letter of a script that writes such marks as part of its words."""
    while unicodedata.category(text[place])[0] == "M" and place:
        place -= 1
        if text[place].isalpha():
            return _script(text[place]) not in _WITHOUT_VOWEL_SIGNS
    return False


def _is_punctuation_letter(character: str) -> bool:
    """Whether a letter is drawn as an apostrophe, a dash or a stroke: those of no script, and the tatweel."""
    return unicodedata.category(character) == "Lm" and (
        character == "\u0640" or unicodedata.name(character, "").startswith("MODIFIER")
    )


def skeleton(text: str) -> str:
    """What is the same for two names that a reader could take for one.

    Case, white space, punctuation and accents are left out, and letters of other scripts are replaced by the
    Latin ones that they look like. A mark between two digits stays: `1-12` is not `11-2`.

    >>> skeleton("U Hospital") == skeleton("U_Hospital."), skeleton("A-1") == skeleton("A-11")
    (True, False)
    """
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text))
    plain = "".join(
        character
        for character in decomposed
        if not _is_in(character, _LOOSE_MARKS) and not _is_unseen(character)
    )
    plain = _BETWEEN_DIGITS.sub(".", in_latin(plain))
    kept = "".join(
        character
        for place, character in enumerate(plain)
        if (character.isalnum() and not _is_punctuation_letter(character))
        or _is_vowel_sign(plain, place)
        or character in _TELLING
        or (character == "." and plain[place - 1 : place].isdigit() and plain[place + 1 :][:1].isdigit())
    ).translate(_ALIKE_IN_LATIN)
    for pair, one in _ALIKE_PAIRS:
        kept = kept.replace(pair, one)
    return kept
