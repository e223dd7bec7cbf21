"""TOML of criteria files: its content, and the line on which each key stands, both in linear time."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

KeyPath = tuple[str | int, ...]

_DEEPEST = 4  # no key of a criteria file lies deeper
_PARTS = 32
# A key of many parts; `tomllib` takes time with the square of their number.
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-])(?:{_PART}[ \t]*+\.[ \t]*+){{{_PARTS}}}")
_LONG_NUMBER = re.compile(r"(?<!\w)[+-]?(?:0[xob])?[0-9a-fA-F_]{400}")
_TOKEN = re.compile(
    r"""
      \"{3}(?:[^\\]|\\.)*?\"{3}\"{0,2} | '{3}.*?'{3}'{0,2}
    | "(?:[^"\\\n]|\\.)*" | '[^'\n]*'
    | \#[^\n]*
    | (?P<open>[\[{]) | (?P<close>[\]}]) | (?P<end>\n)
    """,
    re.VERBOSE | re.DOTALL,
)


class TomlTextError(Exception):
    """What is wrong with a text, with the line where it is known."""


def read_toml(text: str) -> dict[str, Any]:
    """The content of a text.

    Raises
    ------
    TomlTextError : it is not TOML, or is nested too deeply.
    """
    if key := _LONG_KEY.search(text):
        raise TomlTextError(f"a key has more than {_PARTS} parts {_at(text, key)}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = str(error)
        raise TomlTextError(problem if len(problem) < 200 else f"{problem[:100]}...{problem[-60:]}") from None
    except ValueError:  # of `int`
        number = _LONG_NUMBER.search(text)
        where = f" {_at(text, number)}" if number else ""
        raise TomlTextError(f"a number has too many digits{where}") from None
    except RecursionError:
        raise TomlTextError("lists or tables are nested too deeply") from None


def toml_lines(text: str) -> dict[KeyPath, int]:
    """For each key of a valid text, the line on which the statement begins that first has it."""
    lines: dict[KeyPath, int] = {}
    last: dict[KeyPath, int] = {}  # of each array of tables, the number of its newest table
    table: KeyPath = ()
    for line, statement in _statements(text.replace("\r\n", "\n")):
        content = tomllib.loads(statement)
        if statement.startswith("["):
            table = _table(content, last, is_array=statement.startswith("[["))
            places = [table[:length] for length in range(1, len(table) + 1)]
        else:
            places = [(*table, *path) for path in _paths(content, ())]
        for place in places:
            lines.setdefault(place, line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Every header and every `key = value`, with the line on which it begins."""
    begin, depth, line = 0, 0, 1
    for token in _TOKEN.finditer(text + "\n"):
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if depth or token.lastgroup != "end":
            continue
        statement = text[begin : token.start()]
        content = statement.lstrip()
        if content and not content.startswith("#"):
            yield line, content
        line += statement.count("\n") + 1
        begin = token.end()


def _table(header: dict[str, Any], last: dict[KeyPath, int], *, is_array: bool) -> KeyPath:
    """The path of the table that a header begins."""
    path: KeyPath = ()
    inner: Any = header
    while inner:
        if path in last:
            path = (*path, last[path])
        key, inner = next(iter(inner.items()))
        path = (*path, key)
        inner = inner[0] if isinstance(inner, list) else inner
    if is_array:
        last[path] = last.get(path, -1) + 1
    return (*path, last[path]) if path in last else path


def _paths(value: object, path: KeyPath) -> Iterator[KeyPath]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        yield (*path, key)
        if len(path) < _DEEPEST:
            yield from _paths(inner, (*path, key))


def _at(text: str, place: re.Match[str]) -> str:
    return f"(at line {text.count(chr(10), 0, place.start()) + 1})"
