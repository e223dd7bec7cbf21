"""ci/release.py: tag, version, changelog and address agree, and the changelog has the form that it says."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from conftest import ROOT
from pathorob_checks.version import RELEASE

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
GOOD = """# Changes

## [Unreleased]

## [0.2.0] - 2026-11-27

### Added

#### A topic

- An entry.

### Fixed

- Another.

## [0.1.0] - 2026-10-01

### Added

- The first.
"""


@pytest.fixture(scope="module")
def release() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("release", ROOT / "ci" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["release"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["release"]


def test_the_changelog_has_its_form(release: ModuleType) -> None:
    assert list(release.faults_of(CHANGELOG)) == []
    assert list(release.faults_of(GOOD)) == []


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("## [Unreleased]\n", "", "the changelog does not begin with [Unreleased]"),
        ("[0.1.0]", "[0.3.0]", "the versions of the changelog do not descend"),
        ("[0.1.0]", "[0.2.0]", "a version stands twice"),
        ("[0.1.0]", "[0.1]", "a version in the changelog is not three numbers"),
        (" - 2026-10-01", "", "[0.1.0] has the wrong date"),
        ("### Fixed", "### Repairs", "[0.2.0] has a section 'Repairs'; choose Added, Changed"),
        ("### Added\n\n- The", "- The", "an entry of [0.1.0] is in no section: '- The first.'"),
    ],
)
def test_a_changelog_of_another_form_is_found(
    before: str, after: str, fault: str, release: ModuleType
) -> None:
    assert GOOD.count(before) >= 1
    changed = after.join(GOOD.rsplit(before, 1))
    assert any(one.startswith(fault) for one in release.faults_of(changed))


def test_a_heading_that_is_no_version_is_refused(release: ModuleType) -> None:
    with pytest.raises(
        release.ReleaseError, match=r"line 5 of the changelog is no version: '## 0\.2\.0'; write"
    ):
        release.versions_of(GOOD.replace("[0.2.0] - 2026-11-27", "0.2.0"))


def test_the_notes_are_the_changes_of_one_version(release: ModuleType) -> None:
    notes = release.notes_of(GOOD, "0.2.0")
    assert notes == "## Added\n\n### A topic\n\n- An entry.\n\n## Fixed\n\n- Another.\n"
    with pytest.raises(release.ReleaseError, match=r"no version 0\.4\.0; rename \[Unreleased\]"):
        release.notes_of(GOOD, "0.4.0")


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The files that a release is checked by, as they would have to be."""
    for name in ("pyproject.toml", "CHANGELOG.md", "pathorob_checks/version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    entries = CHANGELOG.partition("## [Unreleased]\n")[2]
    text = f"# Changes\n\n## [Unreleased]\n\n## [{RELEASE}] - 2026-12-01\n{entries}"
    (tmp_path / "CHANGELOG.md").write_text(text, encoding="utf-8")
    project = (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(project.replace("OWNER/", "real/"), encoding="utf-8")
    return tmp_path


def test_a_commit_that_is_ready_may_be_released(released: Path, release: ModuleType) -> None:
    release.check(f"v{RELEASE}", released)


@pytest.mark.parametrize(
    ("file", "before", "after", "tag", "error"),
    [
        ("CHANGELOG.md", "", "", "v9.9.9", "the tag is 'v9.9.9', but the code leads to"),
        ("CHANGELOG.md", f"## [{RELEASE}] - 2026-12-01\n", "", f"v{RELEASE}", "the changelog has no version"),
        ("CHANGELOG.md", "### Added", "### New", f"v{RELEASE}", "has a section 'New'"),
        (
            "pyproject.toml",
            "real/",
            "OWNER/",
            f"v{RELEASE}",
            "the project's address is a placeholder (OWNER)",
        ),
    ],
)
def test_a_commit_that_is_not_is_refused(
    file: str, before: str, after: str, tag: str, error: str, released: Path, release: ModuleType
) -> None:
    path = released / file
    path.write_text(path.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    with pytest.raises(release.ReleaseError, match=re.escape(error)):
        release.check(tag, released)


def test_the_project_has_one_address() -> None:
    """Every page and kit has the owner of pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [owner] = set(re.findall(r"https://github\.com/([\w-]+)/pathorob-checks", text))
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("ci/**/*.yml"),
        *ROOT.glob(".github/**/*.yml"),
    ]
    named = {
        name for page in pages for name in re.findall(r"([\w-]+)/pathorob-checks[@/\n]", page.read_text())
    }
    assert named - {owner, "ci", "opt", ".cache", "carried"} == set()
    assert owner in named


def test_every_version_of_python_that_is_claimed_is_tried() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    claimed = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    checks = (ROOT / ".github/workflows/checks.yml").read_text(encoding="utf-8")
    tried = re.search(r"python: \[(.*)\]", checks)
    assert tried is not None
    assert re.findall(r"3\.\d+", tried[1]) == claimed
