"""The tutorial is true: its commands are run one after the other, and what they print is what the page shows.

The indented blocks of the page are of four kinds, told apart by their first words: commands, files, the
beginning of a file that a command wrote, and output, of which `...` leaves lines out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pages_with_output import after_lines, blocks_of, comparable, with_digest
from terminal import FOREIGN

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
COMMANDS = ("pytest ", "pathorob-checks ", "python -c ")
NOT_RUN = "python -m venv "  # the installation, which needs a network
WRITTEN = {"schema = ": "ours.toml"}
SHOWN_FILES = {"image_path,": "our_patches/manifest.csv"}
STRICTER, LOOSER = "at_least = 0.7", "at_least = 0.1"


def blocks() -> list[list[str]]:
    """The indented blocks of the page."""
    return blocks_of(PAGE.read_text(encoding="utf-8"), COMMANDS)


@dataclass
class Reader:
    """Somebody who does what the page says.

    Attributes
    ----------
    folder : where commands run.
    printed : what the last block of commands printed, up to what the page has shown of it.
    digest : the last digest that `criteria show` printed.
    codes : the exit code of every command.
    """

    folder: Path
    printed: str = ""
    digest: str = ""
    codes: list[tuple[str, int]] = field(default_factory=list)

    def run(self, lines: list[str]) -> None:
        outputs = []
        for line in "\n".join(lines).replace("\\\n", "").splitlines():
            command = with_digest(line, self.digest)
            inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
            done = subprocess.run(
                command,
                shell=True,
                cwd=self.folder,
                env={
                    **inherited,
                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                    "PYTHONPATH": str(ROOT),
                    "PATHOROB_CHECKS_CACHE": str(self.folder / "cache"),
                    "COLUMNS": "100",
                },
                capture_output=True,
                text=True,
                check=False,
            )
            output = done.stdout + done.stderr
            self.codes.append((line, done.returncode))
            if "criteria show" in line:
                self.digest = re.findall(r"digest: (\w{64})", output)[-1]
            outputs.append(output)
        self.printed = comparable("\n".join(outputs))

    def sees(self, lines: list[str]) -> None:
        """The lines were printed in this order."""
        self.printed = after_lines(self.printed, lines)


@pytest.mark.slow
def test_the_page_shows_what_its_commands_print(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    gate: list[str] = []
    for block in blocks():
        first = block[0]
        if first.startswith(NOT_RUN):
            continue
        if first.startswith(COMMANDS):
            reader.run(block)
            gate = block
            continue
        file = next((name for start, name in WRITTEN.items() if first.startswith(start)), None)
        shown = next((name for start, name in SHOWN_FILES.items() if first.startswith(start)), None)
        if file is not None:
            (tmp_path / file).write_text("\n".join([*block, ""]), encoding="utf-8")
        elif shown is not None:
            assert (tmp_path / shown).read_text(encoding="utf-8").splitlines()[: len(block)] == block
        else:
            if first.startswith("ERROR: "):  # after a bound was lowered, as the page says
                criteria = tmp_path / "ours.toml"
                criteria.write_text(criteria.read_text(encoding="utf-8").replace(STRICTER, LOOSER))
                reader.run(gate)
            reader.sees(block)
    failed = [(command, code) for command, code in reader.codes if code]
    assert [code for _, code in failed] == [1, 4, 1]  # the negative control, the digest, and its results file
    assert "demo:color-sensitive" in failed[0][0]
    assert "--fm-criteria-digest" in failed[1][0]


def test_the_page_has_every_kind_of_block() -> None:
    starts = [block[0] for block in blocks()]
    for kinds in (COMMANDS, (NOT_RUN,), tuple(WRITTEN), tuple(SHOWN_FILES), ("ERROR: ",)):
        assert any(start.startswith(kinds) for start in starts)


def test_what_was_not_printed_is_found(tmp_path: Path) -> None:
    reader = Reader(tmp_path, printed=comparable("a  b\nPASS 1.234\n12 passed in 9.75s"))
    reader.sees(["a b", "...", "12 passed in 10.00s"])
    with pytest.raises(AssertionError, match="not printed: a b"):
        reader.sees(["a b"])


@pytest.mark.parametrize(("value", "is_seen"), [("-1.230", True), ("-1.300", False), ("1.234", False)])
def test_a_value_may_differ_as_it_does_between_processors(tmp_path: Path, value: str, is_seen: bool) -> None:
    reader = Reader(tmp_path, printed=comparable("drop -1.234 FAIL"))
    try:
        reader.sees([f"drop {value} FAIL"])
    except AssertionError:
        assert not is_seen
    else:
        assert is_seen
