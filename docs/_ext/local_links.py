"""After the pages are written: each link to a page, an anchor or a file of the site leads somewhere.

Sphinx looks at links that it made itself. This looks at what a browser gets, so also at what themes,
directives and notebooks wrote. A page must load nothing from elsewhere either: it is read without network.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
_LOADED = {"script", "img", "iframe", "source", "video", "audio", "embed"}
_LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch"}


class _Page(HTMLParser):
    """Its anchors, where it links to, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Keep what is of interest in a tag."""
        values = {name: value for name, value in attributes if value is not None}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values and _LOADED_LINKS & set(values.get("rel", "").split()):
            self.loaded.append(values["href"])
        elif tag in _LOADED and "src" in values:
            self.loaded.append(values["src"])


def broken(site: Path) -> Iterator[tuple[Path, str]]:
    """Each page with a link that leads nowhere, or with what it loads from elsewhere or cannot find."""
    page_of = cache(_Page)
    for path in sorted(site.rglob("*.html")):
        if path.is_relative_to(site / "_static"):
            continue  # parts of pages, of the theme
        page = page_of(path)
        for link in dict.fromkeys([*page.links, *page.loaded]):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    yield path, f"loads {link} from elsewhere"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            is_there = target.is_relative_to(site.resolve()) and target.is_file()
            if not is_there:
                yield path, f"links to {link}, which is not on the site"
            elif anchor and target.suffix == ".html" and anchor not in page_of(target).anchors:
                yield path, f"links to {link}, where this anchor is not"


def _look(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        for path, problem in broken(Path(app.outdir)):
            logger.warning("%s %s", path.relative_to(app.outdir), problem, type="site", subtype="link")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("build-finished", _look)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
