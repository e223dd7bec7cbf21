"""Nodes for what the reference shows: texts with `code` in them, tables, lists of definitions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from docutils import nodes

_NARROW = 4  # columns whose cells can stand below each other on a phone
_CODE = re.compile(r"(`+)(.+?)\1", re.S)


def inline(text: str) -> list[nodes.Node]:
    """A text of the package's docstrings and tables: what stands between backticks is code, all else is text.

    >>> [type(one).__name__ for one in inline("as in `Measurement`")]
    ['Text', 'literal']
    """
    children: list[nodes.Node] = []
    end = 0
    for match in _CODE.finditer(text):
        children.append(nodes.Text(text[end : match.start()]))
        children.append(code(match[2]))
        end = match.end()
    children.append(nodes.Text(text[end:]))
    return [one for one in children if one.astext()]


def code(text: str) -> nodes.literal:
    """A text as code."""
    return nodes.literal(text, text)


def paragraph(*parts: str | nodes.Node) -> nodes.paragraph:
    """A paragraph of texts and nodes."""
    made = nodes.paragraph()
    for part in parts:
        made += inline(part) if isinstance(part, str) else part
    return made


def link(text: str, anchor: str) -> nodes.reference:
    """A link to an anchor of the same page, its text as code."""
    made = nodes.reference("", "", internal=True, refid=anchor)
    made += code(text)
    return made


def table(headers: Sequence[str], rows: Iterable[Sequence[str | nodes.Node]]) -> nodes.table:
    """A table; a cell is a text or a node."""
    group = nodes.tgroup(cols=len(headers))
    group += [nodes.colspec(colwidth=1) for _ in headers]
    head, body = nodes.thead(), nodes.tbody()
    head += _row(headers)
    body += [_row(row) for row in rows]
    group += [head, body]
    width = "narrow-table" if len(headers) <= _NARROW else "wide-table"
    made = nodes.table(classes=["reference-table", width])
    made += group
    return made


def _row(cells: Sequence[str | nodes.Node]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        entry = nodes.entry()
        entry += cell if isinstance(cell, nodes.paragraph | nodes.bullet_list) else paragraph(cell)
        row += entry
    return row


def section(title: str, anchor: str, *content: nodes.Node) -> nodes.section:
    """A section with a heading and an anchor."""
    made = nodes.section(ids=[anchor], names=[nodes.fully_normalize_name(anchor)])
    heading = nodes.title()
    heading += inline(title)
    made += [heading, *content]
    return made
