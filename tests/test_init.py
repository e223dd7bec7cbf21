"""`pathorob-checks init`: what it writes runs as it is, and nothing is written over."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml
from terminal import Terminal

from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.commands.init import PROFILES
from pathorob_checks.criteria.document import read
from pathorob_checks.criteria.mistakes import checked


def commands(output: str) -> list[list[str]]:
    """The commands that are printed to be tried now."""
    now, _, _ = output.partition("then with your own")
    return [shlex.split(line) for line in now.splitlines() if line.startswith("  ")]


@pytest.mark.slow
def test_the_printed_commands_succeed_in_an_empty_folder(terminal: Terminal) -> None:
    said = terminal.command("init")
    assert said.code == 0, said.output
    tried = commands(said.output)
    assert [words[0] for words in tried] == ["pathorob-checks", "pytest", "pathorob-checks"]
    for name, *arguments in tried:
        run = terminal.pytest(*arguments) if name == "pytest" else terminal.command(*arguments)
        assert run.code == 0, run.output
    assert terminal.results()["environment"]["criteria"]["name"] == "ours"


def test_the_criteria_of_the_configuration_are_those_of_a_run(terminal: Terminal) -> None:
    terminal.command("init", "--ci=none")
    output = terminal.pytest("--fm=demo:stain-invariant", "--co", "-q").output
    assert "ours" in terminal.pytest("--fm=demo:stain-invariant", "--co").output, output


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_a_valid_start(terminal: Terminal, profile: str) -> None:
    terminal.command("init", f"--profile={profile}")
    started, origin = checked(read(terminal.folder / "criteria.toml")), checked(read(profile))
    assert started.name == "ours"
    assert started.criteria == origin.criteria


def test_nothing_is_written_over(terminal: Terminal) -> None:
    theirs = {
        "criteria.toml": "mine",
        "patches/manifest.csv": "mine",
        ".github/workflows/robustness.yml": "mine",
        "pyproject.toml": "[project]\n",
    }
    for name, text in theirs.items():
        (terminal.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (terminal.folder / name).write_text(text)
    said = terminal.command("init").output
    for name, text in theirs.items():
        assert f"{name}: is there already and stays as it is" in said
        assert (terminal.folder / name).read_text() == text
    assert 'under [tool.pytest.ini_options]: fm_criteria = ["criteria.toml"]' in said
    assert not (terminal.folder / "pytest.ini").exists()


def test_a_second_time_changes_nothing(terminal: Terminal) -> None:
    terminal.command("init")
    before = {path: path.read_bytes() for path in terminal.folder.rglob("*") if path.is_file()}
    said = terminal.command("init", "--profile=release").output
    assert said.count("is there already and stays as it is") == 4
    assert {path: path.read_bytes() for path in terminal.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("place", [".", "our patches"])
@pytest.mark.parametrize("sides", [("",), ("ID/", "OOD/")])
def test_a_manifest_is_filled_from_images(terminal: Terminal, place: str, sides: tuple[str, ...]) -> None:
    number = 0
    for side in sides:
        for label in ("normal", "tumor"):
            for center in ("Aachen", "Bonn") if side != "OOD/" else ("Lyon",):
                number += 1
                slide = terminal.folder / place / f"{side}{label}/{center}/slide-{number}"
                slide.mkdir(parents=True)
                (slide / "p.png").write_bytes(bytes([number]))
    said = terminal.command("init")
    assert f"the manifest, of {number} patches" in said.output
    quoted = "." if place == "." else "'our patches'"
    assert f"--fm-cohort={quoted} " in said.output
    cohort = load_folder(terminal.folder / place)
    assert len(cohort) == number
    assert set(cohort.patches.subset) == ({"ID"} if len(sides) == 1 else {"ID", "OOD"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ci", "file"), [("github", ".github/workflows/robustness.yml"), ("gitlab", ".gitlab-ci.yml")]
)
def test_a_ci_job_is_yaml_that_runs_the_gate(terminal: Terminal, ci: str, file: str) -> None:
    terminal.command("init", f"--ci={ci}")
    text = (terminal.folder / file).read_text()
    assert yaml.safe_load(text)
    inputs = dict(re.findall(r"^ +(PATHOROB_CI_\w+): (.*)$", text, re.M))
    assert inputs["PATHOROB_CI_CRITERIA"] == "criteria.toml"
    run = terminal.command("ci", subprocess=True, **inputs, PATHOROB_CI_ARGUMENTS="--co -q")
    assert "test_robustness_index" in run.output, run.output
    assert re.search(r"^ +(- |run: )pathorob-checks ci$", text, re.M)
    # A later job finds the embeddings of this one.
    (kept,) = re.findall(r"^ +PATHOROB_CHECKS_CACHE: (.*)$", text, re.M)
    assert len(re.findall(rf"path(?:s: \[|: ){re.escape(kept)}[\],]", text)) == {"github": 2, "gitlab": 1}[ci]


def test_no_job_is_written_where_none_is_wanted(terminal: Terminal) -> None:
    terminal.command("init", "new/gate", "--ci=none")
    place = terminal.folder / "new" / "gate"
    names = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert names == {"criteria.toml", "patches/manifest.csv", "pytest.ini"}


def test_a_file_in_place_of_the_folder_is_called_one(terminal: Terminal) -> None:
    (terminal.folder / "f").write_text("")
    run = terminal.command("init", "f")
    assert (run.code, "f is a file, not a folder; name a folder." in run.output) == (1, True)
