"""The version of the code that runs: a checkout, what is built from it, and copies of both."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from pathorob_checks.version import RELEASE

ROOT = Path(__file__).parent.parent
UNKNOWN = f"{RELEASE}.dev0+unknown"
SHOW = "import runpy, sys; print(runpy.run_path(sys.argv[1])['version']())"
BUILD = "import sys, hatchling.build as b; print(getattr(b, 'build_' + sys.argv[1])(sys.argv[2]))"


def output(*command: str | Path, cwd: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        command, cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def git(folder: Path, *command: str) -> str:
    identity = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false")
    return output("git", *identity, *command, cwd=folder)


def shown(folder: Path, **environment: str) -> str:
    """The version as the code in a folder tells it."""
    script = folder / "pathorob_checks" / "version.py"
    return output(sys.executable, "-c", SHOW, script, cwd=folder.parent, **environment)


def built(kind: str, folder: Path, target: Path) -> Path:
    target.mkdir(exist_ok=True)
    return target / output(sys.executable, "-c", BUILD, kind, target, cwd=folder).splitlines()[-1]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the little that a build needs, which is no checkout."""
    folder = tmp_path / "copy"
    (folder / "pathorob_checks").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "pathorob_checks/version.py"):
        shutil.copyfile(ROOT / name, folder / name)
    (folder / "pathorob_checks" / "__init__.py").touch()
    return folder


@pytest.fixture
def checkout(copy: Path) -> Path:
    """The same as a checkout of two commits without tags."""
    git(copy, "init", "--quiet")
    (copy / ".gitignore").write_text("__pycache__\n")
    git(copy, "add", ".")
    git(copy, "commit", "--quiet", "--message=One")
    git(copy, "commit", "--quiet", "--message=Two", "--allow-empty")
    return copy


def test_a_commit_is_told_by_its_number_and_digest(checkout: Path) -> None:
    digest = git(checkout, "rev-parse", "--short=9", "HEAD")
    assert shown(checkout) == f"{RELEASE}.dev2+g{digest}"
    git(checkout, "commit", "--quiet", "--message=Three", "--allow-empty")
    assert shown(checkout).startswith(f"{RELEASE}.dev3+g")


@pytest.mark.parametrize("name", ["pathorob_checks/__init__.py", "pathorob_checks/new.py", "pyproject.toml"])
def test_a_change_of_the_code_is_told(name: str, checkout: Path) -> None:
    before = shown(checkout)
    with (checkout / name).open("a") as file:
        file.write("# changed\n")
    assert shown(checkout) == f"{before}.dirty"


def test_a_tagged_commit_is_the_release_and_a_change_of_it_is_not(checkout: Path) -> None:
    git(checkout, "tag", "v0.0.1")
    assert ".dev2+g" in shown(checkout)
    git(checkout, "tag", f"v{RELEASE}")
    assert shown(checkout) == RELEASE
    (checkout / "pathorob_checks" / "__init__.py").write_text("# changed\n")
    assert re.fullmatch(rf"{RELEASE}\.dev2\+g[0-9a-f]{{9}}\.dirty", shown(checkout))


def test_a_hook_of_another_repository_does_not_matter(checkout: Path) -> None:
    assert shown(checkout, GIT_DIR=str(ROOT / ".git"), GIT_WORK_TREE=str(ROOT)) == shown(checkout)


def test_without_git_the_commit_is_unknown(checkout: Path) -> None:
    assert shown(checkout, PATH="") == UNKNOWN


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives folders away")
def test_the_commit_of_another_users_folder_is_unknown(checkout: Path) -> None:
    for path in (checkout, checkout / ".git"):
        os.chown(path, 54321, -1)
    assert shown(checkout) == UNKNOWN


def test_a_copy_has_no_version_of_an_installation_elsewhere(copy: Path) -> None:
    assert shown(copy) == UNKNOWN
    for name in (".git", "pathorob_checks"):  # a copy inside the checkout of another project
        assert not (copy.parent / name).exists()
    git(copy.parent, "init", "--quiet")
    assert shown(copy) == UNKNOWN


def test_what_is_built_has_the_version_of_its_checkout(checkout: Path, tmp_path: Path) -> None:
    expected = shown(checkout)
    with tarfile.open(built("sdist", checkout, tmp_path / "dist")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    [source] = (tmp_path / "unpacked").iterdir()
    assert shown(source) == expected
    for number, folder in enumerate((checkout, source)):
        installed = tmp_path / f"installed{number}"
        with zipfile.ZipFile(built("wheel", folder, tmp_path / f"wheels{number}")) as wheel:
            [metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
            assert message_from_bytes(wheel.read(metadata))["Version"] == expected
            wheel.extractall(installed)
        assert shown(installed, PYTHONPATH=str(installed)) == expected


def test_a_copy_can_be_built(copy: Path, tmp_path: Path) -> None:
    assert built("wheel", copy, tmp_path / "dist").name.startswith(f"pathorob_checks-{UNKNOWN}-")


def archive_of(checkout: Path, folder: Path) -> Path:
    """What `git archive` makes of a checkout, unpacked."""
    folder.mkdir()
    git(checkout, "archive", f"--output={folder.parent / 'archive.tar'}", "HEAD")
    with tarfile.open(folder.parent / "archive.tar") as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_an_archive_of_a_commit_says_which(checkout: Path, tmp_path: Path) -> None:
    for name in (".git_archival.txt", ".gitattributes"):
        shutil.copyfile(ROOT / name, checkout / name)
    assert archive_of(checkout, tmp_path / "without") is not None
    assert shown(tmp_path / "without") == UNKNOWN  # the two files are not committed yet
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message=Three")
    digest = git(checkout, "rev-parse", "--short", "HEAD")
    assert shown(archive_of(checkout, tmp_path / "commit")) == f"{RELEASE}.dev0+g{digest}"
    git(checkout, "tag", f"v{RELEASE}0")
    assert shown(archive_of(checkout, tmp_path / "other")) == f"{RELEASE}.dev0+g{digest}"
    git(checkout, "tag", f"v{RELEASE}")
    assert shown(archive_of(checkout, tmp_path / "release")) == RELEASE
    shutil.copyfile(ROOT / ".git_archival.txt", tmp_path / "commit" / ".git_archival.txt")
    assert shown(tmp_path / "commit") == UNKNOWN  # a copy of a checkout's files
