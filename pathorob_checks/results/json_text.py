"""JSON of files that somebody may have changed: one meaning for every text, or none."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from pathorob_checks.wording import shortened

_DIGITS = 100  # of a number


def strict_json(content: str | bytes) -> Any:
    """The value of a JSON text.

    Raises
    ------
    ValueError : it is not JSON, names a key of one object twice, or has NaN, infinity or a number of too many
        digits.
    RecursionError : it is nested too deeply.
    """
    return json.loads(
        content,
        parse_constant=_refuse_constant,
        parse_int=_integer,
        object_pairs_hook=_unrepeated,
    )


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {shortened(repeated)} stands twice")
    return content


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a number has {len(text):,} digits")
    return int(text)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
