"""The directive `command-line`: each command, from the parser of the command line itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pkgutil import resolve_name

from described_options import described_option, sentence
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from table_nodes import paragraph, section

_WIDTH = 88


class CommandLine(SphinxDirective):
    """A section for each command; the argument names the function that makes the parser."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The commands in the order of the help."""
        parser: argparse.ArgumentParser = resolve_name(self.arguments[0])()
        return [*self._arguments(parser), *self._commands(parser)]

    def _commands(self, parser: argparse.ArgumentParser) -> Iterator[nodes.Node]:
        for commands in _subparsers(parser):
            helps = {choice.dest: choice.help for choice in commands._get_subactions()}
            for name, command in commands.choices.items():
                yield self._section(name, command, helps.get(name) or "")

    def _section(self, name: str, command: argparse.ArgumentParser, text: str) -> nodes.Node:
        command.formatter_class = partial(argparse.HelpFormatter, width=_WIDTH)  # type: ignore[assignment]
        usage = command.format_usage().removeprefix("usage: ")
        return section(
            name,
            nodes.make_id(command.prog.replace(".", "-")),
            paragraph(nodes.Text(sentence(command.description or text))),
            nodes.literal_block(usage, usage, language="text"),
            *self._arguments(command),
            *self._commands(command),
        )

    def _arguments(self, parser: argparse.ArgumentParser) -> Iterator[nodes.Node]:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
                continue
            text = (action.help or "") % {**vars(action), "prog": parser.prog}
            name = ", ".join(action.option_strings) or _value(action)
            value = f" {_value(action)}" if action.option_strings and action.nargs != 0 else ""
            content = [paragraph(nodes.Text(sentence(text)))] if text else []
            yield described_option(self.env, name, value, content, program=parser.prog)


def _subparsers(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction[argparse.ArgumentParser]]:
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    if action.metavar is None and action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.metavar or (action.dest.upper() if action.option_strings else action.dest)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
