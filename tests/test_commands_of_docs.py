"""The commands on the pages exist: the parsers of the command line and of the plugin read them."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pathorob_checks.cli import argument_parser
from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.methods.chain import chains_of
from pathorob_checks.plugin.options import OPTIONS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "SECURITY.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "decisions").glob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
)
FLAGS = {option.flag for option in OPTIONS}
FENCE = re.compile(r"^\s*```")
INDENTED = re.compile(r"^ {4,}")
ENDS = re.compile(r"\s(?:&&|\|\||\||;|>)\s")
PLACEHOLDERS = ("...", "…", "ACTION", "[", "<")


@dataclass(frozen=True)
class Command:
    """A command of a page: its line and its words."""

    line: int
    words: tuple[str, ...]


def code_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of code blocks, fenced or indented; a line that goes on after a backslash is one."""
    fenced = False
    start, joined = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
            continue
        if not (fenced or INDENTED.match(line) or joined):
            continue
        start = start if joined else number
        joined += line.strip().removesuffix("\\")
        if not line.endswith("\\"):
            yield start, joined
            joined = ""


def commands_of(page: Path, program: str) -> list[Command]:
    """Every call of a program on a page, without what a shell does before and after it."""
    of_page = []
    for number, line in code_lines(page.read_text(encoding="utf-8")):
        for part in ENDS.split(line):
            at = re.search(rf"(?:^|\s){program} (?=\S)", part)
            before = part[: at.start()].split() if at else ["not here"]
            if at and all("=" in word or word in ("$", "-", "run:", "python", "-m") for word in before):
                words = shlex.split(part[at.end() :], comments=True)
                if not any(word.startswith(PLACEHOLDERS) for word in words):
                    of_page.append(Command(number, tuple(words)))
    return of_page


def of_pages(program: str) -> list[pytest.param]:  # type: ignore[valid-type]
    return [
        pytest.param(command.words, id=f"{page.relative_to(ROOT)}:{command.line}")
        for page in PAGES
        for command in commands_of(page, program)
    ]


def complaint_about(words: tuple[str, ...]) -> str:
    """What the command line says to these words, without running anything; "" where it takes them."""
    complaint = io.StringIO()
    quiet = contextlib.redirect_stdout(io.StringIO())
    with contextlib.redirect_stderr(complaint), quiet, contextlib.suppress(SystemExit):
        argument_parser().parse_args(words)
    return complaint.getvalue()


@pytest.mark.parametrize("words", of_pages("pathorob-checks"))
def test_the_command_line_reads_it(words: tuple[str, ...]) -> None:
    assert complaint_about(words) == ""


@pytest.mark.parametrize("words", of_pages("pytest"))
def test_the_plugin_has_its_options(words: tuple[str, ...]) -> None:
    values = [word.split("=", 1) for word in words if word.startswith("--fm")]
    assert {flag for flag, *_ in values} <= FLAGS
    for flag, *value in values:
        if flag == "--fm-criteria" and "." not in value[0] and value[0].islower():
            assert value[0] in BUILT_IN
        if flag == "--fm-method":
            assert chains_of(value)


def test_a_command_that_does_not_exist_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "    A=1 pathorob-checks nothing \\\n      --at=all && x\n\n```\npytest --fm=a --fm-b  # c\n```\n"
    )
    (ours,) = commands_of(page, "pathorob-checks")
    assert ours == Command(1, ("nothing", "--at=all"))
    assert commands_of(page, "pytest") == [Command(5, ("--fm=a", "--fm-b"))]
    assert "there is no" in complaint_about(ours.words)
    with pytest.raises(AssertionError):
        test_the_plugin_has_its_options(("--fm=a", "--fm-b"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_within_sentences_exist(page: Path) -> None:
    named = set(re.findall(r"`pathorob-checks ([a-z][a-z-]*)", page.read_text(encoding="utf-8")))
    (commands,) = (action.choices for action in argument_parser()._actions if action.choices)
    assert named <= set(commands)


def test_the_pages_have_commands() -> None:
    assert len(of_pages("pathorob-checks")) > 40
    assert len(of_pages("pytest")) > 40
