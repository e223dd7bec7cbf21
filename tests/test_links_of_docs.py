"""Relative links of the pages lead to files, and to headings that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.M)
_CODE = re.compile(r"^```.*?^```|^    .*?$", re.M | re.S)


def anchors_of(page: Path) -> set[str]:
    """As GitHub makes them."""
    headings = _HEADING.findall(_CODE.sub("", page.read_text(encoding="utf-8")))
    texts = [re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        target, _, anchor = link.partition("#")
        path = page.parent / target if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors_of(path)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_resolve(page: Path) -> None:
    assert broken_links(page) == []


def test_a_link_to_nothing_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b` c\n[x](none.md) [y](#a-b-c) [z](#d) [w](https://example.org/none.md)\n")
    assert broken_links(page) == ["none.md", "#d"]


def test_readme_leads_to_every_page() -> None:
    links = {
        link.partition("#")[0] for link in _LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    }
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= links
