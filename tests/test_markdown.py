"""The Markdown report, as a parser of GitHub's tables and HTML reads it."""

from __future__ import annotations

import re

import pytest
from made_checks import CELLS, completeness_of, made, passing, unmeasured
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.report.forms import FORMS, MARK
from pathorob_checks.report.markdown import COMMENT_BYTES, markdown_report
from pathorob_checks.report.markdown_text import code, code_block, html_code, prose, table
from pathorob_checks.results.check import ComparedWith, IntegrityCheck
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.environment import Environment, Terms
from pathorob_checks.results.outcome import summarize
from pathorob_checks.results.results import Results

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = ("details", "summary", "code")
HOSTILE = (
    "a|b", "a\\|b", "|", "||", "\\", "`", "``a```b", "` |", "<script>alert(1)</script>", "</details>", "<!--",
    "-->", "@all", "@org/team", "#123", "GH-12", "org/repo#1", "!7", "&1", "~bug", "%v1", "$x$", ":smile:",
    "[a](http://evil.org)", "![a](//evil.org/x.png)", "http://evil.org", "www.evil.org", "me@evil.org",
    "*a*", "_a_", "**a**", "~~a~~", "# a", "- a", "1. a", "> a", "---", "===", "+ a", "a\n\nb", "a\r\n| x |",
    "\tcode", "&lt;b&gt;", "\\`a\\`", "0a1b2c3d4e5f", "[^1]", "[ ] a", "{{x}}", "a\u202eb", "a\u200bb",
    "\x1b[31mred", "\x1b]8;;http://evil.org\x07a\x1b]8;;\x07", "\x07", "```\na\n```", "", "   ", "x" * 1000,
)  # fmt: skip


def results_of(checks, *, integrity=(), left_out=(), **changes):
    done = completeness_of(checks)
    terms = Terms(name="floor", files=("floor",), digest="0" * 64, profile={}, protocol={}, completeness=done)
    environment = Environment(
        python="3.12.1", implementation="CPython", platform="Linux", machine="x86_64",
        packages={"pathorob-checks": "0.1", "torch": "2.9"}, criteria=terms, left_out=left_out,
    )  # fmt: skip
    summary = summarize(checks, done, integrity=integrity)
    content = {
        "created": "2026-11-01T12:00:00+00:00", "complete": done.complete, "outcome": summary.outcome,
        "summary": summary.sentence, "environment": environment, "metrics": {}, "checks": tuple(checks),
        "integrity": tuple(integrity),
    }  # fmt: skip
    return Results(**{**content, **changes})


def tokens(text: str) -> list[Token]:
    """All tokens of a text, inline ones too."""
    return [one for token in PARSER.parse(text) for one in (token, *(token.children or ()))]


def tables(text: str) -> list[list[list[str]]]:
    """Each table as rows of cells, as they read."""
    tables_read: list[list[list[str]]] = []
    previous = None
    for token in PARSER.parse(text):
        if token.type == "table_open":
            tables_read.append([])
        elif token.type == "tr_open":
            tables_read[-1].append([])
        elif token.type == "inline" and previous in ("th_open", "td_open"):
            tables_read[-1][-1].append(read(token))
        previous = token.type
    return tables_read


def read(token: Token) -> str:
    """What a reader sees of an inline token."""
    return "".join(one.content for one in token.children or ())


