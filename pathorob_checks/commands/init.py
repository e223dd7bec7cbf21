"""`init`: files to start from, written beside what is there and never over it."""

from __future__ import annotations

import argparse
import csv
import io
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pathorob_checks.cohorts.file_names import MANIFEST
from pathorob_checks.console import say
from pathorob_checks.criteria.templates import TO_FILL_IN, started_from
from pathorob_checks.errors import SettingsError
from pathorob_checks.files import expanded
from pathorob_checks.nearby import folder_nearby
from pathorob_checks.wording import counted, printable

PROFILES = ("floor", "release", "full")
"""Profiles whose bounds are numbers: those of the others are about the benchmark's cohorts alone."""

_CRITERIA = "criteria.toml"
_PATCHES = "patches"
_WORKFLOWS = {"github": ".github/workflows/robustness.yml", "gitlab": ".gitlab-ci.yml"}
_NO_WORKFLOW = "none"
_STAYS = "is there already and stays as it is"
# Files in one of which a project configures pytest: a pytest.ini beside them would take their place.
_CONFIGURATIONS = (
    "pytest.toml",
    ".pytest.toml",
    "pytest.ini",
    ".pytest.ini",
    "pyproject.toml",
    "tox.ini",
    "setup.cfg",
)


@dataclass(frozen=True)
class StartingFile:
    """One file to write.

    Attributes
    ----------
    path : relative to the folder.
    text : its content.
    what : what it is, after its path.
    """

    path: str
    text: str
    what: str


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "init",
        help="write files to start from: criteria, manifest, CI job, configuration",
        description="Write a criteria file, a manifest of patches, a CI job and a configuration of pytest "
        "into a folder. Nothing is overwritten. Where the folder has images as "
        "<class>/<center>/<slide>/<patch>.png, the manifest is filled from them.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where (default: this folder)")
    parser.add_argument(
        "--profile", choices=PROFILES, default="floor", help="what the criteria start from (default: floor)"
    )
    parser.add_argument(
        "--ci",
        choices=(*_WORKFLOWS, _NO_WORKFLOW),
        default="github",
        help="whose job to write (default: github)",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    folder = expanded(options.folder)
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{options.folder} is a file, not a folder", remedy="name a folder")
    cohort = _folder_of_images(folder)
    kept = _kept_configuration(folder)
    # All are made before any is written: an image in a wrong place leaves no half of a start.
    for file in list(_starting_files(folder, cohort, options.profile, options.ci)):
        is_new = _write_new(folder / file.path, file.text)
        say(printable(f"{file.path}: " + (f"written, {file.what}" if is_new else _STAYS)))
    if kept is not None:
        say(printable(kept))
    say("\n".join(map(printable, _next_commands(options.folder, cohort))))
    return 0


def _starting_files(folder: Path, cohort: Path | None, profile: str, ci: str) -> Iterator[StartingFile]:
    yield StartingFile(
        _CRITERIA, started_from(profile, _CRITERIA), f"the criteria, from the profile {profile}"
    )
    rows = [] if cohort is None else list(_rows(cohort))
    manifest = (Path(_PATCHES) if cohort is None else cohort.relative_to(folder)) / MANIFEST
    what = f"the manifest, of {counted(len(rows), 'patch', 'patches')}" if rows else "a manifest to fill in"
    yield StartingFile(manifest.as_posix(), _table(rows), what)
    if ci != _NO_WORKFLOW:
        text = (files("pathorob_checks.commands") / "starting_files" / f"{ci}.yml").read_text(
            encoding="utf-8"
        )
        places = counted(text.count(TO_FILL_IN), "place")
        yield StartingFile(_WORKFLOWS[ci], text, f"the CI job, with {places} that say {TO_FILL_IN}")
    if not any((folder / name).exists() for name in _CONFIGURATIONS):
        yield StartingFile("pytest.ini", _configuration(), "the criteria of every run in this folder")


def _configuration() -> str:
    return f"[pytest]\nfm_criteria = {_CRITERIA}\n"


def _kept_configuration(folder: Path) -> str | None:
    """What is said of a project's own configuration of pytest, and what to add to it."""
    existing = next((name for name in _CONFIGURATIONS if (folder / name).exists()), None)
    if existing is None:
        return None
    if _CRITERIA in (folder / existing).read_text(encoding="utf-8", errors="replace"):
        return f"{existing}: {_STAYS}"
    if existing == "pyproject.toml":
        setting = f'under [tool.pytest.ini_options]: fm_criteria = ["{_CRITERIA}"]'
    else:
        section = {"setup.cfg": "tool:pytest"}.get(existing, "pytest")
        setting = f"under [{section}]: fm_criteria = {_CRITERIA}"
    return f"{existing}: {_STAYS}; to have these criteria in every run, add {setting}"


def _folder_of_images(folder: Path) -> Path | None:
    """The folder, or the one folder in it, whose folders are the labels of images."""
    from pathorob_checks.cohorts import tree

    def has_images(path: Path) -> bool:
        return path.is_dir() and tree.levels_above_images(path) == len(tree.LEVELS)

    if has_images(folder):
        return folder
    near = folder_nearby(folder, has_images)
    return near if near is not None and near.parent == folder else None


def _rows(cohort: Path) -> Iterator[dict[str, str]]:
    from pathorob_checks.cohorts import tree

    for path, labels in tree.labels_by_path(cohort):
        yield {"image_path": path, **labels}


def _table(rows: list[dict[str, str]]) -> str:
    from pathorob_checks.cohorts.demo import MANIFEST_COLUMNS

    text = io.StringIO()
    writer = csv.DictWriter(text, MANIFEST_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write_new(path: Path, text: str) -> bool:
    """Whether the file was written: one that exists is left alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _next_commands(folder: Path, cohort: Path | None) -> Iterator[str]:
    """Commands that work now, then those for the user's own FM."""
    own = shlex.quote(_PATCHES if cohort is None else cohort.relative_to(expanded(folder)).as_posix())
    with_criteria = f"--fm-criteria={_CRITERIA}"
    yield "try it now, without a download:"
    if folder != Path():
        yield f"  cd {shlex.quote(str(folder))}"
    yield f"  pathorob-checks criteria check {_CRITERIA}"
    yield f"  pytest --fm=demo:stain-invariant --fm-cohort=demo {with_criteria} --fm-json=results.json"
    yield "  pathorob-checks verdict results.json --complete"
    yield "then with your own FM and patches:"
    yield f"  pathorob-checks doctor --fm=virchow2 --fm-cohort={own} {with_criteria}"
    yield f"  pytest --fm=virchow2 --fm-cohort={own} {with_criteria} --fm-json=results.json"
