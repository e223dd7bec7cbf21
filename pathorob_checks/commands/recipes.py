"""The recipes as a table."""

from __future__ import annotations

import textwrap

from tabulate import tabulate

from pathorob_checks.errors import SpecError
from pathorob_checks.models.recipes import SOURCES, Recipe, recipes
from pathorob_checks.wording import nearest

_COMMIT = 12
_WIDTH = 78
_USES = {True: "yes", False: "no", None: "uncertain"}
_HEADERS = ("recipe", "pooling", "dim", "commit", "access", "commercial use")


def table(name: str | None = None) -> str:
    """All recipes in a few lines each, or one of them in full.

    Raises
    ------
    SpecError : there is no such recipe.
    """
    known = recipes()
    if name is None:
        rows = tabulate(map(_line, known.values()), _HEADERS, tablefmt="simple", disable_numparse=True)
        head, rule, *lines = rows.splitlines()
        below = [f"{line}\n{_below(recipe)}" for line, recipe in zip(lines, known.values(), strict=True)]
        return "\n".join([head, "  repository", "  license", rule, *below])
    if name not in known:
        near = nearest(name, known)
        remedy = f"did you mean {near}?" if near else "pathorob-checks recipes lists them"
        raise SpecError(f"there is no recipe {name}", remedy=remedy)
    return _in_full(known[name])


def _line(recipe: Recipe) -> tuple[str, ...]:
    """The cells of a recipe's first line."""
    return (
        recipe.name,
        recipe.pooling,
        f"{recipe.dimension:,}",
        recipe.revision[:_COMMIT] if recipe.revision else "not pinned",
        "gated" if recipe.gated else "open",
        _USES[recipe.commercial],
    )


def _below(recipe: Recipe) -> str:
    """The repository, whole, to be copied, the license, and what the model needs."""
    needs = [
        *([f"package {recipe.package}"] if recipe.package else []),
        *(["remote code"] if recipe.remote_code else []),
        *recipe.requirements,
    ]
    lines = [recipe.repo, recipe.license, *([f"needs {', '.join(needs)}"] if needs else [])]
    return "\n".join(f"  {line}" for line in lines)


def _in_full(recipe: Recipe) -> str:
    """Every field that has a value, then where the values come from and why these."""
    facts = recipe.model_dump(mode="json", exclude={"sources", "choices"})
    facts["commercial"] = _USES[recipe.commercial]
    theirs = "the package's" if recipe.package else "the repository's"
    steps = {key: theirs if value is None else value for key, value in facts["preprocessing"].items()}
    facts["preprocessing"] = steps
    written = {key: _written(value) for key, value in facts.items() if value not in (None, {}, [])}
    sources = recipe.sources.model_dump(exclude_none=True)
    written |= {f"source of {key}": SOURCES[source] for key, source in sources.items()}
    written |= {f"why this {key}": reason for key, reason in recipe.choices.items()}
    width = max(map(len, written)) + 2
    return "\n".join(_field(key, text, width) for key, text in written.items())


def _field(key: str, text: str, width: int) -> str:
    """A field and its value; what is too long and cannot be broken (a digest) begins on the next line."""
    if max(map(len, text.split()), default=0) > _WIDTH - width:
        return f"{key}\n  {text}"
    indent = " " * width
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=key.ljust(width),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _written(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_written(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_written, value)) if isinstance(value, list) else str(value)
