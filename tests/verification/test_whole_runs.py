"""Evidence of a run with all that can happen in one is intact, and tells no other story in any file."""

from __future__ import annotations

import html
import json
from pathlib import Path

from attack import Attack
from sealed_folders import Sealed, write_key

from pathorob_checks.evidence.pages import deviations_page, protocol_page, signature_page
from pathorob_checks.report.html import html_report
from pathorob_checks.results.integrity_counts import integrity_counted
from pathorob_checks.results.results import Results

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


def test_pages_keep_quotes_and_say_that_a_development_version_is_no_release(sealed: Sealed) -> None:
    protocol = json.loads((sealed / "protocol.json").read_text())
    protocol["command"] = ["pytest", "--fm-evidence-by=Jane Doe, engineer"]
    protocol["tool"]["version"] = "0.1.0.dev57+g3f2c1e9ab"
    results = Results.read(sealed / "results.json")
    assert "`pytest '--fm-evidence-by=Jane Doe, engineer'`" in protocol_page(protocol)
    assert "The code is no release (pathorob-checks 0.1.0.dev57+g3f2c1e9ab)." in html.unescape(
        deviations_page(results, protocol)
    ).replace("\\", "")
    page = signature_page(results, protocol, {}, "a machine", is_signed=False)
    assert "0.1.0.dev57+g3f2c1e9ab (the code is no release)" in page
    protocol["tool"]["version"] = "0.1.0"
    assert "no release" not in signature_page(results, protocol, {}, "a machine", is_signed=False)


def test_the_report_counts_integrity_checks_as_the_limitations_do(sealed: Sealed) -> None:
    results = Results.read(sealed / "results.json")
    counted = integrity_counted(results.integrity, results.environment.criteria.completeness)
    assert "do not apply" in counted
    assert counted in html_report(results, ())
    assert "not applicable" not in html_report(results, ())
