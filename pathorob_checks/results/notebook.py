"""Results as HTML for notebooks: no script, no style sheet, and readable where inline styles are removed."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.explanation import explain
from pathorob_checks.results.listing import (
    ALIGNED,
    COLUMNS,
    MOST_ROWS,
    cells_of,
    not_met_first,
    release_sentences,
    rest_of,
    unsound_sentences,
)
from pathorob_checks.results.names import short_names
from pathorob_checks.results.outcome import lets_pass
from pathorob_checks.results.text import render_explanation
from pathorob_checks.wording import printable

# White text on these is readable, whatever color the notebook's theme has.
BACKGROUNDS = {Verdict.PASS: "#1a7f37", Verdict.FAIL: "#cf222e", Verdict.ERROR: "#a40e26"}
OTHER_BACKGROUND = "#7d4e00"


def html_of(results: ResultsDocument) -> str:
    """The summary, what is to be known of the run, its table, and folded explanations of what is not met."""
    shown = not_met_first(results.checks)[:MOST_ROWS]
    parts = (
        f"<p><strong>{_text(results.summary)}</strong></p>",
        _list("Release verdicts", release_sentences(results)),
        _list("Problems", results.problems),
        _list("Left out", results.environment.left_out),
        _list("Integrity checks that did not pass", unsound_sentences(results)),
        _table(shown, short_names(results.checks), allowed=lets_pass(results)),
        f"<p>{_text(rest_of(results.checks))}</p>" if rest_of(results.checks) else "",
        *(_folded(check) for check in shown if check.verdict is not Verdict.PASS),
    )
    return f"<div>{''.join(parts)}</div>"


def _table(checks: Iterable[Check], short: dict[str, str], *, allowed: bool) -> str:
    head = "".join(
        f'<th scope="col" style="text-align:{side}">{name}</th>'
        for name, side in zip(COLUMNS, ALIGNED, strict=True)
    )
    rows = "".join(_row(check, short, allowed=allowed) for check in checks)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""


def _row(check: Check, short: dict[str, str], *, allowed: bool) -> str:
    *cells, verdict = cells_of(check, short, allowed=allowed)
    background = BACKGROUNDS.get(check.verdict, OTHER_BACKGROUND)
    badge = f'<strong style="background:{background};color:#fff;padding:0 0.4em">{_text(verdict)}</strong>'
    texts = [*map(_text, cells), badge]
    return (
        "<tr>"
        + "".join(
            f'<td style="text-align:{side}">{text}</td>' for text, side in zip(texts, ALIGNED, strict=True)
        )
        + "</tr>"
    )


def _folded(check: Check) -> str:
    explanation = explain(check)
    title = _text(f"{explanation.subject} {check.verdict.upper()}")
    return (
        f"<details><summary>{title}</summary><pre>{escape(render_explanation(explanation))}</pre></details>"
    )


def _list(title: str, sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    return f"<p>{title}:</p><ul>{items}</ul>" if items else ""


def _text(text: str) -> str:
    return escape(printable(text))
