"""The checks as rows of text, what is not met first: for the table of a notebook and of a console."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from pathorob_checks.criteria.verdict import GRAVEST_FIRST, Verdict
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.names import fm_and_method, short_names
from pathorob_checks.results.numbers import check_interval
from pathorob_checks.results.outcome import lets_pass, value_and_bound
from pathorob_checks.wording import counted, printable

COLUMNS = ("FM", "cohort", "metric", "value", "interval", "bound", "verdict")
MOST_ROWS = 100
_NUMBERS = ("value",)
ALIGNED = tuple("right" if name in _NUMBERS else "left" for name in COLUMNS)


def not_met_first(checks: Sequence[Check]) -> list[Check]:
    """Failures, then what could not be measured, then what is undecided; else in the order of the run."""
    return sorted(checks, key=lambda check: GRAVEST_FIRST.index(check.verdict))


def cells_of(check: Check, short: dict[str, str], *, allowed: bool = False) -> tuple[str, ...]:
    """A check's row, printable, in the order of `COLUMNS`.

    Parameters
    ----------
    short : names of the FMs for tables.
    allowed : whether the profile lets an inconclusive verdict pass, which the verdict then says.
    """
    value, bound = value_and_bound(check)
    interval = check_interval(check) or "-"
    return (
        fm_and_method(short[check.fm], check.method),
        printable(check.cohort),
        printable(check.label),
        value,
        interval,
        f"{check.direction} {bound}",
        verdict_in_words(check.verdict, allowed=allowed),
    )


def verdict_in_words(verdict: Verdict, *, allowed: bool) -> str:
    """A verdict in capitals, and whether the profile allows it."""
    passes = " (allowed)" if allowed and verdict is Verdict.INCONCLUSIVE else ""
    return f"{verdict.upper()}{passes}"


def rest_of(checks: Sequence[Check]) -> str:
    """A sentence on the checks that a long table leaves out; "" where it has all of them."""
    more = len(checks) - MOST_ROWS
    return f"{counted(more, 'more check')} not shown; results.table() has all." if more > 0 else ""


def release_sentences(results: ResultsDocument) -> list[str]:
    """The verdict on each FM as a whole."""
    short = short_names(results.checks)
    return [
        printable(f"{fm_and_method(short.get(one.fm, one.fm), one.method)}: {one.sentence}")
        for one in results.releases
    ]


def unsound_sentences(results: ResultsDocument) -> list[str]:
    """A sentence for each integrity check that failed or could not be made."""
    return [
        printable(
            f"{check.name} of {fm_and_method(check.fm, check.method)} on {check.cohort}: {check.verdict}: "
            f"{check.reason}"
        )
        for check in results.integrity
        if check.verdict not in (Verdict.PASS, Verdict.SKIPPED)
    ]


def listed(results: ResultsDocument) -> str:
    """Summary, release verdicts and table as plain text."""
    short = short_names(results.checks)
    allowed = lets_pass(results)
    rows = [cells_of(check, short, allowed=allowed) for check in not_met_first(results.checks)[:MOST_ROWS]]
    table = tabulate(rows, COLUMNS, tablefmt="simple", disable_numparse=True, colalign=ALIGNED)
    releases = "\n".join(f"release verdict on {sentence}" for sentence in release_sentences(results))
    unsound = "\n".join(unsound_sentences(results))
    parts = (printable(results.summary), releases, unsound, table if rows else "", rest_of(results.checks))
    return "\n\n".join(filter(None, parts))
