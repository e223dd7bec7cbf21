"""What a release needs to be one: the tag, the version, the changelog and the address agree.

    python ci/release.py check v0.1.0           exit code 1 and a sentence if they do not agree
    python ci/release.py notes > notes.md       the changelog of this version, for the release's page

It runs before anything is built, so it imports nothing but the version.
"""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACEHOLDER = "OWNER"  # until the project has a public address; pyproject.toml is the one place that has it
UNRELEASED = "Unreleased"
SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_HEADING = re.compile(r"^## \[(?P<name>[^]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?$")
_WRITE = "write ## [1.2.3] - 2026-12-31"
_CHOOSE = f"choose {', '.join(SECTIONS)}, and #### for topics"


class ReleaseError(Exception):
    """What keeps a commit from being a release, as one sentence."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """The changes of one version.

    Attributes
    ----------
    name : `0.1.0`, or `Unreleased`.
    date : `2026-11-27`; None for what is not released.
    lines : all lines below the heading.
    """

    name: str
    date: str | None
    lines: tuple[str, ...]


def versions_of(changelog: str) -> list[Version]:
    """The versions in a changelog, as they stand there.

    Raises
    ------
    ReleaseError : a heading is not one of a version.
    """
    headings: list[tuple[re.Match[str], list[str]]] = []
    for number, line in enumerate(changelog.splitlines(), 1):
        if line.startswith("## "):
            match = _HEADING.match(line)
            if match is None:
                raise ReleaseError(
                    f"line {number} of the changelog is no version: {line!r}; write ## [1.2.3] - date"
                )
            headings.append((match, []))
        elif headings:
            headings[-1][1].append(line)
    return [Version(name=match["name"], date=match["date"], lines=tuple(lines)) for match, lines in headings]


def faults_of(changelog: str) -> Iterator[str]:
    """What is wrong with a changelog, a sentence each."""
    versions = versions_of(changelog)
    names = [one.name for one in versions]
    if names[:1] != [UNRELEASED]:
        yield f"the changelog does not begin with [{UNRELEASED}]; add it on top, if empty"
    if len(set(names)) < len(names):
        yield "a version stands twice in the changelog; join the two"
    numbers = [tuple(map(int, name.split("."))) for name in names if re.fullmatch(r"\d+\.\d+\.\d+", name)]
    if len(numbers) < len([name for name in names if name != UNRELEASED]):
        yield "a version in the changelog is not three numbers; write it as 1.2.3"
    if numbers != sorted(numbers, reverse=True):
        yield "the versions of the changelog do not descend; put the newest first"
    for one in versions:
        if (one.date is None) != (one.name == UNRELEASED):
            yield f"[{one.name}] has the wrong date; a version has one, and [{UNRELEASED}] has none"
        section = None
        for line in one.lines:
            if line.startswith("### "):
                section = line.removeprefix("### ")
                if section not in SECTIONS:
                    yield f"[{one.name}] has a section {section!r}; {_CHOOSE}"
            elif line.startswith("- ") and section is None:
                yield f"an entry of [{one.name}] is in no section: {line!r}; {_CHOOSE}"


def notes_of(changelog: str, version: str) -> str:
    """The changes of a version as Markdown, whose headings begin at the second level.

    Raises
    ------
    ReleaseError : the changelog does not have the version.
    """
    for one in versions_of(changelog):
        if one.name == version:
            text = "\n".join(line[1:] if line.startswith("###") else line for line in one.lines)
            return text.strip() + "\n"
    raise ReleaseError(f"the changelog has no version {version}; rename [{UNRELEASED}] and give it the date")


def check(tag: str, root: Path = ROOT) -> None:
    """Whether a tag may become a release.

    Raises
    ------
    ReleaseError : the first thing that does not agree.
    """
    version = release_of(root)
    if tag != f"v{version}":
        raise ReleaseError(
            f"the tag is {tag!r}, but the code leads to {version}; tag v{version}, or raise RELEASE"
        )
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    for fault in faults_of(changelog):
        raise ReleaseError(fault)
    if not notes_of(changelog, version).strip():
        raise ReleaseError(f"the changelog has no changes for {version}; say what users notice")
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    if any(PLACEHOLDER in address.split("/") for address in urls.values()):
        raise ReleaseError(f"the project's address is a placeholder ({PLACEHOLDER}); write the real one")


def release_of(root: Path = ROOT) -> str:
    """The version that the code leads to."""
    return str(runpy.run_path(str(root / "pathorob_checks" / "version.py"))["RELEASE"])


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    try:
        match list(arguments):
            case ["check", tag]:
                check(tag)
            case ["notes"]:
                sys.stdout.write(notes_of((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), release_of()))
            case _:
                sys.stderr.write(__doc__ or "")
                return 2
    except ReleaseError as error:
        sys.stderr.write(f"release: {error}.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
