"""Markdown for pull requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathorob_checks.report.forms import MARK

if TYPE_CHECKING:
    from pathorob_checks.results.results import Results


def markdown_report(results: Results) -> str:
    """The results as Markdown."""
    return f"{MARK}\n\n{results.summary}\n"
