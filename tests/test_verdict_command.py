"""`pathorob-checks verdict`: the exit code of a run, from its results file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attack import INDEX, Attack, write_inputs
from terminal import Terminal

Changes = Callable[[dict[str, Any]], object]


@pytest.fixture
def attack(lone_terminal: Terminal) -> Attack:
    write_inputs(lone_terminal.folder)
    return Attack(lone_terminal)


def verdict(attack: Attack, *arguments: str) -> tuple[int, str]:
    run = attack.terminal.command("verdict", "results.json", *arguments)
    return run.code, run.output.strip()


@pytest.mark.parametrize(
    ("fm", "arguments", "code"), [("good", (), 0), ("bad", (), 1), ("good", ("-k", "index"), 0)]
)
def test_it_ends_as_the_run_did(fm: str, arguments: tuple[str, ...], code: int, attack: Attack) -> None:
    outcome = attack.run(*arguments, fm=f"embeddings:{fm}")
    assert outcome.code == code, outcome.output
    assert verdict(attack) == (code, outcome.headline)


def test_what_was_left_out_fails_where_all_is_required(attack: Attack) -> None:
    attack.run("-k", "index", fm="embeddings:good")
    code, text = verdict(attack, "--complete")
    assert (code, text.startswith("PARTIAL"), text.endswith("(not complete)")) == (1, True, True)


@pytest.mark.slow
def test_a_run_that_was_killed_left_a_file_that_says_so(attack: Attack) -> None:
    attack.write(
        "killer.py",
        "import os, signal\n"
        "def pytest_runtest_setup(item):\n"
        "    if 'index' in item.nodeid:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    assert attack.run("-p", "killer", fm="embeddings:good", subprocess=True).code != 0
    code, text = verdict(attack)
    assert code == 1
    assert text.startswith("ERROR: the run did not finish; 0 of 1 criterion measured")


CONTRADICTIONS: dict[str, Changes] = {
    "another outcome": lambda content: content.update(outcome="pass", summary="PASS: all is well"),
    "complete": lambda content: content.update(complete=False),
    "a check taken away": lambda content: content["checks"].clear(),
    "an integrity check taken away": lambda content: content["integrity"].pop(),
    "a verdict": lambda content: content["checks"][0].update(verdict="pass"),
}


@pytest.mark.parametrize("change", CONTRADICTIONS)
def test_a_file_that_contradicts_itself_is_refused(change: str, attack: Attack) -> None:
    attack.run(fm="embeddings:bad")
    path = Path(attack.folder / "results.json")
    content = json.loads(path.read_text())
    CONTRADICTIONS[change](content)
    path.write_text(json.dumps(content))
    code, text = verdict(attack)
    assert code == 1
    assert "contradicts itself" in text


def test_what_is_no_results_file_is_a_sentence(attack: Attack) -> None:
    for content in ("", "{}", "[1]", '{"schema": "pathorob-checks/results/2"}'):
        attack.write("results.json", content)
        code, text = verdict(attack)
        assert code == 1
        assert text.count("\n") == 0
        assert "Traceback" not in text


def test_an_optional_criterion_without_a_value_is_complete_enough(attack: Attack) -> None:
    optional = INDEX.partition("[[criteria]]")[2].replace('"index"', '"more"')
    optional += "required = false\nminimum_support = 1.0\n"
    attack.write("two.toml", f"{INDEX}[[criteria]]{optional}")
    outcome = attack.run("--fm-require-complete", criteria="two.toml", fm="embeddings:good")
    assert outcome.code == 0, outcome.output
    assert verdict(attack, "--complete")[0] == 0
