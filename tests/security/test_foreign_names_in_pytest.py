"""Texts of criteria and names of folders reach nothing that pytest writes raw: terminal, test ids, JUnit."""

from __future__ import annotations

import json
import shutil

import pytest
from attack import INDEX, write_inputs
from terminal import Terminal
from test_foreign_names import assert_printable

EVIL = "\x1b]0;owned\x07\x9b31m\u202e"


@pytest.mark.parametrize("ids", ["escaped", "as they are"])
def test_nothing_that_pytest_writes_shows_a_name_raw(lone_terminal: Terminal, ids: str) -> None:
    folder = write_inputs(lone_terminal.folder)
    cohort = folder / f"coh{EVIL}"
    (folder / "coh").rename(cohort)
    shutil.move(folder / "bad" / "coh", folder / "bad" / "coh_0_owned_31m")
    fm = (folder / "bad").rename(folder / f"bad{EVIL}").name
    text = INDEX.replace('"A test."', json.dumps(f"{EVIL} so"))
    (folder / "index.toml").write_text(text)
    if ids == "as they are":
        option = "disable_test_id_escaping_and_forfeit_all_rights_to_community_support"
        (folder / "pytest.ini").write_text(f"[pytest]\n{option} = true\n")
    run = lone_terminal.pytest(
        f"--fm=embeddings:{fm}",
        f"--fm-cohort={cohort.name}",
        "--fm-criteria=index.toml",
        "--junitxml=junit.xml",
        "--tb=long",
        "-v",
        "-rA",
    )
    assert run.code == 1, run.output
    assert "FAIL: 1 of 1 criterion not met" in run.output
    assert_printable(run.output)
    assert_printable((folder / "junit.xml").read_text(encoding="utf-8"))
