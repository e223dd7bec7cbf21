"""The sections of the site, from the captions of the first page's table of contents.

The bar at the top has a link to each section, and the sidebar the pages of the section that is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx


@dataclass(frozen=True)
class Section:
    """A section: its title, the page that it begins with, and all of its pages."""

    title: str
    first: str
    pages: frozenset[str]


def sections_of(app: Sphinx) -> list[Section]:
    """The sections in the order of the first page."""
    sections = []
    for toctree in app.env.tocs[app.config.root_doc].findall(addnodes.toctree):
        entries = [page for _, page in toctree["entries"]]
        sections.append(Section(toctree["caption"], entries[0], frozenset(_with_below(app, entries))))
    return sections


def _with_below(app: Sphinx, pages: list[str]) -> set[str]:
    seen: set[str] = set()
    waiting = list(pages)
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            waiting += app.env.toctree_includes.get(page, [])
    return seen


def _add(app: Sphinx, page: str, _: str, context: dict[str, Any], __: nodes.document | None) -> None:
    sections = sections_of(app)
    current = next((section for section in sections if page in section.pages), None)

    def pages_of_section() -> str:
        """The list of the current section, which the theme made for all sections."""
        if current is None:
            return ""
        whole = context["generate_toctree_html"](
            "sidebar", startdepth=0, maxdepth=3, collapse=False, includehidden=True, titles_only=True
        )
        for caption in BeautifulSoup(str(whole), "html.parser").find_all("p", class_="caption"):
            if caption.get_text(strip=True) == current.title:
                pages = caption.find_next_sibling("ul")
                for opener in pages.find_all("summary"):  # it shows an arrow only
                    opener["aria-label"] = f"Pages below {opener.parent.parent.a.get_text(strip=True)}"
                return str(pages)
        return ""

    context["sections"] = [
        {"title": one.title, "link": context["pathto"](one.first), "is_current": one is current}
        for one in sections
    ]
    context["pages_of_section"] = pages_of_section


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("html-page-context", _add, priority=400)  # before the theme looks which templates are empty
    return {"parallel_read_safe": True, "parallel_write_safe": True}
