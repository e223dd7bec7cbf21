"""Pages that stand beside `docs`, such as SECURITY.md: the site shows them in `docs/project`.

Links between pages are written for a code host, where these pages are files. On the site such a link leads
to the page that includes the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

PAGES = {
    "CHANGELOG": "project/changelog",
    "SECURITY": "project/security",
    "README": "index",
}


class LinksToRootPages(SphinxTransform):
    """Let links to files beside `docs` lead to pages of the site."""

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Look at each link of MyST that has no target on the site yet."""
        root = Path(self.env.srcdir).parent
        for link in self.document.findall(addnodes.pending_xref):
            if link["reftype"] != "myst":
                continue
            target, _, anchor = link["reftarget"].partition("#")
            path = root / Path(target).name.removesuffix(".md")
            page = PAGES.get(path.name)
            is_outside = Path(target) == path or target in (path.name, f"{path.name}.md")
            if page and is_outside:
                link["refdomain"] = "doc"
                link["reftarget"] = page
                link["reftargetid"] = link.get("reftargetid") or anchor or None


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_transform(LinksToRootPages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
