"""What a gated run tells: its terms before anything is measured, the table and the verdict at its end.

The end is told in pytest's summary. Where there is none (`-p no:terminal`, or a plugin that replaces pytest's
reporter by one of its own), it goes to standard output when the run ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.text import wrapped
from pathorob_checks.width import width
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.plugin.gate import Gate
    from pathorob_checks.report.table import Paint
    from pathorob_checks.results.results import Results

_TITLE = "robustness of foundation models"
# As pytest shows what passed, failed and was skipped.
_LOOKS: Mapping[Verdict, dict[str, bool]] = {
    Verdict.PASS: {"green": True},
    Verdict.FAIL: {"red": True},
    Verdict.ERROR: {"red": True},
    Verdict.INCONCLUSIVE: {"yellow": True},
    Verdict.SKIPPED: {"yellow": True},
}


class Reporting:
    """Registered on the controller of a run with `--fm` only."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._terms_are_shown = self._end_is_shown = False

    def pytest_report_header(self) -> list[str]:
        """The terms of the run, and what came from elsewhere than the command line."""
        self._terms_are_shown = True
        cohorts = [part for line in self._gate.cohorts() for part in self._wrapped(line)]
        origins = map(printable, self._gate.evaluation.settings.origins.values())
        return [*self._terms(), *cohorts, *self._announcements(), *origins]

    def _announcements(self) -> list[str]:
        return list(map(printable, self._gate.announcements()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table, then the verdict."""
        if self._gate.final is None:
            return
        self._end_is_shown = True
        terminalreporter.write_sep("=", _TITLE)
        config = terminalreporter.config
        writer = config.get_terminal_writer()

        def paint(text: str, verdict: Verdict) -> str:
            return writer.markup(text, **_LOOKS[verdict])

        whole = config.get_verbosity() > 0
        for text, look in self._end(self._gate.final, width(), whole=whole, paint=paint):
            terminalreporter.write_line(text, **look)

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """The same without pytest's reporter."""
        if self._end_is_shown or self._gate.final is None:
            return
        columns = width()
        title = f" {_TITLE} ".center(columns, "=")
        lines = [title, *(text for text, _ in self._end(self._gate.final, columns))]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    def _terms(self) -> list[str]:
        """By what the run judges and what it plans; the cohorts are not among it."""
        terms = self._gate.evaluation.terms
        criteria, integrity = len(terms.plan.checks), len(terms.plan.integrity)
        lines = [f"criteria: {terms.profile.name}"]
        if terms.baseline:
            lines.append(f"baseline: {terms.baseline.fm} ({terms.baseline.source})")
        lines += [
            f"plan: {counted(criteria, 'criterion', 'criteria')}, {counted(integrity, 'integrity check')}",
            f"digest: {terms.digest}",
        ]
        return list(map(printable, lines))

    def _wrapped(self, line: str) -> list[str]:
        """In lines that fit, each indented as it was or more."""
        indent = " " * (len(line) - len(line.lstrip()))
        return wrapped(line, width=self._gate.width, lead=indent, indent=f"{indent}  ").splitlines()

    def _end(
        self, results: Results, columns: int, *, whole: bool = False, paint: Paint | None = None
    ) -> Iterator[tuple[str, dict[str, bool]]]:
        """Lines, each with how it looks; the terms are among them where pytest wrote no header (`-q`)."""
        from pathorob_checks.report.table import plain
        from pathorob_checks.report.terminal import render_results

        if not self._terms_are_shown:
            yield "\n".join([*self._terms(), *self._announcements(), ""]), {}
        yield render_results(results, columns, whole=whole, paint=paint or plain) + "\n", {}
        for line in wrapped(results.summary, width=columns, indent="  ").splitlines():
            yield line, {"bold": True, "green" if results.passed else "red": True}
        for problem in results.problems:
            yield wrapped(problem, width=columns, indent="  "), {"red": True}
        for noun, path in self._gate.reports:
            yield printable(f"{noun}: {path}"), {}
        if self._gate.keeping.is_kept:
            yield printable(self._gate.keeping.sentence), {}
        elif self._gate.keeping.sentence:
            yield wrapped(self._gate.keeping.sentence, width=columns, indent="  "), {"red": True}
