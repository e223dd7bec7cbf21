"""What a run shows at its end in a terminal: verdicts, the table of checks, and what qualifies it."""

from __future__ import annotations

from collections.abc import Sequence

from pathorob_checks.report.beside_table import (
    render_allowance,
    render_chance,
    render_names,
    render_support,
    render_undecided,
)
from pathorob_checks.report.bounds import render_bounds
from pathorob_checks.report.comparison import render_changes
from pathorob_checks.report.order import failures_first
from pathorob_checks.report.sources import render_sources
from pathorob_checks.report.table import Paint, plain, render_rows
from pathorob_checks.report.terms import source_of
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.names import fm_and_method, short_names
from pathorob_checks.results.outcome import lets_pass
from pathorob_checks.results.text import wrapped


def render_results(results: ResultsDocument, width: int, *, whole: bool = False, paint: Paint = plain) -> str:
    """The verdicts on the FMs, the table, notes on the FMs and cohorts, what was left out, and licenses.

    Parameters
    ----------
    results : of a run.
    width : columns of the terminal.
    whole : whether bounds, cohorts and licenses are told in full; else in a line each.
    paint : gives a verdict its look.
    """
    environment = results.environment
    source, allowed = source_of(environment.criteria), lets_pass(results)
    parts = [
        "\n".join(wrapped(line, width=width, indent="  ") for line in environment.settings),
        render_releases(results, width, paint),
        render_table(results.checks, width, source, allowed=allowed, whole=whole, paint=paint),
        render_changes(results, width),
        render_sources(results.runs, environment.left_out, width, whole=whole),
    ]
    return "\n\n".join(filter(None, parts))


def render_releases(results: ResultsDocument, width: int, paint: Paint = plain) -> str:
    """The verdict on each FM as a whole, a sentence each."""
    short = short_names(results.checks)
    texts = []
    for one in results.releases:
        name = fm_and_method(short.get(one.fm, one.fm), one.method)
        text = wrapped(f"release verdict on {name}: {one.sentence}", width=width, indent="  ")
        word = one.verdict.upper()
        before, colon, after = text.rpartition(f": {word}")
        texts.append(f"{before}: {paint(word, one.verdict)}{after}" if colon else text)
    return "\n".join(texts)


def render_table(
    checks: Sequence[Check],
    width: int,
    source: str | None = None,
    *,
    allowed: bool = False,
    whole: bool = True,
    paint: Paint = plain,
) -> str:
    """The table of all checks, failures first, the bounds with their reasons, and what was not measured.

    Parameters
    ----------
    checks : several FMs stand beside each other per cohort and metric.
    width : columns of the terminal; from 100 on a row is one line, 80 holds typical names.
    source : where the bounds come from, such as `profile floor`.
    allowed : whether it lets an inconclusive verdict pass, which the verdict then says.
    whole, paint : as for `render_results`.
    """
    if not checks:
        return "No criterion was checked."
    ordered = failures_first(checks)
    table, names = render_rows(ordered, width, allowed=allowed, paint=paint)
    blocks = [
        table,
        render_names(names, width),
        render_allowance(ordered, width, source, allowed=allowed),
        render_support(ordered, width, names),
        render_chance(ordered, width),
        render_bounds(checks, width, source, whole=whole),
        render_undecided(ordered, width),
    ]
    return "\n\n".join(filter(None, blocks))
