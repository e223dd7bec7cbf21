"""What a shell completes: words for `pathorob-checks` and for pytest's options."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pathorob_checks.cli import argument_parser
from pathorob_checks.commands.completion import COMPLETERS, actions_of
from pathorob_checks.plugin.options import OPTIONS


def completed(command: list[str], line: str, folder: Path) -> list[str]:
    """The words that the program gives to a shell, by the file that argcomplete has for this."""
    answer = folder / "words"
    request = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    environment = {**os.environ, **request, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    subprocess.run(command, env=environment, check=False, capture_output=True, timeout=60)
    return [word.strip() for word in answer.read_text().split("\n") if word.strip()]


def test_words_of_the_command_and_of_pytest(tmp_path: Path) -> None:
    own = [sys.executable, "-m", "pathorob_checks"]
    assert completed(own, "pathorob-checks doc", tmp_path) == ["doctor"]
    assert "--fm=virchow2" in completed(own, "pathorob-checks doctor --fm=vir", tmp_path)
    gate = [sys.executable, "-m", "pytest"]
    assert completed(gate, "pytest --fm-method=reinhard,cor", tmp_path) == ["--fm-method=reinhard,coral"]


@pytest.mark.parametrize(
    ("flag", "prefix", "expected"),
    [
        ("--fm", "demo:s", ["demo:stain-invariant"]),
        ("--fm-method", "reinhard+lea", ["reinhard+leace"]),
        ("--fm-method", "combat,reinhard+dan", ["combat,reinhard+dann"]),
        ("--fm-pooling", "zzz", []),
    ],
)
def test_words_that_begin_as_typed(flag: str, prefix: str, expected: list[str]) -> None:
    assert COMPLETERS[flag](prefix) == expected


def test_a_cohort_and_criteria_may_be_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release_2.toml").write_text("")
    assert set(COMPLETERS["--fm-criteria"]("rel")) >= {"release", "release_2.toml"}


def test_every_completed_option_exists() -> None:
    flags = {flag for action in actions_of(argument_parser()) for flag in action.option_strings}
    assert set(COMPLETERS) <= flags | {option.flag for option in OPTIONS}
