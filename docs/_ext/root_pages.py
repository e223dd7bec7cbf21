"""Pages that stand beside `docs`, such as SECURITY.md: the site shows those that are there in `docs/project`.

Links between pages are written for a code host, where these pages are files. On the site such a link leads
to the page that includes the file, and a link to a folder to the folder's first page. A link to a file that
is on no page (the READMEs of examples) leads to the file itself.
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any

from citation import page_of_citation
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform

CITATION = "CITATION.cff"
FILES = ("CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", CITATION)
_MARKDOWN = """```{{include}} ../../{name}
:relative-docs: docs/
```
"""


def page_of(name: str) -> str:
    """The page of the site for a file beside `docs`.

    >>> page_of("CODE_OF_CONDUCT.md")
    'project/code-of-conduct'
    """
    return f"project/{Path(name).stem.lower().replace('_', '-')}"


_PAGES = {Path(name).stem: page_of(name) for name in FILES} | {"README": "index"}


def write_pages(app: Sphinx, config: Config) -> None:
    """Write a page for each of the files, and remove those of files that are gone."""
    wanted = {f"{page_of(name)}.md": name for name in FILES if Path(app.srcdir).with_name(name).is_file()}
    folder = Path(app.srcdir, "project")
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if f"project/{path.name}" not in wanted:
            path.unlink()
    for page, name in wanted.items():
        text = _MARKDOWN.format(name=name)
        if name == CITATION:
            content = Path(app.srcdir).with_name(name).read_text(encoding="utf-8")
            text = page_of_citation(content, config.version)
        path = Path(app.srcdir, page)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


class LinksOfCodeHosts(SphinxTransform):
    """Let links to files beside `docs` and to folders lead to pages of the site."""

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Look at each link of MyST that has no target on the site yet."""
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link["reftype"] == "myst":
                target, _, anchor = link["reftarget"].partition("#")
                page = self._page_of_file(target) or self._page_of_folder(target)
                if page is not None:
                    link["refdomain"] = "doc"
                    link["reftarget"] = page
                    link["reftargetid"] = link.get("reftargetid") or anchor or None
                elif (file := self._file(target)) is not None and link["refdomain"] == "doc":
                    link.replace_self(addnodes.download_reference("", "", *link.children, reftarget=file))

    def _file(self, target: str) -> str | None:
        """A page of Markdown beside `docs`, relative to this page."""
        file = Path(f"{target}.md")
        if not file.is_file() or file.is_relative_to(self.env.srcdir):
            return None
        return os.path.relpath(file, self.env.doc2path(self.env.docname).parent)

    def _page_of_file(self, target: str) -> str | None:
        """MyST names a file that is there by its whole path, and any other as the page does."""
        path = Path(target)
        name = path.name.removesuffix(".md")
        return (
            _PAGES.get(name)
            if target in (name, f"{name}.md") or path == Path(self.env.srcdir).with_name(name)
            else None
        )

    def _page_of_folder(self, target: str) -> str | None:
        here = posixpath.dirname(self.env.docname)
        page = posixpath.normpath(posixpath.join(here, target, "index"))
        return page if "/" in target and page in self.env.found_docs else None


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("config-inited", write_pages)
    app.add_transform(LinksOfCodeHosts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
