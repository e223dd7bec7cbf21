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
    # Letters of phonetic writing, other Latin ones, Lisu
    ("ɑɩƖɪǀꓲꓮꓐꓚꓓꓰꓕ", "aiIIllABCDET"),
    ("ðþÞŋŊĸ", "dpPnNk"),
    # Hebrew, Arabic, Hangul, Chinese, Malayalam, Burmese, Ethiopic
    ("וסاهᅵᄋ〇ഠဝሀ", "lololooooU"),
    # Arabic letters that are one in some of its languages
    ("یىېےکہھەۂۀةۃ", "ييييكooooooo"),
    # Katakana and the Chinese characters that they look like
    ("カロニエハトタチーミオヒムセリ", "力口二工八卜夕千一三才匕厶七刂"),
    # Small Katakana
    ("ァィゥェォッャュョヮヵヶ", "アイウエオツヤユヨワカケ"),
    # Hiragana, which writes the same words as Katakana
    ("".join(map(chr, range(0x3041, 0x3097))), "".join(map(chr, range(0x30A1, 0x30F7)))),
)


def _table() -> dict[int, str]:
    """Each letter's replacement; a replacement that has one itself, in a row above, is replaced too."""
    table: dict[int, str] = {}
    for letters, others in _LATIN_OF_LETTERS:
        for letter, other in zip(letters, others, strict=True):
            table[ord(letter)] = table.get(ord(other), other)
    return table


