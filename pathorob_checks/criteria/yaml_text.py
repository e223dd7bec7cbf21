"""YAML of criteria files: scalars, lists and mappings, and where each of them stands.

Anchors, aliases, merge keys and tags are refused: they let a short text stand for a huge one, a key replace
another unseen, and a value be of another type than it seems.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from pathorob_checks.wording import shortened

KeyPath = tuple[str | int, ...]

_DEEPEST = 16  # lists and mappings within each other; a criteria file has four
_LONGEST_NUMBER = 100  # characters
_MERGE = "<<"


class YamlTextError(Exception):
    """What is wrong with a text, and the line (from 1) on which it is; None where that is unknown."""

    def __init__(self, problem: str, line: int | None) -> None:
        super().__init__(problem)
        self.problem, self.line = problem, line


@dataclass
class YamlText:
    """The content of a text.

    Attributes
    ----------
    content : builtin types.
    lines : the line of each key and of each element of a list.
    repeated : keys that stand twice in one mapping, each with its second line.
    """

    content: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    repeated: list[tuple[str, int]] = field(default_factory=list)


def read_yaml(text: str) -> YamlText:
    """Read one document.

    Raises
    ------
    YamlTextError : the text is not YAML, or uses more of YAML than a criteria file may.
    """
    try:
        return _Reader(text).read()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise YamlTextError(str(problem), mark.line + 1 if mark else None) from None


class _Reader:
    """Builds the content from the events of PyYAML's parser, which itself builds nothing."""

    def __init__(self, text: str) -> None:
        self._loader: Any = yaml.SafeLoader(text)
        self._read = YamlText()

    def read(self) -> YamlText:
        """The only document of the stream."""
        next_event = self._loader.get_event
        next_event()  # the stream begins
        if isinstance(next_event(), yaml.StreamEndEvent):
            return self._read
        self._read.content = self._value(next_event(), ())
        next_event()  # the document ends
        if not isinstance(event := next_event(), yaml.StreamEndEvent):
            raise YamlTextError("there is a second document", _line(event))
        return self._read

    def _value(self, event: yaml.Event, path: KeyPath) -> Any:
        """What begins with an event."""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise YamlTextError("anchors (&) and aliases (*) are not allowed", _line(event))
        if getattr(event, "tag", None) is not None:
            raise YamlTextError("tags (!) are not allowed", _line(event))
        if len(path) > _DEEPEST:
            raise YamlTextError("lists or mappings are nested too deeply", _line(event))
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        return self._list(path) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(path)

    def _list(self, path: KeyPath) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := self._loader.get_event(), yaml.SequenceEndEvent):
            place = (*path, len(values))
            self._read.lines[place] = _line(event)
            values.append(self._value(event, place))
        return values

    def _mapping(self, path: KeyPath) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            line = _line(event)
            if isinstance(event, yaml.CollectionStartEvent):
                raise YamlTextError("a key is a list or a mapping", line)
            key = self._value(event, path)
            if key == _MERGE:
                raise YamlTextError("merge keys (<<) are not allowed", line)
            if key in values:
                self._read.repeated.append((str(key), line))
            place = (*path, key)
            self._read.lines.setdefault(place, line)
            values[key] = self._value(self._loader.get_event(), place)
        return values

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = tag.rpartition(":")[2]
        if kind not in _SCALARS:
            return event.value
        if len(event.value) > _LONGEST_NUMBER:
            raise YamlTextError(f"a number has {len(event.value):,} characters", _line(event))
        try:
            return _SCALARS[kind](self._loader, yaml.ScalarNode(tag, event.value))
        except (ValueError, OverflowError):
            raise YamlTextError(f"{shortened(event.value)} is no number or date", _line(event)) from None


_SCALARS: Mapping[str, Callable[[Any, yaml.ScalarNode], Any]] = {
    "null": yaml.SafeLoader.construct_yaml_null,
    "bool": yaml.SafeLoader.construct_yaml_bool,
    "int": yaml.SafeLoader.construct_yaml_int,
    "float": yaml.SafeLoader.construct_yaml_float,
    "timestamp": yaml.SafeLoader.construct_yaml_timestamp,
}


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark else 1
