"""The version of the code that runs, and of what is built from it.

A checkout asks git each time, because an editable install keeps the version of the day when it was installed.
The build reads this module too, so it imports nothing of the package.
"""

from __future__ import annotations

import os
import re
import subprocess
from email import message_from_bytes
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

RELEASE = "0.1.0"  # the one that this code leads to; a tag v0.1.0 makes a commit that release

_DISTRIBUTION = "pathorob-checks"
_PACKAGE = Path(__file__).parent
_TIMEOUT_S = 10.0
_UNKNOWN = f"{RELEASE}.dev0+unknown"


@cache
def version() -> str:
    """The version by PEP 440; what cannot be known is called unknown.

    Of a commit it is `0.1.0.dev57+g3f2c1e9ab`: 57 counts the commits up to it. It ends with `.dirty` if
    files of the package differ from the commit. An archive that git made, as the action of GitHub is
    downloaded, does not know how many commits there are: `0.1.0.dev0+g3f2c1e9ab`. A copy of the files that is
    none of these and not installed is `0.1.0.dev0+unknown`.

    >>> version().startswith(RELEASE)
    True
    """
    root = _PACKAGE.parent
    if (root / ".git").exists():
        return _of_checkout(root) or _UNKNOWN
    return _of_installation() or _of_source_distribution(root) or _of_archive(root) or _UNKNOWN


def is_development_version(text: str) -> bool:
    """Whether a version is no release.

    >>> is_development_version("0.1.0"), is_development_version("0.1.0.dev57+g3f2c1e9ab")
    (False, True)
    """
    return ".dev" in text or "+" in text


def _of_checkout(root: Path) -> str | None:
    """None without git, and in a folder of another user's, which git does not look into."""
    commit = _git(root, "rev-parse", "--short=9", "HEAD")
    count = _git(root, "rev-list", "--count", "HEAD")
    tags = _git(root, "tag", "--points-at", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", _PACKAGE.name, "pyproject.toml")
    if commit is None or count is None or tags is None or changed is None:
        return None
    if f"v{RELEASE}" in tags.split() and not changed:
        return RELEASE
    return f"{RELEASE}.dev{count}+g{commit}{'.dirty' if changed else ''}"


def _git(root: Path, *command: str) -> str | None:
    """What git says of a folder; None if it says nothing."""
    # In a hook of git, variables point to the repository that it is about.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    safely = ("--no-optional-locks", "-c", "core.fsmonitor=false")
    try:
        done = subprocess.run(  # noqa: S603 (nothing in the command is from outside)
            ["git", *safely, *command],  # noqa: S607 (git is wherever the system has it)
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _of_installation() -> str | None:
    """The version of the installed distribution, if the files of this package are its files."""
    try:
        installation = distribution(_DISTRIBUTION)
        is_ours = Path(str(installation.locate_file(_PACKAGE.name))).samefile(_PACKAGE)
    except (PackageNotFoundError, OSError):
        return None
    return installation.version if is_ours else None


def _of_source_distribution(root: Path) -> str | None:
    try:
        fields = message_from_bytes((root / "PKG-INFO").read_bytes())
    except OSError:
        return None
    return fields["Version"] if fields["Name"] == _DISTRIBUTION else None


def _of_archive(root: Path) -> str | None:
    """By what `git archive` wrote into a file; None where it is as in the checkout."""
    try:
        lines = (root / ".git_archival.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return None
    fields = dict(line.partition(": ")[::2] for line in lines)
    commit, refs = fields.get("commit", ""), fields.get("refs", "")
    if not re.fullmatch("[0-9a-f]{7,64}", commit):
        return None
    return RELEASE if f"tag: v{RELEASE}" in refs.split(", ") else f"{RELEASE}.dev0+g{commit}"
