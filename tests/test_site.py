"""The reference of the documentation site says what the package says, and broken links of pages are found.

The whole site is built by .ci/run, where every warning is an error.
"""

from __future__ import annotations

import argparse
import doctest
import importlib
import io
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import citation
import described_options
import local_links
import pydantic
import pytest
import root_pages
import schema_tables
import table_nodes
import yaml
from bs4 import BeautifulSoup
from packaging.version import Version
from sphinx.application import Sphinx
from test_docstrings import NAMES

from pathorob_checks.cli import argument_parser
from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.metrics import metrics
from pathorob_checks.models.recipes import recipes
from pathorob_checks.plugin.options import OPTIONS
from pathorob_checks.results.results import json_schema

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
CONF = """
extensions = ["myst_parser", "command_line", "package_tables", "pytest_options", "schema_tables"]
exclude_patterns = ["out"]
smartquotes = False
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only the directives of the pages: their links lead to pages that are not built here."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "conf.py").write_text(CONF)
    (folder / "index.md").write_text("# Reference\n\n```{toctree}\n:glob:\n\n*\n```\n")
    for path in REFERENCE.glob("*.md"):
        directives = re.findall(r"^```\{(?!eval-rst).*?^```$", path.read_text(), re.M | re.S)
        (folder / path.name).write_text("\n\n".join([f"# {path.stem}", *directives]))
    out, warnings = folder / "out", io.StringIO()
    Sphinx(folder, folder, out, out, "html", warning=warnings, status=None).build()
    assert warnings.getvalue() == ""
    return out


def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(), "html.parser")


def first_cells(page: Path) -> list[str]:
    return [row.find("td").get_text(strip=True) for row in soup(page).select("tbody tr")]


def test_every_option_of_pytest_is_described(reference: Path) -> None:
    described = {
        one.select_one("dt .descname").get_text(): one.select_one("dd").get_text(" ")
        for one in soup(reference / "options.html").select("dl.option")
    }
    assert sorted(described) == sorted(option.flag for option in OPTIONS)
    for option in OPTIONS:
        text = " ".join(described[option.flag].split())
        assert option.help[1:] in text
        assert option.ini in text
        assert option.environment is None or option.environment in text


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command
                yield from commands(command)


def test_every_command_and_argument_is_described(reference: Path) -> None:
    page = soup(reference / "command-line.html")
    names = {one.get_text() for one in page.select(".descname")}
    for command in commands(argument_parser()):
        assert page.find("section", id=command.prog.replace(" ", "-")) is not None, command.prog
        for action in command._actions:
            if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
                shown = ", ".join(action.option_strings) or action.metavar or action.dest
                assert shown in names, (command.prog, shown)


@pytest.mark.skipif(
    Version(pydantic.VERSION) < Version("2.14"), reason="earlier versions leave descriptions out of schemas"
)
def test_every_field_of_results_and_criteria_is_described(reference: Path) -> None:
    schema = json_schema()
    objects = [schema, *schema["$defs"].values()]
    fields = [name for one in objects for name in one.get("properties", ())]
    assert sorted(first_cells(reference / "results-file.html")) == sorted(fields)
    criteria = {"at_least", "worst_ood_center", "published_quantile", "margin"}
    assert criteria <= {*first_cells(reference / "criteria-files.html")}
    for name in ("results-file", "criteria-files"):
        for row in soup(reference / f"{name}.html").select("tbody tr"):
            field, meaning, _ = (cell.get_text(strip=True) for cell in row.find_all("td"))
            assert meaning, f"{name}: {field} of {row.find_parent('section')['id']}"


def test_every_entry_of_the_tables_is_described(reference: Path) -> None:
    assert first_cells(reference / "recipes.html") == list(recipes())
    assert first_cells(reference / "scales.html") == list(metrics())
    assert [f"profile-{name}" for name in BUILT_IN] == [
        one["id"] for one in soup(reference / "profiles.html").select("section section")
    ]
    assert {"fm_model", "fm_cohort", "fm_embeddings", "fm_check"} <= {
        *first_cells(reference / "fixtures.html")
    }


def test_every_public_name_is_in_the_reference() -> None:
    listed = re.findall(r"^   (pathorob_checks[\w.]*)$", (REFERENCE / "python.md").read_text(), re.M)
    reached = set()
    for name in listed:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            reached.add(name)  # of a function or a class
        else:
            reached |= {f"{name}.{each}" for each in module.__all__}
    assert {*NAMES} <= reached


def test_a_link_to_nothing_and_what_is_loaded_from_elsewhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "second.html").write_text('<h1 id="there">Second</h1> <a href="index.html#first">a</a>')
    (tmp_path / "index.html").write_text(
        '<h1 id="first">First</h1> <a href="none.html">a</a> <a href="second.html#none">b</a> '
        '<a href="second.html#there">c</a> <a href="#first">d</a> <a href="../outside.html">e</a> '
        '<a href="https://example.org">f</a> <img src="https://example.org/a.png"> '
        '<script src="gone.js"></script>'
    )
    assert list(local_links.broken(tmp_path)) == [
        (tmp_path / "index.html", problem)
        for problem in (
            "links to none.html, which is not on the site",
            "links to second.html#none, where this anchor is not",
            "links to ../outside.html, which is not on the site",
            "loads https://example.org/a.png from elsewhere",
            "links to gone.js, which is not on the site",
        )
    ]


FILES = {
    "SECURITY.md": "# Security\n\n## Reporting\n\n[a](docs/notes/)\n",
    "CHANGELOG.md": "# Changes\n\n[a](SECURITY.md) [b](docs/index.md)\n",
    "docs/conf.py": 'extensions = ["myst_parser", "root_pages"]\nmyst_heading_anchors = 2\n',
    "docs/index.md": "# First\n\n[a](../SECURITY.md#reporting) [b](notes/)\n",
    "docs/notes/index.md": "# Notes\n\n[a](../../CHANGELOG.md) [b](../../README.md)\n",
    "README.md": "# Read me\n",
}
CITATION = """message: Please cite the software.
title: tool
references:
  - {type: article, title: On slides, authors: [{family-names: Kömen}, {name: others}], year: 2026}
