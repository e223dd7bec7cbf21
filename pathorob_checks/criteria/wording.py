"""Words that several messages about criteria files share."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shown(value: object) -> str:
    """A value of the user's as Python writes it, cut where it is long."""
    return _SHORT.repr(value)


def hint(value: str, known: Iterable[str], sentence: str) -> str:
    """`sentence` with the known values, after the nearest of them if one is near."""
    names = tuple(known)
    near = difflib.get_close_matches(value, names, n=1)
    text = sentence.format(known=", ".join(names))
    return f"did you mean {near[0]!r}? {text[0].upper()}{text[1:]}" if near else text
