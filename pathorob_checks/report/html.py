"""One self-contained HTML page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from pathorob_checks.report.forms import MARK

if TYPE_CHECKING:
    from pathorob_checks.results.results import Results


def html_report(results: Results) -> str:
    """The results as a page."""
    return f"<!doctype html>{MARK}<p>{escape(results.summary)}</p>"
