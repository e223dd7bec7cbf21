"""Small pieces of text that many messages share: counts, percentages, hints and printable names."""

from __future__ import annotations

import difflib
import reprlib
import unicodedata
from collections.abc import Iterable

_NAMED = 3
_LONGEST_NAME = 200  # comparing names takes time with the product of their lengths
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: `1 slide`, `2 slides`, `1,200 patches`.

    >>> counted(1, "slide"), counted(1200, "patch", "patches")
    ('1 slide', '1,200 patches')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def named(names: Iterable[str], one: str = "patch", many: str = "patches") -> str:
    """How many there are, with at most three names.

    >>> named(["a", "b"]), named("abcd", "slide", "slides")
    ("2 patches ('a', 'b')", "4 slides ('a', 'b', 'c', ...)")
    """
    names = list(names)
    more = ", ..." if len(names) > _NAMED else ""
    return f"{counted(len(names), one, many)} ({quoted(names[:_NAMED])}{more})"


def quoted(names: Iterable[str]) -> str:
    """Names in quotes.

    >>> quoted(["a", "b"])
    "'a', 'b'"
    """
    return ", ".join(f"'{name}'" for name in names)


def percent(share: float) -> str:
    """A share as per cent with all of its decimals.

    >>> percent(0.95), percent(0.995)
    ('95 %', '99.5 %')
    """
    return f"{100 * share:.6g} %"


def rounded_percent(share: float) -> str:
    """Per cent with few decimals, but 0, 50 and 100 only for shares that are exactly that.

    >>> rounded_percent(0.4996), rounded_percent(0.123), rounded_percent(0.0996)
    ('49.96 %', '12 %', '10 %')
    """
    value = 100 * share
    fewest = 0 if round(abs(value), 1) >= 10 or value == round(value) else 1
    for digits in range(fewest, 4):
        text = f"{value:.{digits}f}"
        if float(text) not in (0, 50, 100) or float(text) == value:
            return f"{text} %"
    return f"{value:.4g} %"


def shortened(value: object) -> str:
    """A value of the user's as Python writes it, cut where it is long."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no integer of thousands of digits
        return "a number of too many digits"


def brief(text: str, most: int = 200) -> str:
    """`text`, cut where it is long.

    >>> brief("a" * 300, most=4)
    'aaaa...'
    """
    return text if len(text) <= most else text[:most] + "..."


def ends(text: str, width: int) -> str:
    """`text` without its middle where it is wider; more is kept of its end, where names differ.

    >>> ends("hf-hub:org/model", width=12)
    'hf-.../model'
    """
    if len(text) <= width:
        return text
    before = (width - 3) // 3
    return f"{text[:before]}...{text[before + 3 - width :]}"


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that another one is probably a misspelling of, without regard to case.

    >>> nearest("Flor", ["floor", "median"]), nearest("x", ["floor"])
    ('floor', None)
    """
    by_plain: dict[str, str] = {}
    for one in known:
        by_plain.setdefault(one.casefold(), one)
    near = difflib.get_close_matches(name.strip().casefold()[:_LONGEST_NAME], by_plain, n=1, cutoff=cutoff)
    return by_plain[near[0]] if near else None


def hint(value: object, known: Iterable[str], sentence: str) -> str:
    """`sentence` with the known names in place of `{known}`, after the nearest name if one is near.

    >>> hint("flor", ["floor", "median"], "use one of {known}")
    "did you mean 'floor'? Use one of floor, median"
    """
    names = tuple(known)
    name = value if isinstance(value, str) else shortened(value)
    near = nearest(name, names)
    text = sentence.format(known=", ".join(names))
    return f"did you mean {near!r}? {text[0].upper()}{text[1:]}" if near else text


def printable(text: str) -> str:
    """`text` on one line and without anything that steers a terminal.

    Names come from files and model repositories: an escape sequence in one must not repaint the table and
    a direction mark must not reverse it. Line breaks become blanks; Unicode's other control, format,
    surrogate and private characters become a backslash escape.

    >>> printable("center\\x1b[31m A")
    'center\\\\x1b[31m A'
    """
    return "".join(map(_printable, text))


def printable_lines(text: str) -> str:
    """`text` with its line breaks, each line `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def _printable(char: str) -> str:
    if char in "\t\n\r":
        return " "
    return _escaped(char) if unicodedata.category(char) in _UNPRINTABLE else char


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