def assert_harmless(text: str) -> None:
    """No link, image, emphasis or HTML but ours, and nothing outside of code that refers to somebody."""
    for token in tokens(text):
        assert token.type not in {"link_open", "image", "em_open", "s_open", "heading_open"} or (
            token.type == "heading_open" and token.tag == "h3"
        ), (token, text)
        if token.type == "text":
            references = re.search(r"[@#$!~]\w|&\w+;|://|www\.|:\w+:|\bGH-\d|\b[0-9a-f]{7,}\b", token.content)
            assert not references, (token.content, text)
        if token.type in {"html_block", "html_inline"}:
            tags = set(re.findall(r"<[^>]*>", token.content))
            assert tags <= {
                MARK,
                "<details>",
                "</details>",
                "<summary>",
                "</summary>",
                "<code>",
                "</code>",
            }, tags


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_code_whatever_is_in_it(name):
    inline = PARSER.parse(f"x {code(name)} y")[1]
    shown = read(inline)
    assert {one.type for one in inline.children} <= {"text", "code_inline", "text_special"}
    for lost in ("\n", "\t", "\r"):
        name = name.replace(lost, " ")
    plain = " ".join(name.split())
    if plain.isprintable() and 0 < len(plain) < 100:
        assert shown == f"x {plain} y"


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("before", ["", "the index of ", "('"])
def test_a_sentence_stays_a_sentence(name, before):
    text = prose(f"{before}{name}")
    assert "\n" not in text
    assert_harmless(text)
    parsed = PARSER.parse(f"- **Note:** {text}")
    assert [one.type for one in parsed if one.nesting >= 0] == [
        "bullet_list_open", "list_item_open", "paragraph_open", "inline",
    ]  # fmt: skip


def test_a_sentence_of_words_and_numbers_is_not_changed():
    sentence = 'drop in-domain of ours is -0.118 (95 % of Holm\'s 1,200 patches; a, b): "so".'
    assert prose(sentence) == sentence
    assert read(PARSER.parse(prose("is >= 0.5 [0.1, 0.2]"))[1]) == "is >= 0.5 [0.1, 0.2]"


def test_a_name_that_ends_with_a_bracket_is_code_as_a_whole():
    assert prose("(see test_x[fm-demo], f_1(a)) failed") == "(see `test_x[fm-demo]`, `f_1(a)`) failed"
    assert prose("see [a_b] and (c_d).") == "see \\[`a_b`\\] and (`c_d`)."


@pytest.mark.parametrize("name", HOSTILE)
def test_a_table_keeps_its_columns(name):
    text = "\n".join(table(["a", "b", "c"], [[code(name), prose(name) or "-", code(name)]]))
    [[_, row]] = tables(text)
    assert len(row) == 3
    assert_harmless(text)
    # GitHub's parser skips what a backslash escapes, so no pipe of a name stands in the text at all.
    assert text.splitlines()[2].count("|") == 4


@pytest.mark.parametrize("name", HOSTILE)
def test_code_between_html_tags_and_commands_stay_what_they_are(name):
    parsed = PARSER.parse(f"<details>\n<summary>{html_code(name)}</summary>\n\n- a\n\n</details>")
    assert [one.type for one in parsed if one.type == "html_block"] == ["html_block"] * 2
    assert_harmless(f"<details>\n<summary>{html_code(name)}</summary>\n\n</details>")
    [fence] = PARSER.parse(code_block(f"pytest '{name}'", "sh"))
    assert fence.type == "fence"


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_does_harm_in_a_report(name):
    checks = [
        made(fm=name, cohort=name or "x", cells=CELLS, reason=name, rationale=name, label=f"index {name}"),
        unmeasured(reason=name, fm=name),
        made(fm=name, quantity="difference", baseline=ComparedWith(fm=name, source=name, value=0.5)),
    ]
    integrity = [IntegrityCheck(id=name, name=name, fm=name, cohort=name, verdict="fail", reason=name)]
    results = results_of(
        checks, integrity=integrity, left_out=(name,), problems=(name,), other_failures=(name,),
    )  # fmt: skip
    text = markdown_report(results)
    assert_harmless(text)
    shown = tables(text)
    assert [len(rows) for rows in shown] == [3, 2]
    assert {len(row) for row in shown[0]} == {7}
    assert {len(row) for row in shown[1]} == {8}
    lines = text.splitlines()
    assert lines.count("<details>") == lines.count("</details>") == 4


