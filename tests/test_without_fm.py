"""Without `--fm`, a project that has this plugin installed runs as if it had not."""

from __future__ import annotations

import re

from terminal import Terminal


def test_every_fixture_has_the_prefix(terminal: Terminal) -> None:
    """A fixture with a common name shadows the one of another plugin, and its tests do something else."""
    listed = terminal.pytest("--fixtures").output
    ours = re.findall(r"^(\w+)(?: \[\w+ scope\])? -- .*pathorob_checks/plugin/fixtures\.py:", listed, re.M)
    assert sorted(ours) == [
        "fm_check",
        "fm_cohort",
        "fm_criterion",
        "fm_embeddings",
        "fm_integrity",
        "fm_measure",
        "fm_model",
    ]


def test_a_fixture_called_check_is_its_plugins(terminal: Terminal) -> None:
    (terminal.folder / "theirs.py").write_text(
        "import pytest\n@pytest.fixture\ndef check():\n    return 'theirs'\n"
    )
    (terminal.folder / "test_mine.py").write_text("def test_mine(check):\n    assert check == 'theirs'\n")
    for fm in ((), ("--fm=demo:stain-invariant", "-k", "mine")):
        run = terminal.pytest("-p", "theirs", "test_mine.py", *fm)
        assert "1 passed" in run.output, run.output
