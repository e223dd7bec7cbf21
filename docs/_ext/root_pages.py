"""Pages that stand beside `docs`, such as SECURITY.md: the site shows those that are there in `docs/project`.

Links between pages are written for a code host, where these pages are files. On the site such a link leads
to the page that includes the file, or, where no page does, to the file itself (the READMEs of examples).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform

FILES = ("CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "CITATION.cff")
ROOT = Path(__file__).parents[2]
_MARKDOWN = """```{{include}} ../../{name}
:relative-docs: docs/
```
"""
_CITATION = """# How to cite

```{{literalinclude}} ../../{name}
:language: yaml
```
"""


def page_of(name: str) -> str:
    """The page of the site for a file beside `docs`.

    >>> page_of("CODE_OF_CONDUCT.md")
    'project/code-of-conduct'
    """
    return f"project/{Path(name).stem.lower().replace('_', '-')}"


def write_pages(app: Sphinx, _: Config) -> None:
    """Write a page for each of the files, and remove those of files that are gone."""
    wanted = {f"{page_of(name)}.md": name for name in FILES if (ROOT / name).is_file()}
    folder = Path(app.srcdir, "project")
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if f"project/{path.name}" not in wanted:
            path.unlink()
    for page, name in wanted.items():
        text = (_MARKDOWN if name.endswith(".md") else _CITATION).format(name=name)
        path = Path(app.srcdir, page)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


class LinksToRootPages(SphinxTransform):
    """Let links to files beside `docs` lead to pages of the site."""

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Look at each link of MyST that has no target on the site yet."""
        pages = {Path(name).stem: page_of(name) for name in FILES} | {"README": "index"}
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link["reftype"] != "myst":
                continue
            target, _, anchor = link["reftarget"].partition("#")
            name = Path(target).name.removesuffix(".md")
            is_outside = Path(target) == ROOT / name or target in (name, f"{name}.md")
            if name in pages and is_outside:
                link["refdomain"] = "doc"
                link["reftarget"] = pages[name]
                link["reftargetid"] = link.get("reftargetid") or anchor or None
                continue
            file = Path(f"{target}.md")
            if link["refdomain"] == "doc" and file.is_file() and not file.is_relative_to(self.env.srcdir):
                relative = os.path.relpath(file, self.env.doc2path(self.env.docname).parent)
                link.replace_self(addnodes.download_reference("", "", *link.children, reftarget=relative))


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("config-inited", write_pages)
    app.add_transform(LinksToRootPages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