def test_the_report_says_what_happened_where_and_how_to_make_it_again():
    checks = [passing(cohort="tcga"), made(interval=(0.29, 0.33), confidence=0.95, cells=CELLS)]
    text = markdown_report(results_of(checks))
    assert text.startswith(MARK)
    assert FORMS["markdown"].is_one(text.encode())
    assert "\N{CROSS MARK} **FAIL:** 1 of 2 criteria not met" in text
    [[headers, *rows]] = tables(text)
    assert headers == ["FM", "cohort", "metric", "value", "interval", "bound", "verdict"]
    assert rows[0] == [
        "demo:color-sensitive", "demo", "robustness index", "0.310", "[0.290, 0.330]", ">= 0.500",
        "\N{CROSS MARK} FAIL",
    ]  # fmt: skip
    assert rows[1][-1] == "\N{WHITE HEAVY CHECK MARK} PASS"
    assert text.count("<details>") == 1
    assert "- **Weakest:** tumor of RUMC: 0.120 (share of class)" in text
    assert "**Made with**" in text  # no FM has embedded anything, so that there is no command
    assert "To reproduce" not in text
    assert "`" + "0" * 64 + "`" in text


def test_the_change_against_the_baseline_is_a_table_of_its_own():
    compared = ComparedWith(fm="org/old", source="old.json", value=0.52)
    check = made(
        value=0.13, quantity="difference", baseline=compared, interval=(0.1, 0.16), verdict=Verdict.PASS
    )
    text = markdown_report(results_of([passing(), check]))
    assert "**Change against `org/old` (`old.json`)**" in text
    _, [headers, row] = tables(text)
    assert headers[3:6] == ["baseline", "change", "interval"]
    assert row[3:6] == ["0.520", "+0.130", "[0.100, 0.160]"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [100, 2000])
@pytest.mark.parametrize("most", [COMMENT_BYTES, 10_000])
def test_a_report_fits_its_limit_and_says_what_it_leaves_out(number, most):
    checks = [made(fm=f"fm-\u00e9{place}") for place in range(number)]
    text = markdown_report(results_of(checks), most)
    assert len(text.encode()) <= most
    assert text.count("<details>") == text.count("</details>")
    left_out = int(re.search(r"\*([\d,]+) explanations? (?:is|are) left out", text).group(1).replace(",", ""))
    assert left_out + text.count("<details>") == number
    [[_, *rows]] = tables(text)
    cut = re.search(r"\*([\d,]+) rows? (?:is|are) left out", text)
    assert len(rows) + (int(cut.group(1).replace(",", "")) if cut else 0) == number
    assert "**Made with**" in text  # no FM has embedded anything, so that there is no command
    assert "To reproduce" not in text
    assert bool(cut) == (number == 2000 or ((number, most) == (100, 10_000) and len(rows) < 100))


def test_nothing_is_left_out_where_there_is_room():
    text = markdown_report(results_of([made(fm=f"fm{place}") for place in range(20)]))
    assert "left out" not in text
    assert text.count("<details>") == 20


def test_a_run_without_checks_says_so():
    text = markdown_report(results_of([], outcome=Outcome.ERROR, summary="ERROR: no criterion was checked"))
    assert "No criterion was checked." in text
    assert tables(text) == []


def test_integrity_checks_that_were_not_made_do_not_count_as_made():
    others = (
        {"verdict": "pass"}, {"verdict": "fail"}, {"verdict": "error"}, {"verdict": "skipped"},
        {"verdict": "skipped", "inapplicable": "given embeddings"},
        {"verdict": "skipped", "inapplicable": "given embeddings"},
        {"verdict": "skipped", "inapplicable": "full precision"},
    )  # fmt: skip
    integrity = [
        IntegrityCheck(id=str(n), name="same as stored", fm="fm", cohort="demo", **one)
        for n, one in enumerate(others)
    ]
    planned = {"integrity_planned": 10, "integrity_recorded": 7, "integrity_made": 6, "integrity_left_out": 1}
    results = results_of([passing()], integrity=integrity)
    counts = results.environment.criteria.completeness.model_copy(update=planned)
    terms = results.environment.criteria.model_copy(update={"completeness": counts})
    environment = results.environment.model_copy(update={"criteria": terms})
    text = markdown_report(results.model_copy(update={"environment": environment}))
    assert (
        "- 2 of 10 integrity checks made; 2 do not apply to given embeddings; 1 does not apply to full "
        "precision; 1 skipped; 1 could not be made; 1 left out; 2 never ran\n"
    ) in text
