"""On a code host, relative links of the pages lead to files, and to headings that are there.

Links of the site, and that each of its pages is in a section, are looked at when it is built (docs/conf.py).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_LINK = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.M)
_CODE = re.compile(r"^```.*?^```|^    .*?$", re.M | re.S)
_PICTURE = re.compile(r'<img src="(?![a-z]+:)([^"]+)"')
LARGEST_PICTURE = 200_000  # bytes


def anchors_of(page: Path) -> set[str]:
    """As GitHub makes them."""
    headings = _HEADING.findall(_CODE.sub("", page.read_text(encoding="utf-8")))
    texts = [re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


def broken_links(page: Path) -> list[str]:
    broken = []
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    for link in (*_LINK.findall(text), *_PICTURE.findall(text)):
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
    page.write_text(
        '# A `b` c\n[x](none.md) [y](#a-b-c) [z](#d) [w](https://example.org/none.md) <img src="none.png">\n'
    )
    assert broken_links(page) == ["none.md", "#d", "none.png"]


def pages_from(start: Path) -> set[Path]:
    """The pages that a reader reaches from one by links."""
    reached, left = {start}, [start]
    while left:
        page = left.pop()
        targets = {link.partition("#")[0] for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8")))}
        new = {(page.parent / target).resolve() for target in targets if target.endswith(".md")} - reached
        reached |= new
        left += new
    return reached


def test_readme_leads_to_every_page() -> None:
    assert set((ROOT / "docs").glob("*.md")) <= pages_from(ROOT / "README.md")


def test_pictures_are_small() -> None:
    folders = (ROOT / "docs", ROOT / "docs" / "images", ROOT / "docs" / "figures")
    pictures = [path for folder in folders for path in folder.glob("*.[jps][pnv]g")]
    assert len(pictures) > 5
    assert [path.name for path in pictures if path.stat().st_size > LARGEST_PICTURE] == []
