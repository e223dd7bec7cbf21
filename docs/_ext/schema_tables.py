"""The directive `schema-tables`: a JSON Schema as tables, one for each kind of object.

Its argument is a function, as `module:function`, that returns the schema. The meaning of a field is what the
model's docstring says under Attributes, which pydantic puts into the schema's descriptions.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any, ClassVar

from docutils import nodes
from numpydoc.docscrape import NumpyDocString
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from table_nodes import code, inline, link, paragraph, section, table

Schema = Mapping[str, Any]
_NAMES = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false"}


def described(schema: Schema) -> tuple[str, dict[str, str]]:
    """The summary of an object of a schema, and the meaning of each of its fields."""
    documented = NumpyDocString(textwrap.dedent(schema.get("description", "")))
    summary = " ".join(documented["Summary"] + documented["Extended Summary"])
    meanings: dict[str, str] = {}
    for names, kind, lines in documented["Attributes"]:
        # Where no type is written, the meaning stands in its place and may go on below.
        typed = bool(lines) and lines[0][:1].isupper()
        text = " ".join(lines if typed else [kind, *lines])
        meanings |= dict.fromkeys(names.split(", "), text[:1].upper() + text[1:])
    return summary, meanings


class SchemaTables(SphinxDirective):
    """A section with a table for each object of the schema; the whole comes first."""

    required_arguments = 1
    option_spec: ClassVar = {"prefix": str}

    def run(self) -> list[nodes.Node]:
        """The sections."""
        schema: Schema = resolve_name(self.arguments[0])()
        self.prefix = self.options.get("prefix", "object")
        objects = {schema["title"]: schema, **schema.get("$defs", {})}
        return [self._section(name, one) for name, one in objects.items() if "title" in one]

    def anchor(self, name: str) -> str:
        """Where the table of an object stands."""
        return f"{self.prefix}-{name.lower()}"

    def _section(self, name: str, schema: Schema) -> nodes.section:
        summary, meanings = described(schema)
        content = [paragraph(summary)] if summary else []
        if "enum" in schema:
            content.append(paragraph("One of ", *_separated([code(one) for one in schema["enum"]]), "."))
        else:
            required = schema.get("required", ())
            rows = [
                (
                    code(field),
                    paragraph(*inline(meanings.get(field, ""))),
                    paragraph(*self._type(facts), *([] if field in required else _default(facts))),
                )
                for field, facts in schema.get("properties", {}).items()
            ]
            content.append(table(("Field", "Meaning", "Type"), rows))
        return section(name, self.anchor(name), *content)

    def _type(self, facts: Schema) -> list[nodes.Node]:
        """What a field may hold, with links to the tables of other objects."""
        if "$ref" in facts:
            name = facts["$ref"].rpartition("/")[2]
            return [nodes.Text("any JSON")] if name == "JsonValue" else [link(name, self.anchor(name))]
        if "anyOf" in facts:
            kinds = [self._type(one) for one in facts["anyOf"] if one.get("type") != "null"]
            null = [[code("null")]] if any(one.get("type") == "null" for one in facts["anyOf"]) else []
            return _separated_lists([*kinds, *null])
        if "const" in facts:
            return [code(_json(facts["const"]))]
        if "enum" in facts:
            return _separated([code(_json(one)) for one in facts["enum"]])
        if facts.get("type") == "array":
            if "prefixItems" in facts:
                inside = [self._type(one) for one in facts["prefixItems"]]
                return [nodes.Text("list of ("), *_separated_lists(inside, ", "), nodes.Text(")")]
            return [nodes.Text("list of "), *self._type(facts.get("items", {}))]
        if facts.get("type") == "object":
            values = facts.get("additionalProperties")
            inside = self._type(values) if isinstance(values, dict) else [nodes.Text("any JSON")]
            return [nodes.Text("object, each value "), *inside]
        return [nodes.Text(_NAMES.get(facts.get("type", ""), "any JSON"))]


def _default(facts: Schema) -> list[nodes.Node]:
    """What a field is where it is left out; a constant is never anything else."""
    if "default" not in facts or "const" in facts:
        return []
    return [nodes.Text("; default "), code(_json(facts["default"]))]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _separated(parts: list[nodes.Node], by: str = " or ") -> list[nodes.Node]:
    return _separated_lists([[part] for part in parts], by)


def _separated_lists(parts: list[list[nodes.Node]], by: str = " or ") -> list[nodes.Node]:
    joined: list[nodes.Node] = []
    for part in parts:
        joined += [nodes.Text(by)] if joined else []
        joined += part
    return joined


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("schema-tables", SchemaTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
