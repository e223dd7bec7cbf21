"""How to cite, from CITATION.cff: in words and as BibTeX."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

_PAGE = """# How to cite

{message}

## The software

{software}

## The study

{study}

[Report it in a paper](../paper.md) has sentences to copy for Methods and Results. `CITATION.cff`, in the
folder of the project, has the same facts in the Citation File Format.
"""


def page_of_citation(text: str, version: str) -> str:
    r"""The page of the site, in Markdown.

    Parameters
    ----------
    text : of CITATION.cff.
    version : of the software.

    Examples
    --------
    >>> page = page_of_citation("message: Please cite both.\ntitle: tool", "1.2")
    >>> print(page[: page.index("## The study")])
    # How to cite
    <BLANKLINE>
    Please cite both.
    <BLANKLINE>
    ## The software
    <BLANKLINE>
    *tool*, version 1.2.
    <BLANKLINE>
    ```bibtex
    @software{tool,
      title = {tool},
      version = {1.2},
    }
    ```
    <BLANKLINE>
    <BLANKLINE>
    """
    facts = yaml.safe_load(text)
    studies = facts.get("references", ())
    return _PAGE.format(
        message=facts["message"],
        software=_entry({**facts, "version": version}),
        study="\n\n".join(map(_entry, studies)),
    )


def bibtex_of(facts: Mapping[str, Any]) -> str:
    """A work of CITATION.cff as BibTeX.

    >>> work = {"title": "On slides", "authors": [{"family-names": "de Jong"}, {"name": "others"}]}
    >>> print(bibtex_of({**work, "type": "article", "year": 2026, "start": "5218"}))
    @article{dejong2026,
      author = {{de Jong} and others},
      title = {{On slides}},
      pages = {5218},
      year = {2026},
    }
    """
    is_article = facts.get("type") == "article"
    authors = list(_names(facts))
    fields = {
        "author": " and ".join(f"{{{name}}}" if " " in name else name for name in authors),
        "title": f"{{{facts['title']}}}" if is_article else facts["title"],
        "journal": facts.get("journal"),
        "volume": facts.get("volume"),
        "pages": facts.get("start"),
        "year": facts.get("year"),
        "doi": facts.get("doi"),
        "version": facts.get("version"),
        "license": facts.get("license"),
    }
    key = f"{authors[0]}{facts['year']}" if is_article else facts["title"]
    plain = re.sub(r"[^a-z0-9-]", "", unicodedata.normalize("NFKD", key.lower()))
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{'article' if is_article else 'software'}{{{plain},", *lines, "}"])


def _entry(facts: Mapping[str, Any]) -> str:
    place = " ".join(filter(None, (facts.get("journal"), facts.get("volume"))))
    parts = [
        ", ".join(_names(facts)).replace(", others", " and others"),
        f"*{facts['title']}*" + (f", version {facts['version']}" if facts.get("version") else ""),
        f"{place}, {facts['start']} ({facts['year']})" if place else "",
        f"DOI {facts['doi']}" if facts.get("doi") else "",
    ]
    words = ". ".join(filter(None, parts))
    return f"{words}.\n\n```bibtex\n{bibtex_of(facts)}\n```"


def _names(facts: Mapping[str, Any]) -> Iterable[str]:
    for author in facts.get("authors", ()):
        yield author.get("family-names") or author["name"]
