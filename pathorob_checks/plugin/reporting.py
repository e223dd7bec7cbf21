"""What a gated run tells: its terms before anything is measured, the table and the verdict at its end.

The end is told in pytest's summary. Where there is none (`-p no:terminal`, or a plugin that replaces pytest's
reporter by one of its own), it goes to standard output when the run ends.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pathorob_checks.results.text import DEFAULT_WIDTH, wrapped
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.plugin.gate import Gate
    from pathorob_checks.results.results import Results

_TITLE = "robustness of foundation models"


class Reporting:
    """Registered on the controller of a run with `--fm` only."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._told_terms = self._told_end = False

    def pytest_report_header(self) -> list[str]:
        """The terms of the run, and what came from elsewhere than the command line."""
        self._told_terms = True
        return [*self._terms(), *map(printable, self._gate.evaluation.settings.origins.values())]

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table, then one line."""
        if self._gate.final is None:
            return
        self._told_end = True
        terminalreporter.write_sep("=", _TITLE)
        for text, look in self._end(self._gate.final, width_of(terminalreporter.config)):
            terminalreporter.write_line(text, **dict.fromkeys(look, True))

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """The same without pytest's reporter."""
        if self._told_end or self._gate.final is None:
            return
        width = width_of(config)
        lines = [f" {_TITLE} ".center(width, "="), *(text for text, _ in self._end(self._gate.final, width))]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    def _terms(self) -> list[str]:
        terms = self._gate.evaluation.terms
        criteria, integrity = len(terms.plan.checks), len(terms.plan.integrity)
        lines = [f"criteria: {terms.profile.name}"]
        if terms.baseline:
            lines.append(f"baseline: {terms.baseline.fm} ({terms.baseline.source})")
        lines += [
            f"plan: {counted(criteria, 'criterion', 'criteria')}, {counted(integrity, 'integrity check')}",
            f"digest: {terms.digest}",
            *(part for line in self._gate.cohorts() for part in self._wrapped(line)),
            *self._gate.announcements(),
        ]
        return list(map(printable, lines))

    def _wrapped(self, line: str) -> list[str]:
        """In lines that fit, each indented as it was or more."""
        indent = " " * (len(line) - len(line.lstrip()))
        width = self._gate.width
        return wrapped(line, width=width, lead=indent, indent=f"{indent}  ").splitlines()

    def _end(self, results: Results, width: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Lines, each with how it looks; the terms are among them where pytest wrote no header (`-q`)."""
        from pathorob_checks.report.terminal import render_results

        if not self._told_terms:
            yield "\n".join([*self._terms(), ""]), ()
        yield render_results(results, width) + "\n", ()
        yield printable(results.summary), ("bold", "green" if results.passed else "red")
        for problem in results.problems:
            yield printable(problem), ("red",)
        for noun, path in self._gate.reports:
            yield printable(f"{noun}: {path}"), ()
        if self._gate.keeping.told:
            yield printable(self._gate.keeping.told), () if self._gate.keeping.is_kept else ("red",)


def width_of(config: pytest.Config) -> int:
    """Columns of the terminal."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    return int(reporter._tw.fullwidth) if reporter else shutil.get_terminal_size((DEFAULT_WIDTH, 0)).columns
