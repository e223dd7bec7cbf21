"""What users are told to install can be installed, before a release too."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pathorob_checks.evidence import keyless
from pathorob_checks.importing.libraries import LIBRARIES
from pathorob_checks.models.repository import OPTIONAL_LIBRARIES

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MESSAGES = sorted((ROOT / "pathorob_checks").rglob("*.py"))
INSTALL = re.compile(r"pip install '([^']+)'")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_install_the_checkout(page: Path) -> None:
    text = page.read_text()
    assert "pip install pathorob-checks" not in text
    for target in INSTALL.findall(text):
        extra = re.fullmatch(r"\.\[(\w+)\]", target)
        assert extra is None or extra[1] in EXTRAS, target
        assert not target.startswith("pathorob-checks"), target


def test_messages_name_the_library_that_an_extra_brings() -> None:
    """They are right before a release and after it, and in any folder."""
    needed = {
        one for extra in ("ray", "transformers", "open-clip", "sigstore", "import") for one in EXTRAS[extra]
    }
    written = {one for file in MESSAGES for one in INSTALL.findall(file.read_text())}
    named_requirements = {one for one in written if "{" not in one and not one.startswith("httpx")}
    assert named_requirements | {*OPTIONAL_LIBRARIES.values(), keyless.LIBRARY, *LIBRARIES.values()} == needed


def test_the_dev_extra_has_the_other_extras() -> None:
    dev = set(EXTRAS["dev"])
    whole = {name for name in EXTRAS if f"{PROJECT['name']}[{name}]" in dev}
    assert {one for name in EXTRAS.keys() - whole - {"dev"} for one in EXTRAS[name]} <= dev
