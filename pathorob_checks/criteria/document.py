"""A criteria file as read: its content, and the line on which each key stands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from pathorob_checks.criteria.toml_text import KeyPath, TomlTextError, read_toml, toml_lines
from pathorob_checks.criteria.yaml_text import YamlTextError, read_yaml
from pathorob_checks.errors import CriteriaError
from pathorob_checks.files import expanded, read_limited, shown
from pathorob_checks.nearby import named_like
from pathorob_checks.wording import hint, shortened

BUILT_IN = ("floor", "median", "frontier", "release", "full")
TOML, YAML = (".toml",), (".yaml", ".yml")
LARGEST = 1_000_000  # bytes


@dataclass(frozen=True)
class Document:
    """A TOML or YAML text and its content.

    Attributes
    ----------
    name : the file as the user named it.
    is_built_in : whether it is a profile of this package.
    is_yaml : whether it is YAML, else TOML.
    repeated : the keys that YAML would silently overwrite, each with its line.
    yaml_lines : where the keys of a YAML text stand.
    """

    name: str
    text: str
    content: dict[str, Any]
    is_built_in: bool = False
    is_yaml: bool = False
    repeated: tuple[tuple[str, int], ...] = ()
    yaml_lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """The line (from 1) of a key, or of the nearest thing around it that is there."""
        lines = (self._lines.get(path[:length]) for length in range(len(path), 0, -1))
        return next((line for line in lines if line is not None), 1)

    @cached_property
    def _lines(self) -> Mapping[KeyPath, int]:
        return self.yaml_lines if self.is_yaml else toml_lines(self.text)


def is_built_in(name_or_path: str | Path) -> bool:
    """Whether it names a profile of this package; a path object is always a file."""
    return isinstance(name_or_path, str) and name_or_path in BUILT_IN


def read(name_or_path: str | Path) -> Document:
    """Read a built-in profile by its name, else a file by its path.

    Raises
    ------
    CriteriaError : neither exists, both do, or the text is neither TOML nor YAML.
    """
    name, path = str(name_or_path), Path(name_or_path)
    if is_built_in(name_or_path):
        if path.is_file():
            raise CriteriaError(
                f"{name} is both a profile of this package and a file in this folder",
                remedy=f"write ./{name} for the file, or rename it for the profile",
            )
        text = (files("pathorob_checks.criteria") / "profiles" / f"{name}.toml").read_text(encoding="utf-8")
        return _toml(f"profile {name}", text, is_built_in=True)
    is_path = path.suffix in TOML + YAML or os.sep in name or isinstance(name_or_path, Path)
    if not is_path and not os.path.exists(path):  # noqa: PTH110 (`Path.exists` raises for a long name)
        remedy = hint(name, BUILT_IN, "use one of {known} or the path of a criteria file")
        raise CriteriaError(
            f"there is no file and no profile {shortened(name)}",
            remedy=_nearby(path) or remedy,
        )
    try:
        # Editors on Windows put a byte order mark in front, which TOML does not know.
        text = read_limited(expanded(path), LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CriteriaError(
            f"the criteria file {name} is not UTF-8 text", remedy="save it as UTF-8"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        remedy = f"give the path of a TOML or YAML file or one of {', '.join(BUILT_IN)}"
        raise CriteriaError(
            f"the criteria file {name} cannot be read ({reason})",
            remedy=_nearby(path) or remedy,
        ) from None
    return _yaml(name, text) if path.suffix in YAML else _toml(name, text)


def _nearby(path: Path) -> str | None:
    """The remedy where a profile or a criteria file beside a path is probably meant."""
    if path.suffix in TOML + YAML and path.stem in BUILT_IN and not os.path.lexists(path):
        return f"did you mean the profile {path.stem}?"
    file = named_like(expanded(path), lambda entry: Path(entry.name).suffix in TOML + YAML)
    return None if file is None or os.path.lexists(path) else f"did you mean {shown(file)}?"


def _toml(name: str, text: str, *, is_built_in: bool = False) -> Document:
    try:
        return Document(name, text, read_toml(text), is_built_in=is_built_in)
    except TomlTextError as error:
        raise CriteriaError(f"{name} is not valid TOML: {error}", remedy="fix that line") from None


def _yaml(name: str, text: str) -> Document:
    try:
        whole = read_yaml(text)
    except YamlTextError as error:
        where = f" (at line {error.line})" if error.line else ""
        raise CriteriaError(
            f"{name} is not valid YAML: {error.problem}{where}", remedy="fix that line"
        ) from None
    if not isinstance(whole.content, dict):
        raise CriteriaError(f"{name} holds no keys", remedy="write them as docs/criteria.md shows")
    return Document(
        name, text, whole.content, is_yaml=True, repeated=tuple(whole.repeated), yaml_lines=whole.lines
    )
