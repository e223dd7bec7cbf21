"""Criteria, protocol and baseline are fixed before anything is measured; by the real command."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from cohort_folders import write_cohort
from terminal import Run, Terminal

CRITERIA = (
    'schema = "pathorob-checks/criteria/1"\nname = "mine"\n[[criteria]]\nid = "index"\n'
    'metric = "robustness_index"\nat_least = {}\nrationale = "A test."\n'
    # The index of this cohort is 1, where slides that agree leave some 0.08 open.
    "[baseline]\nmargin = {{ robustness_index = 0.1 }}\n"
)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_cohort(tmp_path_factory.mktemp("data") / "slides")
    (folder / "cohort.toml").write_text("k = 5\n")
    return folder


def run(
    terminal: Terminal,
    images: Path,
    *arguments: str,
    fm: str = "demo:color-sensitive",
    bound: float = 0.0,
    plugin: str = "",
) -> Run:
    (terminal.folder / "mine.toml").write_text(CRITERIA.format(bound))
    (terminal.folder / "troublemaker.py").write_text(plugin)
    return terminal.pytest(
        f"--fm={fm}",
        f"--fm-cohort={images}",
        "--fm-criteria=mine.toml",
        "--fm-json=results.json",
        "-ptroublemaker",
        *arguments,
    )


def shown_digest(terminal: Terminal, images: Path) -> str:
    shown = terminal.command("criteria", "show", "mine.toml", f"--fm-cohort={images}")
    return shown.output.split("digest: ")[1].split()[0]


@pytest.mark.slow
def test_a_run_refuses_criteria_that_were_edited(terminal: Terminal, images: Path) -> None:
    (terminal.folder / "mine.toml").write_text(CRITERIA.format(0.0))
    agreed = shown_digest(terminal, images)
    kept = run(terminal, images, f"--fm-criteria-digest={agreed}", "-n1")
    assert kept.code == 0, kept.output
    assert f"digest: {agreed}" in kept.output
    assert terminal.results()["environment"]["criteria"]["digest"] == agreed
    edited = run(terminal, images, f"--fm-criteria-digest={agreed}", bound=-0.0 + 0.001)
    assert edited.code == 4
    [error] = edited.errors
    assert f"--fm-criteria-digest requires {agreed}" in error
    [command] = re.findall(r"which '(pathorob-checks criteria show .*?)' prints", error)
    shown = terminal.command(*shlex.split(command)[1:]).output
    assert (
        f"digest of criteria, protocol, baseline and cohorts is {shown.split('digest: ')[1].split()[0]},"
        in error
    )
    assert "This digest is that of a run on the cohort" in " ".join(shown.split())
    assert run(terminal, images, "--fm-criteria-digest=abc").code == 4


EDITS_MEANWHILE = """
from pathlib import Path
def pytest_configure_node(node):
    path = Path("mine.toml")
    path.write_text(path.read_text().replace("1.0", "0.0"))
"""
OTHER_PROTOCOL_IN_WORKERS = """
import os
from pathorob_checks.metrics import metric
if "PYTEST_XDIST_WORKER" in os.environ:
    object.__setattr__(metric("robustness_index").computation, "version", 99)
"""


@pytest.mark.slow
def test_workers_judge_by_the_criteria_that_the_run_began_with(terminal: Terminal, images: Path) -> None:
    done = run(terminal, images, "-n1", bound=1.0, plugin=EDITS_MEANWHILE)
    assert done.code == 1
    assert "0.0" in (terminal.folder / "mine.toml").read_text()
    [check] = terminal.results()["checks"]
    assert check["bound"] == 1.0
    assert check["verdict"] in ("fail", "inconclusive")


@pytest.mark.slow
def test_a_worker_of_another_protocol_measures_nothing(terminal: Terminal, images: Path) -> None:
    done = run(terminal, images, "-n1", plugin=OTHER_PROTOCOL_IN_WORKERS)
    assert done.code != 0
    assert "--fm-criteria-digest requires" in done.output
    assert terminal.results()["checks"] == []


def test_a_released_fm_is_compared_with_and_the_same_or_a_changed_one_is_refused(
    terminal: Terminal, images: Path
) -> None:
    first = run(terminal, images)
    assert first.code == 0, first.output
    (terminal.folder / "results.json").rename(terminal.folder / "released.json")
    again = run(terminal, images, "--fm-baseline=released.json", fm="demo:stain-invariant")
    assert again.code == 1, again.output
    assert "baseline: color-sensitive (released.json)" in again.output
    value, difference = terminal.results()["checks"]
    assert (value["quantity"], difference["quantity"]) == ("value", "difference")
    assert difference["value"] == pytest.approx(value["value"] - difference["baseline"]["value"])
    assert difference["interval"][0] < difference["value"] < difference["bound"] == -0.1

    same = run(terminal, images, "--fm-baseline=released.json")
    assert same.code == 4  # before anything is measured
    assert "has the same embeddings of slides as the FM that is compared with it" in " ".join(
        same.output.split()
    )

    released = json.loads((terminal.folder / "released.json").read_text())
    released["environment"]["criteria"]["protocol"]["metrics"]["robustness_index"]["version"] = 0
    (terminal.folder / "released.json").write_text(json.dumps(released))
    (terminal.folder / "results.json").unlink()
    refused = run(terminal, images, "--fm-baseline=released.json")
    assert refused.code == 4
    assert "was measured by another protocol (robustness_index: version 0, here 2)" in refused.errors[0]


def test_a_cohort_without_k_has_one_for_every_fm(terminal: Terminal, images: Path, tmp_path: Path) -> None:
    free = shutil.copytree(images, tmp_path / "free")
    (free / "cohort.toml").unlink()
    done = run(terminal, free, "--fm=demo:stain-invariant", "--fm-baseline=color-sensitive")
    assert done.code == 1, done.output
    checks = terminal.results()["checks"]
    assert [check["quantity"] for check in checks] == ["value", "value", "difference"]
    assert {check["protocol"]["k"] for check in checks} == {11}
    assert "- robustness index of free, 11 neighbors (k = 11): " in done.output


@pytest.mark.slow
def test_two_fms_of_one_run_are_compared(terminal: Terminal, images: Path) -> None:
    done = run(terminal, images, "--fm=demo:stain-invariant", "--fm-baseline=color-sensitive", "-n2")
    assert done.code == 1, done.output
    checks = {(check["fm"], check["quantity"]): check for check in terminal.results()["checks"]}
    assert set(checks) == {
        ("color-sensitive", "value"),
        ("stain-invariant", "value"),
        ("stain-invariant", "difference"),
    }
    difference = checks["stain-invariant", "difference"]
    other, base = (checks[fm, "value"]["value"] for fm in ("stain-invariant", "color-sensitive"))
    assert difference["value"] == pytest.approx(other - base, abs=1e-12)
    assert difference["value"] < difference["bound"]
    assert {key for key, check in checks.items() if check["verdict"] == "fail"} == {
        ("stain-invariant", "difference")
    }
