"""The summary of a CI job, to which a gated run adds its report by itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathorob_checks.results.results import Results

VARIABLE = "GITHUB_STEP_SUMMARY"  # names a file; GitHub, Gitea and Forgejo set it


def add_to_summary(results: Results) -> str:
    """Append the report to the file that `VARIABLE` names; "", or why it was not written, as a sentence.

    All that one step writes is shown together and has one limit, so what the file holds already counts.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return ""
    from pathorob_checks.report.markdown import STEP_BYTES, markdown_report

    try:
        file = Path(path)
        before = file.stat().st_size if file.exists() else 0
        room = STEP_BYTES - before
        text = ("\n" if before else "") + markdown_report(results, room - 1)
        if len(text.encode()) > room:
            return _not_written(f"it holds {before:,} bytes already")
        with file.open("a", encoding="utf-8") as summary:
            summary.write(text)
    except OSError as error:
        return _not_written(error.strerror or type(error).__name__)
    return ""


def _not_written(reason: str) -> str:
    return f"the summary of the CI job ({VARIABLE}) was not written ({reason}); the verdict stands above."
