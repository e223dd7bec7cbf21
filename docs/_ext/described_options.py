"""An option as the reference shows it: its name, what it takes, and what it does."""

from __future__ import annotations

from collections.abc import Sequence

from docutils import nodes
from sphinx import addnodes
from sphinx.environment import BuildEnvironment


def sentence(text: str) -> str:
    """A help text as a sentence.

    >>> sentence("a folder")
    'A folder.'
    """
    return text[:1].upper() + text[1:].removesuffix(".") + "." if text else ""


def described_option(
    env: BuildEnvironment,
    name: str,
    value: str,
    content: Sequence[nodes.Node],
    program: str | None = None,
) -> nodes.Node:
    """An entry with an anchor, to which Sphinx' role `option` can refer."""
    anchor = nodes.make_id(f"{program or ''} option {name}")
    signature = addnodes.desc_signature(name + value, ids=[anchor])
    signature["_toc_parts"], signature["_toc_name"] = (name,), name if program is None else ""
    signature += addnodes.desc_name(name, name)
    signature += addnodes.desc_addname(value, value)
    env.domains.standard_domain.add_program_option(program, name, env.docname, anchor)
    inside = addnodes.desc_content()
    inside += content
    described = addnodes.desc(domain="std", objtype="option", desctype="option", classes=["std", "option"])
    described += [signature, inside]
    return described
