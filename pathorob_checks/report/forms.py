"""The forms in which a run's results are written to files; each is an option of the gate."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.results.saving import save_text

if TYPE_CHECKING:
    from pathorob_checks.results.results import Results

_RESULTS = "pathorob-checks/results/"
MARK = "<!-- pathorob-checks report -->"  # in every report, to tell it from somebody else's file


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form of report.

    Attributes
    ----------
    noun : what the file is called in messages.
    render : its text.
    is_one : whether a file's content is a report of this form, which may be replaced.
    """

    noun: str
    render: Callable[[Results], str]
    is_one: Callable[[bytes], bool]

    def may_replace(self, path: Path) -> bool:
        """Whether nothing is at the path yet, or a report of this form."""
        try:
            return not path.exists() or (path.is_file() and self.is_one(path.read_bytes()))
        except OSError:
            return False

    def save(self, results: Results, path: str | os.PathLike[str]) -> None:
        """Write the report, whole or not at all; missing folders are made.

        Raises
        ------
        ResultsError : it cannot be written.
        """
        save_text(path, self.render(results), self.noun)


def _json(results: Results) -> str:
    return results.to_json()


def _html(results: Results) -> str:
    from pathorob_checks.report.html import html_report

    return html_report(results)


def _markdown(results: Results) -> str:
    from pathorob_checks.report.markdown import markdown_report

    return markdown_report(results)


def _is_json(content: bytes) -> bool:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and str(document.get("schema", "")).startswith(_RESULTS)


def _is_report(content: bytes) -> bool:
    return MARK.encode() in content


# By the option that writes it: `--fm-json` and so on.
FORMS: Mapping[str, Form] = {
    "json": Form(noun="results file", render=_json, is_one=_is_json),
    "html": Form(noun="HTML report", render=_html, is_one=_is_report),
    "markdown": Form(noun="Markdown report", render=_markdown, is_one=_is_report),
}
