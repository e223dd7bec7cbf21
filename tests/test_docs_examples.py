"""The code on docs/api.md is true: it is run as the page says, and what it prints is compared.

The page's blocks are fenced and have a language. A block whose first line is a comment with a path is that
file. Blocks with a prompt (`pycon`) are one session, from top to bottom. A block that is not to be run with
the rest stands below a comment that says why.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from terminal import FOREIGN, TIMEOUT_S

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
LINES = PAGE.read_text(encoding="utf-8").splitlines()
MARK = re.compile(r"<!-- not run with the rest: (?P<reason>.+) -->")
FILE = re.compile(r"# (?P<path>[\w./-]+\.(py|toml))")


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line's number on the page, its language, its lines, and why it is not run."""

    line: int
    language: str
    lines: tuple[str, ...]
    reason: str | None

    @property
    def path(self) -> str | None:
        match = FILE.fullmatch(self.lines[0])
        return match["path"] if match else None

    @property
    def text(self) -> str:
        return "\n".join((*self.lines, ""))


def blocks_of(lines: list[str]) -> list[Block]:
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    blocks = []
    for start, end in zip(fences[::2], fences[1::2], strict=True):
        mark = MARK.fullmatch(lines[start - 1])
        blocks.append(
            Block(
                line=start + 2,
                language=lines[start].removeprefix("```"),
                lines=tuple(lines[start + 1 : end]),
                reason=mark["reason"] if mark else None,
            )
        )
    return blocks


BLOCKS = blocks_of(LINES)
SESSION = [block for block in BLOCKS if block.language == "pycon" and block.reason is None]
FILES = {block.path: block for block in BLOCKS if block.path is not None}
LONG = [block for block in BLOCKS if block.reason is not None]


def transcript(blocks: list[Block]) -> str:
    """The blocks as doctest reads them, every line where it is on the page."""
    lines = [""] * len(LINES)
    for block in blocks:
        lines[block.line - 1 : block.line - 1 + len(block.lines)] = block.lines
    return "\n".join(lines)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command of Python in a folder, where the page's package is installed and nothing else is new."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={
            **inherited,
            "PYTHONPATH": os.pathsep.join((str(folder / "installed"), str(ROOT))),
            "PATHOROB_CHECKS_CACHE": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def run_session(folder: Path, blocks: list[Block]) -> subprocess.CompletedProcess[str]:
    (folder / "api.md").write_text(transcript(blocks), encoding="utf-8")
    code = "import doctest, sys; sys.exit(doctest.testfile('api.md', module_relative=False).failed)"
    return run(folder, "-c", code)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, and its package built from them and installed."""
    folder = tmp_path_factory.mktemp("api")
    for path, block in FILES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(block.text, encoding="utf-8")
    (folder / "results.schema.json").write_bytes((PAGE.parent / "results.schema.json").read_bytes())
    built = run(
        folder / "center-leak", "-c", "from hatchling.build import build_wheel as build; print(build('.'))"
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(folder / "center-leak" / built.stdout.split()[-1]) as wheel:
        wheel.extractall(folder / "installed")
    return folder


@pytest.fixture(scope="module")
def session(folder: Path) -> subprocess.CompletedProcess[str]:
    return run_session(folder, SESSION)


def test_no_code_of_the_page_is_left_out() -> None:
    for block in BLOCKS:
        assert block.language in ("pycon", "python", "toml"), f"line {block.line}"
        assert (block.language == "pycon") != (block.path is not None), f"line {block.line}"
        assert (block.language == "pycon") == block.lines[0].startswith(">>> "), f"line {block.line}"
    assert len(FILES) == sum(block.path is not None for block in BLOCKS)
    prompts = sum(line.startswith(">>> ") for line in LINES)
    examples = doctest.DocTestParser().get_examples(transcript(SESSION + LONG))
    assert len(examples) == prompts
    assert not any(example.options for example in examples)  # none is skipped, and none is compared loosely
    inside = {number for block in BLOCKS for number in range(block.line, block.line + len(block.lines))}
    indented = [n for n, line in enumerate(LINES, 1) if line.startswith("    ") and n not in inside]
    assert indented == []  # Markdown shows these as code, too


def test_the_session_prints_what_the_page_says(session: subprocess.CompletedProcess[str]) -> None:
    assert session.returncode == 0, session.stdout + session.stderr


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(("arguments", "row"), [((), "center leak"), (("test_ours.py",), "drop in-domain")])
def test_the_gate_takes_what_the_page_writes(folder: Path, arguments: tuple[str, ...], row: str) -> None:
    gate = ("-p", "no:cacheprovider", "--fm=embeddings:ours", "--fm-cohort=ours", "--fm-criteria=leak.toml")
    done = run(folder, "-m", "pytest", *gate, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert row in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("block", LONG, ids=lambda block: f"line {block.line}, {block.reason}")
def test_what_takes_minutes_prints_what_the_page_says(block: Block, tmp_path: Path) -> None:
    done = run_session(tmp_path, [block])
    assert done.returncode == 0, done.stdout + done.stderr
