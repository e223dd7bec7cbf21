"""The parser of `pathorob-checks`: complaints that say what is meant, and help that begins with examples."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from pathorob_checks import console
from pathorob_checks.commands.examples import EXAMPLES, GROUPS
from pathorob_checks.wording import nearest, printable

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

WRONG_USAGE = 2
_WIDEST = 100


class Parser(argparse.ArgumentParser):
    """A parser of the command line, of a command or of an action."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", _Formatter)
        super().__init__(**settings, allow_abbrev=False)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """What argparse makes of the arguments; a word that is left over ends here, with what is meant."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown[0])
        return parsed, unknown

    def format_help(self) -> str:
        """The help with examples in front; that of all commands is in groups."""
        command = self.prog.removeprefix(console.NAME).strip()
        before, self.description = self.description, _with_examples(self.description, EXAMPLES[command])
        listed = [one for one in self._actions if isinstance(one, argparse._SubParsersAction)]
        try:
            if command == "" and listed:
                self.epilog = _in_groups(listed[0])
                with _without_list(listed[0]):
                    return super().format_help()
            return super().format_help()
        finally:
            self.description = before

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Write the help as all else is written."""
        if file is None:
            console.write(self.format_help())
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        """End with one sentence, and where to read more."""
        end = "" if message.endswith("?") else "."
        self.exit(
            WRONG_USAGE,
            printable(f"{self.prog}: {message}{end}") + f"\n(pathorob-checks: see {self.prog} --help)\n",
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse, which in old versions suggests nothing."""
        if action.choices is not None and value not in action.choices:
            named = [*action.option_strings[-1:], action.metavar or action.dest]
            choices = list(map(str, action.choices))
            near = nearest(str(value), choices)
            remedy = f"did you mean {near!r}?" if near else f"choose one of {', '.join(choices)}"
            raise _Unknown(f"there is no {str(named[0]).strip('[]')} {value!r}; {remedy}")

    def _refuse(self, word: str) -> NoReturn:
        flag, equals, value = word.partition("=")
        known = [name for name in self._option_string_actions if name.startswith("--")]
        if flag.startswith("-"):
            whole = f"--fm-{flag.lstrip('-')}"
            near = whole if whole in known else nearest(flag, known)
            meant = f"did you mean {near}{equals}{value}?" if near else "leave it out"
            self.error(f"there is no option {flag}; {meant}")
        meant = f"did you mean --fm={word}?" if "--fm" in known else "leave it out"
        self.error(f"it is not clear what {word!r} is; {meant}")


def add_commands(
    parser: argparse.ArgumentParser, metavar: str
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Commands below a parser; without any of them its help is shown, which is wrong usage."""

    def show_help(_: argparse.Namespace) -> int:
        parser.print_help()
        return WRONG_USAGE

    parser.set_defaults(run=show_help)
    return parser.add_subparsers(prog=parser.prog, metavar=metavar, dest=metavar)


class _Unknown(argparse.ArgumentError):
    """A sentence without argparse's own beginning."""

    def __init__(self, message: str) -> None:
        super().__init__(None, message)


class _Formatter(argparse.HelpFormatter):
    """Keeps indented lines of a text as they are: they are commands."""

    def __init__(self, prog: str) -> None:
        from pathorob_checks.width import width

        super().__init__(prog, width=min(width(), _WIDEST) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:  # noqa: ARG002 - argparse's signature
        blocks = text.split("\n\n")
        return "\n\n".join(
            block if "\n  " in block or block.startswith("  ") else textwrap.fill(block, width)
            for block in blocks
        )


class _without_list:  # noqa: N801 - a context manager that is used like a function
    """The commands of a parser are not listed, because they are listed in groups."""

    def __init__(self, commands: argparse._SubParsersAction[Any]) -> None:
        self._commands = commands

    def __enter__(self) -> None:
        self._listed, self._commands._choices_actions = self._commands._choices_actions, []
        self._help, self._commands.help = self._commands.help, argparse.SUPPRESS

    def __exit__(self, *_: object) -> None:
        self._commands._choices_actions, self._commands.help = self._listed, self._help


def _with_examples(description: str | None, examples: Sequence[str]) -> str:
    lines = "\n".join(f"  {line}" for line in examples)
    return "\n\n".join(filter(None, (description, f"examples:\n{lines}")))


def _in_groups(commands: argparse._SubParsersAction[Any]) -> str:
    """Every command with its sentence, in the groups of the table."""
    texts = {one.dest: one.help or "" for one in commands._choices_actions}
    from pathorob_checks.width import width

    blocks = []
    for title, names in GROUPS.items():
        rows = [
            textwrap.fill(
                texts[name],
                min(width(), _WIDEST) - 2,
                initial_indent=f"  {name:<13}",
                subsequent_indent=" " * 15,
            )
            for name in names
        ]
        blocks.append("\n".join([f"{title}:", *rows]))
    return "\n\n".join(blocks)
