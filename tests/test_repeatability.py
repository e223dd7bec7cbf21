"""The same command gives the same results file; workers and threads change no verdict."""

from __future__ import annotations

import json
from typing import Any

import pytest
from same_results import without_varying
from terminal import Terminal


def numbers(value: Any, path: str = "") -> dict[str, float]:
    """Every number of a document by its path."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    leaves = {path: float(value)} if isinstance(value, int | float) and not isinstance(value, bool) else {}
    for key, part in parts:
        leaves |= numbers(part, f"{path}/{key}")
    return leaves


@pytest.mark.slow
def test_the_same_command_writes_the_same_file_and_workers_change_nothing(lone_terminal: Terminal) -> None:
    def run(name: str, *arguments: str, threads: str) -> str:
        command = ("--fm=demo:stain-invariant", "--fm=demo:color-sensitive", f"--fm-json={name}", "--tb=no")
        # The metrics that take seconds once, each of another FM.
        command += ("-k", "not (stain and drop) and not (color and clustering)")
        command += ("--fm-repetitions=3",)
        done = lone_terminal.pytest(*command, *arguments, OMP_NUM_THREADS=threads)
        assert done.code == 1, done.output
        return (lone_terminal.folder / name).read_text()

    first, again = (run(name, "-n0", threads="2") for name in ("first.json", "again.json"))
    assert json.dumps(without_varying(json.loads(again))) == json.dumps(without_varying(json.loads(first)))

    spread = json.loads(run("spread.json", "-n2", threads="1"))
    alone = json.loads(first)
    assert [(one["id"], one["verdict"]) for one in spread["checks"]] == [
        (one["id"], one["verdict"]) for one in alone["checks"]
    ]
    assert len(alone["checks"]) == 5
    assert len({check["metric"] for check in alone["checks"]}) == 4
    assert numbers(spread["checks"]) == pytest.approx(numbers(alone["checks"]), abs=1e-6)
    assert spread["environment"]["criteria"] == alone["environment"]["criteria"]
