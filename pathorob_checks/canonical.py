"""One JSON text and one digest for equal values, whatever their order in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def canonical_json(value: object) -> str:
    """The one JSON text of a JSON-like value: keys sorted, ASCII, no spaces, no NaN.

    Raises
    ------
    TypeError : a value is of another type than JSON's, or a mapping has a key that is not a string.
    ValueError : a number is NaN or infinite.
    """
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_of(value: object) -> str:
    """SHA-256 (hex) of `canonical_json(value)`; raises what that raises."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def plain(value: object) -> object:
    """Mappings as dicts and tuples as lists, so that equal values have equal JSON.

    Raises
    ------
    TypeError : a mapping has a key that is not a string ({1: ...} and {'1': ...} would collide), or a
        value is of another type than JSON's.
    """
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not a string")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"JSON cannot hold {value!r}")
