"""The help of `pathorob-checks`, and what it says of a mistyped command line."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

import pytest

from pathorob_checks.cli import argument_parser, main
from pathorob_checks.commands.examples import EXAMPLES, GROUPS


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from parsers(one)


PARSERS = {one.prog.removeprefix("pathorob-checks").strip(): one for one in parsers(argument_parser())}


@pytest.mark.parametrize("command", PARSERS)
def test_every_help_has_examples_and_fits_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert said.index("examples:") < said.index("options:")
    examples = [f"  {line}" for line in EXAMPLES[command]]
    assert all(len(line) <= 80 for line in said.splitlines() if line not in examples)
    assert set(examples) <= set(said.splitlines())


def test_every_example_is_of_a_command_that_is_there() -> None:
    assert EXAMPLES.keys() == PARSERS.keys()


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_are_command_lines_that_are_understood(line: str) -> None:
    words = shlex.split(line.partition("    ")[0])
    name, *arguments = [word for word in words if not word.startswith("PATHOROB_")]
    if name == "pathorob-checks":
        assert argument_parser().parse_args(arguments).run is not None
    else:
        assert name == "pytest"


def test_every_command_is_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(command for command in PARSERS if command and " " not in command)


@pytest.mark.parametrize("command", ["", "criteria", "cache"])
def test_without_a_command_the_help_is_shown(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("docter", "there is no command 'docter'; did you mean 'doctor'?"),
        ("criteria shw floor", "there is no action 'shw'; did you mean 'show'?"),
        ("criteria template --standard=aiact", "there is no --standard 'aiact'; did you mean 'ai-act'?"),
        ("doctor --fms=virchow2", "there is no option --fms; did you mean --fm=virchow2?"),
        ("doctor --cohort=demo", "there is no option --cohort; did you mean --fm-cohort=demo?"),
        ("doctor --fm-dev=cpu", "there is no option --fm-dev; did you mean --fm-device=cpu?"),
        ("doctor virchow2", "it is not clear what 'virchow2' is; did you mean --fm=virchow2?"),
        ("verdict r.json --zzz", "there is no option --zzz; leave it out."),
        ("frobnicate", "there is no command 'frobnicate'; choose one of init, "),
    ],
)
def test_a_mistyped_command_line_says_what_is_meant(
    line: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(line.split())
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err
