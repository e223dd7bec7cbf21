"""The recipes as a table."""

from __future__ import annotations

import textwrap

from tabulate import tabulate

from pathorob_checks.errors import SpecError
from pathorob_checks.models.recipes import Recipe, recipes
from pathorob_checks.wording import nearest


def table(name: str | None = None) -> str:
    """All recipes in two lines each, or one of them in full.

    Raises
    ------
    SpecError : there is no such recipe.
    """
    known = recipes()
    if name is None:
        headers = ("recipe", "pooling", "dim", "access", "license")
        rows = tabulate(map(_line, known.values()), headers, tablefmt="simple", disable_numparse=True)
        head, rule, *lines = rows.splitlines()
        below = [f"{line}\n{_below(recipe)}" for line, recipe in zip(lines, known.values(), strict=True)]
        return "\n".join([head, "  repository", rule, *below])
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else "pathorob-checks recipes lists them"
        raise SpecError(f"there is no recipe {name}", remedy=hint.removesuffix("?"))
    facts = known[name].model_dump(mode="json", exclude_none=True)
    written = [
        (key, textwrap.fill(_written(value), 58, break_long_words=False, break_on_hyphens=False))
        for key, value in facts.items()
        if value not in ({}, [])
    ]
    return tabulate(written, tablefmt="plain", disable_numparse=True)


def _line(recipe: Recipe) -> tuple[str, ...]:
    """The cells of a recipe's first line."""
    access = "gated" if recipe.gated else "open"
    return (recipe.name, recipe.pooling, str(recipe.dimension), access, recipe.license)


def _below(recipe: Recipe) -> str:
    """The repository, whole, to be copied, and what the model needs."""
    needs = f"package {recipe.package}" if recipe.package else "remote code" if recipe.remote_code else ""
    return f"  {recipe.repo}" + (f"\n  needs {needs}" if needs else "")


def _written(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_written(item)}" for key, item in value.items())
    return ", ".join(map(_written, value)) if isinstance(value, list) else str(value)
