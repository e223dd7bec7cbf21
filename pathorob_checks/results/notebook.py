"""Results as a small HTML table, which Jupyter shows by itself."""

from __future__ import annotations

from html import escape

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.document import Check, ResultsDocument
from pathorob_checks.results.explanation import explain
from pathorob_checks.results.names import fm_and_method, short_names
from pathorob_checks.results.outcome import value_and_bound
from pathorob_checks.results.text import interval_text, render_explanation
from pathorob_checks.wording import printable

_HEADERS = ("FM", "cohort", "metric", "value", "interval", "bound", "verdict")
_COLORS = {Verdict.PASS: "#1a7f37", Verdict.FAIL: "#cf222e"}  # readable on white and on black
_OTHER_COLOR = "#9a6700"


def html_of(results: ResultsDocument) -> str:
    """The summary, a table of the checks, and a folded explanation of each that is not met."""
    short = short_names(results.checks)
    head = "".join(f'<th style="text-align:left">{name}</th>' for name in _HEADERS)
    rows = "".join(_row(check, short) for check in results.checks)
    folded = "".join(_details(check) for check in results.checks if check.verdict is not Verdict.PASS)
    return (
        f"<div><p><strong>{_text(results.summary)}</strong></p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{folded}</div>"
    )


def _row(check: Check, short: dict[str, str]) -> str:
    value, bound = value_and_bound(check)
    cells = (
        fm_and_method(short[check.fm], check.method),
        check.cohort,
        check.label,
        value,
        interval_text(check.interval) if check.interval else "-",
        f"{check.direction} {bound}",
    )
    color = _COLORS.get(check.verdict, _OTHER_COLOR)
    verdict = f'<td style="color:{color};font-weight:bold">{_text(check.verdict.upper())}</td>'
    return "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + verdict + "</tr>"


def _details(check: Check) -> str:
    explanation = explain(check)
    title = _text(f"{explanation.subject} {check.verdict.upper()}")
    return (
        f"<details><summary>{title}</summary><pre>{escape(render_explanation(explanation))}</pre></details>"
    )


def _text(text: str) -> str:
    return escape(printable(text))
