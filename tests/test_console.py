"""The command at a terminal that lacks letters, closes, is full, or is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pathorob_checks import console
from pathorob_checks.errors import CohortError

NAME = "Köln-東京"
SLOW = """
import sys, time
from pathorob_checks import console
def slow():
    try:
        print("begun", flush=True)
        time.sleep(20)
    finally:
        print("ending", flush=True)
        time.sleep({ending})
    return 0
sys.exit(console.run(slow))
"""


def started(*arguments: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        env={**clean, **environment},
    )


def command(*arguments: str, **environment: str) -> tuple[int, str]:
    process = started("-m", "pathorob_checks", *arguments, **environment)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output + errors


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1:strict"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("criteria", "check", f"{NAME}.toml"), 1),
        (("doctor", f"--fm=local-dir:{NAME}"), 1),
        (("recipes", NAME), 1),
        (("cache", "ls", f"--fm-cache={NAME}"), 0),
        (("criteria", NAME), 2),
    ],
)
def test_letters_that_a_code_page_lacks_are_replaced(tmp_path, arguments, code, encoding):
    given = [each.replace(NAME, f"{tmp_path}/{NAME}") if "=" in each else each for each in arguments]
    exit_code, output = command(*given, PYTHONIOENCODING=encoding, HF_HUB_OFFLINE="1")
    assert (exit_code, "Traceback" in output) == (code, False), output
    assert "\\u6771" in output


def test_a_terminal_of_another_language_is_written_to(tmp_path):
    exit_code, output = command(
        "criteria", "check", f"{NAME}.toml", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )
    assert (exit_code, "Traceback" in output) == (1, False), output


@pytest.mark.parametrize("arguments", [("schema",), ("recipes",), ("--help",), ("doctor", "--help")])
def test_whoever_reads_may_stop(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    process = started("-m", "pathorob_checks", *arguments, stdout=writing)
    os.close(writing)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("arguments", [("schema",), ("recipes",), ("--help",)])
def test_a_full_disk_is_one_sentence(arguments):
    with Path("/dev/full").open("w") as full:
        process = started("-m", "pathorob_checks", *arguments, stdout=full.fileno())
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert errors.startswith("pathorob-checks: the output cannot be written (")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(("times", "words"), [(1, "interrupted."), (2, "interrupted while ending;")])
def test_an_interrupted_command_says_one_sentence(number, code, times, words):
    process = started("-c", SLOW.format(ending=0 if times == 1 else 20))
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    if times == 2:
        assert process.stdout.readline() == "ending\n"
        process.send_signal(number)
    begun = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert errors.strip().startswith(f"pathorob-checks: {words}")
    assert "Traceback" not in errors
    assert time.monotonic() - begun < 15


def test_signals_are_handled_as_before_once_a_command_has_ended():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert console.run(lambda: 3) == 3

    def fail() -> int:
        raise CohortError("it is empty", remedy="fill it")

    assert console.run(fail) == 1
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_error_of_the_system_is_one_sentence(capsys):
    def fail() -> int:
        raise PermissionError(13, "Permission denied", "place\x1b[2J")

    assert console.run(fail) == 1
    sentence = "pathorob-checks: place\\x1b[2J: Permission denied; correct that and try again.\n"
    assert capsys.readouterr().err == sentence
