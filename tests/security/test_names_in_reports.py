"""Names and secrets in what a run writes: no reporter lets a name act, and none tells a secret."""

from __future__ import annotations

import datetime
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from attack import write_inputs
from made_checks import completeness_of, made
from markdown_it import MarkdownIt
from terminal import Terminal
from test_foreign_names import assert_printable, poisoned_results

from pathorob_checks.report.forms import FORMS
from pathorob_checks.report.terminal import render_results
from pathorob_checks.results import properties
from pathorob_checks.results.check import IntegrityCheck
from pathorob_checks.results.results import Results

# A link that terminals follow (OSC 8), colors, a bell, directions, what cannot be seen, HTML, a new row.
ACTS = (
    "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\", "\x1b[31mred", "\x07", "\u202eright-to-left",
    "\u200bzero-width", "a\nFAIL: b", "a\r\nb", "<evil-tag onclick=alert(1)>", "'\"><evil-tag>",
    "</script><evil-tag>", "]]></failure><evil-tag>", "| a | b |", "{{ evil }}", "{% evil %}",
    "</pre><evil-tag>", "</title><evil-tag>", "--><evil-tag>", "&lt;evil-tag&gt;",
)  # fmt: skip
WHEN = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


class Tags(HTMLParser):
    """The names of all elements of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)


def results_with(name: str) -> Results:
    """Results with this name in place of every one."""
    check = made(fm=name, cohort=name, id=name, reason=name, rationale=name, label=name, group=name)
    integrity = IntegrityCheck(id=name, name=name, fm=name, cohort=name, verdict="fail", reason=name)
    results = poisoned_results().model_copy(
        update={
            "checks": (check,), "integrity": (integrity,), "runs": (), "releases": (), "problems": (name,),
            "summary": f"FAIL: {name}", "other_failures": (name,), "metrics": {}, "outcome": "fail",
            "created": WHEN,
        }
    )  # fmt: skip
    terms = results.environment.criteria.model_copy(
        update={"completeness": completeness_of([check]), "baseline": None, "name": name}
    )
    environment = results.environment.model_copy(update={"criteria": terms, "left_out": (name,)})
    return results.model_copy(update={"environment": environment})


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("form", FORMS)
def test_no_name_acts_in_a_report(form: str, name: str) -> None:
    text = FORMS[form].render(results_with(name))
    assert_printable(text)
    pages = {"html": str, "markdown": MarkdownIt("commonmark", {"html": True}).enable("table").render}
    if form in pages:
        assert "evil-tag" not in Tags(pages[form](text)).names


@pytest.mark.parametrize("name", ACTS)
def test_no_name_acts_in_a_terminal_or_a_notebook(name: str) -> None:
    results = results_with(name)
    for width in (40, 80, 120):
        shown = render_results(results, width, whole=width == 80)
        assert_printable(shown)
        assert not any(line.startswith("FAIL") for line in shown.splitlines())
    page = results._repr_html_()
    assert_printable(page)
    assert "evil-tag" not in Tags(page).names


@pytest.mark.parametrize("name", ACTS)
def test_no_name_acts_in_a_junit_file(name: str) -> None:
    results = results_with(name)
    junit_properties = dict(
        [
            *properties.of_check(results.checks[0], allows_inconclusive=True),
            *properties.of_integrity(results.integrity[0]),
        ]
    )
    for text in junit_properties.values():
        assert_printable(text, lines=1)
        ET.fromstring(f"<a>{escape(text)}</a>")  # XML 1.0 has no control characters, not even escaped


@pytest.mark.parametrize("verdict", ["pass", "fail", "inconclusive", "skipped", "error"])
@pytest.mark.parametrize("form", ["markdown", "html"])
def test_no_part_of_results_is_shown_raw(form: str, verdict: str) -> None:
    results = poisoned_results(verdict).model_copy(update={"created": WHEN})
    assert_printable(FORMS[form].render(results))


SECRETS = {
    "HF_TOKEN": "hf_s3crettoken",
    "HUGGING_FACE_HUB_TOKEN": "hf_s3cretoldtoken",
    "HTTPS_PROXY": "http://jane:s3cretproxy@127.0.0.1:9",
    "HTTP_PROXY": "http://jane:s3cretproxy@127.0.0.1:9",
    "AWS_SECRET_ACCESS_KEY": "s3cretkey",
    "USER": "s3cretuser",
    "LOGNAME": "s3cretuser",
    "HOSTNAME": "s3crethost",
}
SECRET = "s3cret"
# What pytest itself says of folders.
OF_PYTEST = ("rootdir: ", "cachedir: ", "-")


@pytest.fixture
def home(lone_terminal: Terminal) -> Terminal:
    """A project with inputs in the home folder of a user whose name is a secret."""
    project = lone_terminal.folder / f"home-of-{SECRET}user" / "project"
    project.mkdir(parents=True)
    write_inputs(project)
    return replace(lone_terminal, folder=project, cache=project / "cache")


def leaks(run_output: str, folders: Iterable[Path]) -> list[str]:
    """Lines of the output, and files, that hold a secret."""
    places = [line for line in run_output.splitlines() if SECRET in line and not line.startswith(OF_PYTEST)]
    for folder in folders:
        places += [
            str(path) for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
        ]
    return places


WRITTEN = {
    "--fm-json": "results.json",
    "--fm-html": "report.html",
    "--fm-markdown": "report.md",
    "--junitxml": "junit.xml",
}


@pytest.mark.parametrize(
    ("fm", "place", "more"),
    [
        pytest.param("good", "", (), marks=pytest.mark.slow),
        pytest.param("bad", "~/project/", ("-v", "-rA"), marks=pytest.mark.slow),
        ("bad", "", ("-n1",)),
        ("missing", "~/project/", ()),
    ],
)
def test_no_secret_is_told_by_a_whole_run(more: tuple[str, ...], fm: str, place: str, home: Terminal) -> None:
    options = [f"{flag}=out/{name}" for flag, name in WRITTEN.items()]
    environment = {**SECRETS, "HOME": str(home.folder.parent), "GITHUB_STEP_SUMMARY": "out/summary.md"}
    (home.folder / "out").mkdir()
    given = (f"--fm=embeddings:{place}{fm}", f"--fm-cohort={place}coh", f"--fm-criteria={place}index.toml")
    run = home.pytest(*given, *options, *more, subprocess=True, **environment)
    assert run.code == {"good": 0, "bad": 1, "missing": 4}[fm], run.output
    written = {path.name for path in (home.folder / "out").iterdir()}
    expected = {*WRITTEN.values(), "summary.md"}
    assert written == expected
    assert leaks(run.output, [home.folder / "out", home.cache]) == []


def test_no_secret_is_told_where_the_hub_cannot_be_reached(home: Terminal) -> None:
    environment = {**SECRETS, "HOME": str(home.folder.parent), "HF_HOME": str(home.folder / "hub")}
    run = home.pytest("--fm=hf-hub:org/model", "--fm-cohort=coh", subprocess=True, **environment)
    assert (run.code, "cannot be reached" in run.output) == (4, True), run.output
    assert leaks(run.output, [home.folder / "hub"]) == []
