"""What a comparison looks like: on terminals, as Markdown, HTML and CSV, and from the command line."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from compared import check, results
from made_checks import lines_wider_than, unmeasured
from sharded import COHORTS, evaluated, write_run

from pathorob_checks import Results, compare
from pathorob_checks.cli import main
from pathorob_checks.report.comparison import (
    comparison_csv,
    comparison_markdown,
    render_changes,
    render_comparison,
)
from pathorob_checks.report.comparison_page import comparison_html
from pathorob_checks.results.comparing import comparison_of
from pathorob_checks.results.comparison import Comparison
from pathorob_checks.results.environment import BaselineFacts

HOSTILE = "=cmd|'/c calc'!A1 <script>alert(1)</script> \x1b[31m\u202e `|` [x](javascript:y) @all"


def several(*names: str) -> Comparison:
    documents = []
    for number, name in enumerate(names or ("base", "ours", "theirs")):
        checks = [
            check(name, 0.5 + 0.1 * number, seed=number, support=0.5),
            check(name, 0.1, metric="clustering_score", seed=number),
        ]
        documents.append(results(*checks, fms={name: {"identity": {"kind": "embeddings", "sha256": name}}}))
    return comparison_of(documents, [f"{number}.json" for number in range(len(documents))])


@pytest.mark.parametrize("width", [72, 80, 100, 140])
@pytest.mark.parametrize("names", [("base", "ours"), ("org/model-with-a-long-name@" + "0a" * 20, "ours")])
def test_it_fits_the_terminal(width: int, names: tuple[str, ...]) -> None:
    text = render_comparison(several(*names), width)
    assert lines_wider_than(width, text) == []
    assert "more robust" in text.replace("\n", " ")


def test_the_terminal_shows_values_changes_places_and_notes() -> None:
    text = render_comparison(several(), 140)
    assert text.startswith("2 FMs compared with base\n")
    assert re.search(r"^base +0\.500 +\[0\.400, 0\.600\] +- +- +reference +\S+ +\d+ of 24", text, re.M)
    assert re.search(
        r"^ours +0\.600 +\S+ \S+ +\+0\.100 +\[0\.\d+, 0\.\d+\] +more robust +\S+ +\d+ of 24 \(\d+-\d+\)",
        text,
        re.M,
    )
    notes = " ".join(text.split())
    assert "Changes are values minus those of base on the same slides; their 95 % intervals are" in notes
    assert "did not validate the values of 3 published FMs." in notes
    assert notes.count("given embeddings, of which neither pooling nor precision is known") == 1


def test_columns_without_content_are_left_out() -> None:
    alone = render_comparison(comparison_of([results(check(cohort="demo"))]), 100)
    assert "change" not in alone
    assert "place" not in alone
    assert "verdict" in alone


def test_what_is_missing_has_a_reason() -> None:
    missing = unmeasured(fm="ours", cohort="camelyon", reason="the images are missing")
    text = render_comparison(comparison_of([results(check("base"), missing)]), 200)
    assert re.search(r"^ours +- .*ERROR", text, re.M)
    assert "Not measured: ours (robustness index of camelyon): the images are missing" in text


class _Page(HTMLParser):
    """The names of all tags, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    return page


def test_hostile_names_stay_text_in_every_form() -> None:
    comparison = several("base", HOSTILE)
    terminal = render_comparison(comparison, 100)
    markdown = comparison_markdown(comparison)
    html = comparison_html(comparison)
    notebook = comparison._repr_html_()
    table = comparison_csv(comparison)
    for text in (terminal, markdown, html, notebook, table):
        assert "\x1b" not in text
        assert "\u202e" not in text
    for text in (html, notebook):
        page = page_of(text)
        assert "script" not in page.tags
        assert any("<script>alert(1)</script>" in part for part in page.text)
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.count(" | ") for line in rows}) == 1
    read = pd.read_csv(io.StringIO(table))
    assert not [name for name in read.fm if name.startswith(("=", "+", "-", "@"))]
    assert f"{comparison}" == "1 FM compared with base"


def test_the_csv_is_the_table() -> None:
    comparison = several()
    read = pd.read_csv(
        io.StringIO(comparison_csv(comparison)), dtype=str
    )  # numbers are read by Python, exactly
    table = comparison.table()
    assert list(read.columns) == list(table.columns)
    for name in ("value", "low", "high", "change", "change_low", "place", "places"):
        assert read[name].astype(float).equals(table[name].astype(float)), name
    assert read.change_says.dropna().tolist() == table.change_says.dropna().tolist()


def test_the_page_needs_no_network_and_no_script() -> None:
    html = comparison_html(several())
    assert "default-src 'none'" in html
    assert re.findall(r"(?:src|href)=\"(?!data:)", html) == []
    assert "table" in page_of(html).tags
    assert html.count("<tr>") == 2 * (1 + 3)


def two() -> Results:
    return results(check("base", 0.5), check("ours", 0.6, seed=1))


def test_the_fms_of_a_run_are_compared_under_its_table() -> None:
    text = render_changes(two(), 100)
    assert text.startswith("Paired differences to base on the same slides:\n")
    assert re.search(
        r"^- robustness index, camelyon, k = 11: ours \+0\.100 \[\S+ \S+\], more robust$", text, re.M
    )
    assert render_changes(results(), 100) == ""


def test_a_run_whose_table_has_the_differences_shows_them_once() -> None:
    document = two()
    terms = document.environment.criteria
    for name, shown in (("base", False), ("released", True)):
        facts = BaselineFacts(fm=name, source="this run", digest="d")
        environment = document.environment.model_copy(
            update={"criteria": terms.model_copy(update={"baseline": facts})}
        )
        text = render_changes(document.model_copy(update={"environment": environment}), 100)
        assert bool(text) is shown


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of a run each."""
    folder = write_run(tmp_path_factory.mktemp("run"))
    paths = [folder / "good.json", folder / "bad.json"]
    for path in paths:
        evaluated(folder, path.stem, cohorts=COHORTS[:1]).save(path)
    return paths


def test_the_command_prints_and_writes_a_comparison(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    outputs = {form: tmp_path / "new" / f"out.{form}" for form in ("markdown", "html", "csv")}
    options = [f"--{form}={path}" for form, path in outputs.items()]
    assert main(["compare", *map(str, files), "--to", "bad", *options]) == 0
    comparison = compare(files, to="bad")
    assert capsys.readouterr().out == render_comparison(comparison, 120) + "\n"
    assert outputs["markdown"].read_text() == comparison_markdown(comparison)
    assert outputs["html"].read_text() == comparison_html(comparison)
    assert outputs["csv"].read_text() == comparison_csv(comparison)


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["compare", *arguments]) == 1
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    return sentence


def test_what_cannot_be_compared_is_a_sentence(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = map(str, files)
    assert "cannot be read" in complaint([good, str(tmp_path / "none.json")], capsys)
    for content in ("", "{}", "[" * 100_000, '{"schema": "pathorob-checks/results/2"}'):
        (tmp_path / "damaged.json").write_text(content)
        complaint([good, str(tmp_path / "damaged.json")], capsys)
    changed = json.loads(files[1].read_text())
    changed["checks"][0]["value"] = 0.9
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    assert "contradicts itself: " in complaint([good, str(tmp_path / "changed.json")], capsys)
    assert "is given twice; give each file once." in complaint([good, good], capsys)
    before = files[1].read_bytes()
    assert "would replace a file that is compared" in complaint([good, bad, f"--csv={bad}"], capsys)
    assert files[1].read_bytes() == before
