"""Commented criteria files to start from, each with a standard or regulation in mind."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files

from pathorob_checks.criteria.toml_text import KeyPath

STANDARDS = ("ai-act", "fda-pccp", "iso-24029")
TO_FILL_IN = "FILL IN"  # stands in every value of a template that has no answer


def template(standard: str) -> str:
    """The text of the file for one of `STANDARDS`: valid TOML, with `TO_FILL_IN` where the user decides."""
    return (files("pathorob_checks.criteria") / "templates" / f"{standard}.toml").read_text(encoding="utf-8")


def places_in(text: str) -> int:
    """How many places of a criteria file (TOML) are to be filled in: as many as `criteria check` names."""
    return sum(1 for _ in open_places(tomllib.loads(text)))


def open_places(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of each text in the content of a criteria file that nobody has filled in.

    >>> list(open_places({"name": "ours", "criteria": [{"owner": "FILL IN: who"}]}))
    [('criteria', 0, 'owner')]
    """
    if isinstance(value, str) and TO_FILL_IN in value:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        yield from open_places(inner, (*path, key))


def filled_in(texts: Sequence[str]) -> list[str]:
    """Those that are not a template's own, such as the requirements that somebody has stated."""
    return [text for text in texts if TO_FILL_IN not in text]
