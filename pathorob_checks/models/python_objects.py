"""How Python keeps the state of its objects, and where it does not show it."""

from __future__ import annotations

import functools
import types
from typing import Any


def names_in(code: types.CodeType) -> set[str]:
    """Names of globals and attributes in a function and in the functions that it defines."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= names_in(constant)
    return names


def slots(kind: type) -> list[str]:
    """Slots of a class of Python's, under the names that they are read by."""
    slots: Any = vars(kind).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    hidden = kind.__name__.lstrip("_")
    return [
        f"_{hidden}{name}" if name.startswith("__") and not name.endswith("__") else name
        for name in names
        if name not in ("__dict__", "__weakref__")
    ]


@functools.cache
def has_hidden_state(kind: type) -> bool:
    """Whether objects are larger than their slots, dictionary and weak references: C code keeps the rest."""
    for base in kind.__mro__:
        parent = base.__base__
        if parent is None:
            continue
        seen = len(slots(base))
        for offset in ("__dictoffset__", "__weakrefoffset__"):
            seen += bool(getattr(base, offset)) and not getattr(parent, offset)
        if base.__basicsize__ - parent.__basicsize__ > 8 * seen:
            return True
    # An object of no class of Python's and without a dictionary shows nothing at all.
    return not kind.__dictoffset__ and not any("__slots__" in vars(base) for base in kind.__mro__)
