"""The recipes as a table."""

from __future__ import annotations

import difflib
import textwrap

from tabulate import tabulate

from pathorob_checks.errors import SpecError
from pathorob_checks.models.recipes import Recipe, recipes


def table(name: str | None = None) -> str:
    """All recipes in a line each, or one of them in full.

    Raises
    ------
    SpecError : there is no such recipe.
    """
    known = recipes()
    if name is None:
        rows = [[textwrap.fill(cell, width) for cell, width in _line(recipe)] for recipe in known.values()]
        headers = ("recipe", "repository", "pooling", "dim", "access", "license")
        return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "pathorob-checks recipes lists them"
        raise SpecError(f"there is no recipe {name}", remedy=hint.removesuffix("?"))
    facts = known[name].model_dump(mode="json", exclude_none=True)
    lines = [
        (key, textwrap.fill(_written(value), 58)) for key, value in facts.items() if value not in ({}, [])
    ]
    return tabulate(lines, tablefmt="plain", disable_numparse=True)


def _line(recipe: Recipe) -> list[tuple[str, int]]:
    """The cells of a recipe and the width that each may take of 80 columns."""
    needs = f"package {recipe.package}" if recipe.package else "remote code" if recipe.remote_code else ""
    access = ", ".join(filter(None, ("gated" if recipe.gated else "open", needs)))
    return [
        (recipe.name, 15),
        (recipe.repo, 19),
        (recipe.pooling, 7),
        (str(recipe.dimension), 4),
        (access, 8),
        (recipe.license, 15),
    ]


def _written(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_written(item)}" for key, item in value.items())
    return ", ".join(map(_written, value)) if isinstance(value, list) else str(value)
