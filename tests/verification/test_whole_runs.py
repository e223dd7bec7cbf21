"""Evidence of a run with all that can happen in one is intact, and tells no other story in any file."""

from __future__ import annotations

from pathlib import Path

from attack import Attack
from sealed_folders import Sealed, write_key

CRITERIA = """schema = "pathorob-checks/criteria/1"
name = "odd | *name*"
family = "holm"
inconclusive = "warn"
[[criteria]]
id = "index"
metric = "robustness_index"
at_least = 0.5
requirements = ["SRS|1", "=cmd()"]
rationale = "A test."
[[criteria]]
id = "worst"
metric = "robustness_index"
group = "worst-center"
at_least = 0.9
rationale = "A test."
[[criteria]]
id = "optional"
metric = "robustness_index"
at_least = 0.5
minimum_support = 1.0
required = false
rationale = "A test."
"""
TESTS = """import pytest

def test_mine(fm_measure, fm_check):
    for bound in (0.1, 0.2):
        fm_check(fm_measure("robustness_index"), at_least=bound)

def test_other():
    assert False

@pytest.mark.xfail
def test_expected():
    assert False
"""


def test_two_fms_a_baseline_own_tests_and_verdicts_of_all_kinds(small_gate: Attack, tmp_path: Path) -> None:
    public = write_key(tmp_path / "key.pem", "p256")
    small_gate.write("odd.toml", CRITERIA)
    small_gate.write("test_mine.py", TESTS)
    options = ("--fm=embeddings:good", "--fm-baseline=good", "--fm-evidence=evidence", "test_mine.py")
    done = small_gate.run(*options, f"--fm-sign={tmp_path / 'key.pem'}", criteria="odd.toml")
    assert done.code == 1, done.output
    assert done.results is not None
    verdicts = {check["verdict"] for check in done.results["checks"]}
    assert verdicts == {"pass", "fail", "inconclusive", "skipped"}
    verification = Sealed(small_gate.folder / "evidence").verify(public)
    assert verification.findings == ()
    assert verification.signed == "SIGNED"
    run = small_gate.terminal.command("verify", "evidence", f"--key={public}")
    assert run.code == 0
    assert run.output.splitlines()[-1] == "INTACT, SIGNED"
