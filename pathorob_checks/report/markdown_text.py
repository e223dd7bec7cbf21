"""Text of others as Markdown that stays text, in GitHub's and in GitLab's dialect.

Names and sentences come from files, model repositories and tables. What is more than plain words and numbers
goes into code, in which neither dialect knows links, HTML, emphasis or references to people and issues.
"""

from __future__ import annotations

import re
from html import escape

from pathorob_checks.wording import printable

_LONGEST = 200  # a longer name is cut in its middle
_PIPE = "&#124;"  # a pipe ends a table's cell even in code
_EMPTY = "(empty)"
# `word`, `in-domain`, `Holm's`; `0.310`, `1,200`, `-1.000`; not `www.org`, `GH-12` or `a_b`.
_WORD = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*|-?\d[\d,]*(?:\.\d+)?")
_SIGNS = re.compile(r"[<>=+-]+|[%/]|\.\.\.")
_TOKEN = re.compile(r"(?P<opening>[(\['\"]*)(?P<core>.*?)(?P<closing>[)\]'\".,;:%!?]*)")
_OPENS = {"]": "[", ")": "("}
_STEERING = re.compile(r"([\[\]<>=+-])")
_ENUMERATED = re.compile(r"^(\d+)([.)])(?=\s|$)")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def code(text: str) -> str:
    """A name as code, on one line, whatever is in it.

    >>> code("org/model"), code("a|b"), code("`")
    ('`org/model`', '`a`&#124;`b`', '`` ` ``')
    """
    shown = _cut(" ".join(printable(text).split()))
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    return _PIPE.join(_fenced(part, fence) for part in shown.split("|")) or _EMPTY


def prose(text: str) -> str:
    """A sentence as text, on one line; names in it that are more than words become code.

    >>> print(prose("the index of org/model is 0.310, see @all [0.1, 0.2]"))
    the index of `org/model` is 0.310, see `@all` \\[0.1, 0.2\\]
    """
    words = " ".join(map(_word, printable(text).split()))
    return _ENUMERATED.sub(r"\1\\\2", words)  # no list


def html_code(text: str) -> str:
    """A name as code where Markdown is not read: between HTML tags.

    >>> html_code("<b>")
    '<code>&lt;b&gt;</code>'
    """
    return f"<code>{escape(_cut(' '.join(printable(text).split()))) or _EMPTY}</code>"


def code_block(text: str, language: str) -> str:
    """A line of a program, with a button to copy it."""
    shown = printable(text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}"


def table(headers: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table; cells are Markdown already."""
    return [f"| {' | '.join(cells)} |" for cells in (headers, ["---"] * len(headers), *rows)]


def _fenced(text: str, fence: str) -> str:
    if not text:
        return ""
    # A blank at each end is no part of the code; without, a backtick in it would be one of the fence.
    padding = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def _word(token: str) -> str:
    if _SIGNS.fullmatch(token):
        return _STEERING.sub(r"\\\1", token)
    match = _TOKEN.fullmatch(token)
    assert match is not None  # noqa: S101 (every part of the pattern may be empty)
    opening, core, closing = match.group("opening", "core", "closing")
    if closing and core.count(_OPENS.get(closing[0], closing[0])) > core.count(closing[0]):
        core, closing = core + closing[0], closing[1:]  # the end of `test_x[fm-cohort]` is a part of the name
    is_plain = not core or (_WORD.fullmatch(core) and not (_COMMIT.fullmatch(core) and not core.isalpha()))
    middle = core if is_plain else code(core)
    return _STEERING.sub(r"\\\1", opening) + middle + _STEERING.sub(r"\\\1", closing)


def _cut(text: str) -> str:
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}...{text[-half:]}"