"""


@pytest.mark.filterwarnings("ignore:.* is deprecated. Check CHANGES for Sphinx")  # myst-parser's
def test_the_citation_is_shown_in_words_and_as_bibtex(tmp_path: Path) -> None:
    docs, out = tmp_path / "docs", tmp_path / "out"
    docs.mkdir()
    (docs / "conf.py").write_text('extensions = ["myst_parser", "root_pages"]\nversion = "1.2"\n')
    (docs / "index.md").write_text("# First\n")
    (tmp_path / "CITATION.cff").write_text(CITATION, encoding="utf-8")
    Sphinx(docs, docs, out, out, "html", warning=None, status=None).build()
    page = soup(out / "project" / "citation.html").select_one(".body")
    assert page is not None
    assert "Kömen and others. On slides." in page.text
    assert [block.text.split("{")[0] for block in page.select("pre")] == ["@software", "@article"]
    assert "version = {1.2}" in page.text


def test_the_page_on_papers_cites_what_the_citation_file_names() -> None:
    facts = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    for work in ({**facts, "version": "VERSION"}, *facts["references"]):
        assert textwrap.indent(citation.bibtex_of(work), "    ") in page


@pytest.mark.filterwarnings("ignore:.* is deprecated. Check CHANGES for Sphinx")  # myst-parser's
def test_links_of_a_code_host_lead_to_pages(tmp_path: Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    docs, out = tmp_path / "docs", tmp_path / "out"
    Sphinx(docs, docs, out, out, "html", warning=None, status=None).build()
    links = {
        name: [link["href"] for link in soup(out / name).select(".body p a")]
        for name in ("index.html", "notes/index.html", "project/security.html", "project/changelog.html")
    }
    assert links == {
        "index.html": ["project/security.html#reporting", "notes/index.html"],
        "notes/index.html": ["../project/changelog.html", "../index.html"],
        "project/security.html": ["../notes/index.html"],
        "project/changelog.html": ["security.html", "../index.html"],
    }
    assert sorted(path.name for path in (docs / "project").iterdir()) == ["changelog.md", "security.md"]


@pytest.mark.parametrize(
    "module", [citation, described_options, root_pages, table_nodes, local_links, schema_tables]
)
def test_the_examples_of_its_extensions_run(module: object) -> None:
    failed, _ = doctest.testmod(module)
    assert failed == 0


def test_a_link_to_a_readme_beside_the_pages_leads_to_the_file(tmp_path: Path) -> None:
    pages = tmp_path / "docs"
    pages.mkdir()
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "README.md").write_text("# Examples\n")
    (pages / "conf.py").write_text(
        'extensions = ["myst_parser"]\nnitpicky = True\n'
        "def setup(app):\n    import root_pages\n    app.add_transform(root_pages.LinksOfCodeHosts)\n"
    )
    page = "# Page\n\n[there](../examples/README.md) [not there](../examples/NONE.md)\n"
    (pages / "index.md").write_text(page)
    out, warnings = tmp_path / "out", io.StringIO()
    Sphinx(pages, pages, out, out, "html", warning=warnings, status=None).build()
    assert "NONE.md" in warnings.getvalue()
    assert "README" not in warnings.getvalue()
    link = soup(out / "index.html").find("a", string="there")
    assert (out / link["href"]).read_text() == "# Examples\n"


def made(folder: Path, *names: str) -> list[dict[str, object]]:
    for name in names:
        (folder / name).mkdir()
    script = ROOT / "docs" / "versions.py"
    subprocess.run([sys.executable, script, folder, "https://example.org/docs/"], check=True)
    entries: list[dict[str, object]] = json.loads((folder / "switcher.json").read_text())
    return entries


def test_readers_are_led_to_the_newest_release(tmp_path: Path) -> None:
    entries = made(tmp_path, "v0.9.0", "latest", "v0.10.0", "v1.0.0rc1", "assets")
    assert [one["name"] for one in entries] == ["latest", "v1.0.0rc1", "v0.10.0", "v0.9.0"]
    assert [one["url"] for one in entries if one["preferred"]] == ["https://example.org/docs/v0.10.0/"]
    assert 'url=v0.10.0/"' in (tmp_path / "index.html").read_text()


def test_before_the_first_release_readers_are_led_to_the_latest(tmp_path: Path) -> None:
    assert [(one["name"], one["preferred"]) for one in made(tmp_path, "latest")] == [("latest", True)]
