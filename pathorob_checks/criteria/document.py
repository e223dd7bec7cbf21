"""A criteria file as read: its content, and the line on which each key stands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from pathorob_checks.errors import CriteriaError
from pathorob_checks.wording import hint

BUILT_IN = ("floor", "median", "frontier", "release")
TOML, YAML = (".toml",), (".yaml", ".yml")
KeyPath = tuple[str | int, ...]

_DEEPEST = 4  # no key of a criteria file lies deeper, and a YAML alias may hold itself


@dataclass(frozen=True)
class Document:
    """A TOML or YAML text and its content.

    `name` is the file as the user named it; `repeated` are the keys that YAML would silently overwrite, each
    with its line.
    """

    name: str
    text: str
    content: dict[str, Any]
    is_yaml: bool = False
    repeated: tuple[tuple[str, int], ...] = ()

    def line(self, path: KeyPath) -> int:
        """The line (from 1) of a key, or of the nearest thing around it that is there."""
        lines = (self._lines.get(path[:length]) for length in range(len(path), 0, -1))
        return next((line for line in lines if line is not None), 1)

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return dict(_yaml_lines(_composed(self.text), ())) if self.is_yaml else _toml_lines(self.text)


def read(name_or_path: str | Path) -> Document:
    """Read a built-in profile by its name, else a file by its path.

    Raises
    ------
    CriteriaError : neither exists, or the text is neither TOML nor YAML.
    """
    name = str(name_or_path)
    if name in BUILT_IN:
        text = (files("pathorob_checks.criteria") / "profiles" / f"{name}.toml").read_text(encoding="utf-8")
        return _toml(f"profile {name}", text)
    path = Path(name)
    is_path = path.suffix in TOML + YAML or len(path.parts) > 1 or isinstance(name_or_path, Path)
    if not is_path and not path.exists():
        raise CriteriaError(
            f"profile {name!r} is unknown",
            remedy=hint(name, BUILT_IN, "use one of {known} or the path of a criteria file"),
        )
    try:
        # Editors on Windows put a byte order mark in front, which TOML does not know.
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CriteriaError(
            f"the criteria file {name} is not UTF-8 text", remedy="save it as UTF-8"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CriteriaError(
            f"the criteria file {name} cannot be read ({reason})",
            remedy=f"give the path of a TOML or YAML file or one of {', '.join(BUILT_IN)}",
        ) from None
    return _yaml(name, text) if path.suffix in YAML else _toml(name, text)


def _toml(name: str, text: str) -> Document:
    try:
        return Document(name, text, tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CriteriaError(f"{name} is not valid TOML: {error}", remedy="fix that line") from None


def _toml_lines(text: str) -> dict[KeyPath, int]:
    """For each key, the line on which the statement begins that first has it.

    A text that is cut inside a statement is not valid TOML, so every valid beginning ends with a whole one.
    """
    lines, first_line, begin = text.splitlines(keepends=True), dict[KeyPath, int](), 1
    for number in range(1, len(lines) + 1):
        try:
            content = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        for path in _paths(content, ()):
            first_line.setdefault(path, begin)
        begin = number + 1
    return first_line


def _paths(value: object, path: KeyPath) -> Iterator[KeyPath]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        yield (*path, key)
        yield from _paths(inner, (*path, key))


def _yaml(name: str, text: str) -> Document:
    try:
        content = yaml.safe_load(text)
        repeated = tuple(_repeated(_composed(text), set()))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (at line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise CriteriaError(f"{name} is not valid YAML: {problem}{where}", remedy="fix that line") from None
    if not isinstance(content, dict):
        raise CriteriaError(f"{name} holds no keys", remedy="write them as docs/criteria.md shows")
    return Document(name, text, content, is_yaml=True, repeated=repeated)


def _composed(text: str) -> yaml.Node | None:
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _children(node: yaml.Node | None) -> list[tuple[Any, yaml.Node, yaml.Node]]:
    """What a node holds: key or number, the node where that stands, the node of the value."""
    if isinstance(node, yaml.MappingNode):
        return [(key.value, key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
    if isinstance(node, yaml.SequenceNode):
        return [(number, value, value) for number, value in enumerate(node.value)]
    return []


def _yaml_lines(node: yaml.Node | None, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    for key, place, value in _children(node):
        yield (*path, key), place.start_mark.line + 1
        if len(path) < _DEEPEST:
            yield from _yaml_lines(value, (*path, key))


def _repeated(node: yaml.Node | None, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Keys that stand twice in one mapping."""
    if id(node) in seen:
        return
    seen.add(id(node))
    keys = set()
    for key, place, value in _children(node):
        if key in keys:
            yield str(key), place.start_mark.line + 1
        keys.add(key)
        yield from _repeated(value, seen)
