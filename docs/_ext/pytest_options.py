"""The directive `pytest-options`: each option of the plugin, from the plugin's own table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from described_options import described_option, sentence
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from table_nodes import code, inline, paragraph, section

from pathorob_checks.plugin.option import Option
from pathorob_checks.plugin.options import OPTIONS

GROUPS: Mapping[str, Callable[[Option], bool]] = {
    "What is measured": lambda option: option.is_setting and option.decides,
    "How it is run": lambda option: option.is_setting and not option.decides,
    "Reports": lambda option: option.is_report,
    "Evidence": lambda option: option.is_evidence,
    "History": lambda option: option.is_history,
}


class PytestOptions(SphinxDirective):
    """All options, by what they are about; `{option}` refers to each."""

    def run(self) -> list[nodes.Node]:
        """A section for each group."""
        return [
            section(title, nodes.make_id(title), *(self._described(one) for one in OPTIONS if belongs(one)))
            for title, belongs in GROUPS.items()
        ]

    def _described(self, option: Option) -> nodes.Node:
        value = "" if option.switch else f"={option.metavar}"
        shown = f"[{value}]" if option.bare is not None else value
        content = [paragraph(nodes.Text(sentence(option.help))), _written_elsewhere(option)]
        return described_option(self.env, option.flag, shown, content)


def _written_elsewhere(option: Option) -> nodes.paragraph:
    """Where else the option can be given."""
    parts: list[nodes.Node] = [nodes.Text("In a configuration file "), code(option.ini)]
    if option.environment:
        parts += [nodes.Text(", in the environment "), code(option.environment)]
    if option.repeatable:
        parts += inline("; may be repeated")
    return paragraph(*parts, nodes.Text("."))


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("pytest-options", PytestOptions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
