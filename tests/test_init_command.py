"""`pathorob-checks init`: what it writes runs as it is, and nothing that exists is changed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from cohort_folders import write_cohort
from PIL import Image
from terminal import Terminal

from pathorob_checks.cli import main
from pathorob_checks.criteria.files import load_profile


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["init", *arguments]) == 0
    return capsys.readouterr().out


def test_the_criteria_to_start_from_are_those_of_the_profile_floor(capsys) -> None:
    init(capsys)
    ours, floor = (
        {one.metric: one.bound for one in load_profile(name).criteria_for(("demo",))}
        for name in ("robustness.toml", "floor")
    )
    assert ours == floor


def test_the_printed_commands_run_as_they_are(lone_terminal: Terminal) -> None:
    printed = lone_terminal.command("init").output
    check, run = (shlex.split(command) for command in re.findall(r"^  (\S.*)$", printed, re.M))
    assert check[0] == "pathorob-checks"
    assert lone_terminal.command(*check[1:]).code == 0
    assert run[0] == "pytest"
    gate = lone_terminal.pytest(*run[1:], "-k", "robustness_index")
    assert (gate.code, "PARTIAL" in gate.output) == (0, True), gate.output


def test_nothing_that_exists_is_changed(capsys, folder: Path) -> None:
    (folder / "robustness.toml").write_text("mine")
    output = init(capsys)
    assert (folder / "robustness.toml").read_text() == "mine"
    assert "kept, as it exists: robustness.toml" in output
    assert "wrote our_patches/manifest.csv" in output
    again = init(capsys)
    assert "wrote" not in again
    assert "--fm-cohort=demo" in again  # the manifest still has no rows


def test_folders_named_by_labels_get_a_manifest(capsys, folder: Path) -> None:
    for number, (cls, center) in enumerate((cls, center) for cls in ("normal", "tumor") for center in "AB"):
        path = folder / "patches" / cls / center / f"s{number}" / "p 1.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    output = init(capsys, "--cohort=patches", "--ci=none")
    lines = (folder / "patches" / "manifest.csv").read_text().splitlines()
    assert lines[0] == "image_path,slide_id,patch_id,biological_class,medical_center,subset"
    assert lines[1] == "normal/A/s0/p 1.png,s0,p 1,normal,A,ID"
    assert len(lines) == 5
    assert "--fm-cohort=patches" in output
    assert not (folder / ".github").exists()


@pytest.mark.parametrize(
    ("server", "file"),
    [("github", ".github/workflows/robustness.yml"), ("gitlab", "robustness.gitlab-ci.yml")],
)
def test_a_job_has_the_inputs_as_data(capsys, folder: Path, server: str, file: str) -> None:
    write_cohort(folder / "slides")
    init(capsys, f"--ci={server}", "--fm=hf-hub:org/model", "--cohort=slides")
    job = yaml.safe_load((folder / file).read_text())
    inputs = next(one for one in _mappings(job) if "PATHOROB_CI_FM" in one)
    assert inputs["PATHOROB_CI_FM"] == "hf-hub:org/model"
    assert inputs["PATHOROB_CI_COHORTS"] == "slides"
    assert "${{ inputs" not in json.dumps(job)


def _mappings(value):  # type: ignore[no-untyped-def]
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _mappings(one)


def test_names_that_would_end_the_text_of_a_job_stay_texts(capsys, folder: Path) -> None:
    hostile = 'local-dir:a"b\n  evil: 1'
    (folder / "x").mkdir()
    init(capsys, f"--fm={hostile}")
    job = yaml.safe_load((folder / ".github/workflows/robustness.yml").read_text())
    inputs = next(one for one in _mappings(job) if "PATHOROB_CI_FM" in one)
    assert inputs["PATHOROB_CI_FM"] == hostile


def test_a_misspelled_fm_is_refused_before_anything_is_written(capsys, folder: Path) -> None:
    assert main(["init", "--fm=virchow-2"]) == 1
    assert "virchow2" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