_LATIN_OF = _table()
_SPECIAL_FORM = re.compile("LETTER (?:DOTLESS|SCRIPT|INSULAR|BLACKLETTER|LONG|FINAL) ")
_FRAMED = re.compile("^(?:NEGATIVE |CROSSED )*(?:SQUARED|CIRCLED) |^REGIONAL INDICATOR SYMBOL ")
# Letters that are drawn as an apostrophe, an exclamation mark or a question mark.
_PUNCTUATION_LETTERS = frozenset("\u01c3\u0294\u0241\ua78b\ua78c")
# In these scripts marks on a letter are accents, or vowels that are mostly not written.
_MARKS_ARE_OPTIONAL = frozenset(
    {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE", "HEBREW", "ARABIC", "SYRIAC"}
)
# Scripts that names are written in today (the recommended ones of Unicode's annex 31), by the first word of
# the names of their letters. Of others, hardly anybody sees which letters are alike, or Latin ones.
_SCRIPTS_IN_USE = frozenset(
    (
        *("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "HEBREW", "ARABIC", "THAANA", "ETHIOPIC"),
        *("DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA"),
        *("MALAYALAM", "SINHALA", "THAI", "LAO", "TIBETAN", "MYANMAR", "KHMER"),
        *("CJK", "IDEOGRAPHIC", "BOPOMOFO", "HIRAGANA", "KATAKANA", "HANGUL"),
    )
)
_RARE_LETTERS = ("GEORGIAN SMALL ", "GEORGIAN CAPITAL ", "CJK RADICAL ", "CJK STROKE ")
_MICRO = re.compile("(?<![^\\W_])[0-9.,]*\u03bc(?=[glmLM]\\b)")  # of a unit: \u03bcm

_ZERO_AND_O = str.maketrans("0", "o")
# As upper and lower case are drawn: an I is an l. An L is not, so it stays one, under a letter of its own.
_AS_DRAWN = str.maketrans("I1|L", "lll\u029f")
# As a keyboard without these letters has them.
_WRITTEN_OUT = str.maketrans(
    {"ä": "ae", "æ": "ae", "ö": "oe", "ø": "oe", "œ": "oe", "ü": "ue", "å": "aa", "þ": "th", "&": "and"}
)
_SYMBOLS = str.maketrans({**dict(zip("|!$€£¢©@×∪∨∫∈∀➕", "llSELccaxUvSEA+", strict=True)), "‖": "ll"})
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
_ALIKE_PAIRS = (("rn", "m"), ("vv", "w"), ("เเ", "แ"))
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
    """The first word with letters of scripts that no language writes together; units may have a micro."""
    letters = "".join(character for character in text if not _is_in(character, _LOOSE_MARKS))
    letters = _MICRO.sub("", letters)
    for word in re.findall(r"[^\W\d_]+", letters):
        scripts = {_script(letter) for letter in word} - {""}
        if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
            return str(word)
    return None


def rare_letters(text: str) -> list[str]:
    """Letters of scripts that hardly any name is written in."""
    return [character for character in text if _is_rare(character)]


def _is_rare(character: str) -> bool:
    name = unicodedata.name(character, "")
    if name.startswith(_RARE_LETTERS):
        return True
    return character.isalpha() and (_script(character) or "LATIN") not in _SCRIPTS_IN_USE


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
    return _lowered(_replaced(text))


def _replaced(text: str) -> str:
    plain = text if text.isascii() else "".join(map(_without_addition, text))
    return plain.translate(_LATIN_OF)


def _lowered(text: str) -> str:
    return text.casefold().translate(_LATIN_OF).casefold()


@cache
def _without_addition(letter: str) -> str:
    """A letter without the stroke, hook or frame that its name in Unicode has; digits of scripts as ASCII."""
    if (digit := unicodedata.decimal(letter, None)) is not None:
        return str(digit)
    name = unicodedata.name(letter, "").partition(" WITH ")[0]
    name = name.replace("CAPITAL LETTER SMALL", "LETTER SMALL").replace(
        "LETTER SMALL CAPITAL ", "CAPITAL LETTER "
    )
    name = _SPECIAL_FORM.sub("LETTER ", name)
    name = _FRAMED.sub("LATIN CAPITAL " if name.startswith("REGIONAL") else "", name)
    try:
        return unicodedata.lookup(name)
    except KeyError:
        return letter


def _is_vowel_sign(text: str, place: int) -> bool:
    """Whether a character is a mark on a letter of a script that writes such marks as part of its words."""
    if place and text[place] == text[place - 1]:  # drawn over itself
        return False
    while unicodedata.category(text[place])[0] == "M" and place:
        place -= 1
        if text[place].isalpha():
            return _script(text[place]) not in _MARKS_ARE_OPTIONAL
    return False


def _is_punctuation_letter(character: str) -> bool:
    """Whether a letter is drawn as an apostrophe, a dash or a stroke: those of no script, and the tatweel."""
    return character in _PUNCTUATION_LETTERS or (
        unicodedata.category(character) == "Lm"
        and (character == "\u0640" or unicodedata.name(character, "").startswith("MODIFIER"))
    )


def readings(text: str) -> frozenset[str]:
    """What a reader may take a name for: two names are alike if they have one of these in common.

    Upper and lower case are one in the first, letters that are drawn alike (`I`, `l`, `1`) in the second. The
    others are of a name with its umlauts written out, numbers without leading zeros, symbols as letters.

    >>> readings("A1") & readings("Al") != set(), readings("AI") & readings("AL")
    (True, frozenset())
    """
    plain = unicodedata.normalize("NFKC", text)
    written = (
        plain,
        plain.casefold().translate(_WRITTEN_OUT),
        _LEADING_ZEROS.sub("", plain if plain.isascii() else "".join(map(_without_addition, plain))),
        plain.translate(_SYMBOLS),
    )
    drawn = "drawn " + _skeleton(plain, as_drawn=True)  # compared with readings of its kind only
    return frozenset({*map(skeleton, written), drawn})


def skeleton(text: str) -> str:
    """What is the same for two names that differ only in how they are written.

    Case, white space, punctuation and accents are left out, and letters of other scripts are replaced by the
    Latin ones that they look like. A mark between two digits stays: `1-12` is not `11-2`.

    >>> skeleton("U Hospital") == skeleton("U_Hospital."), skeleton("A-1") == skeleton("A-11")
    (True, False)
    """
    return _skeleton(text, as_drawn=False)


def _skeleton(text: str, *, as_drawn: bool) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text))
    plain = "".join(
        character
        for character in decomposed
        if not _is_in(character, _LOOSE_MARKS) and not _is_unseen(character)
    )
    plain = _BETWEEN_DIGITS.sub(".", _replaced(plain))
    kept = "".join(
        character
        for place, character in enumerate(plain)
        if (character.isalnum() and not _is_punctuation_letter(character))
        or _is_vowel_sign(plain, place)
        or character in _TELLING
        or (character == "." and plain[place - 1 : place].isdigit() and plain[place + 1 :][:1].isdigit())
    )
    kept = _lowered(kept.translate(_AS_DRAWN) if as_drawn else kept).translate(_ZERO_AND_O)
    for pair, one in _ALIKE_PAIRS:
        kept = kept.replace(pair, one)
    return kept
