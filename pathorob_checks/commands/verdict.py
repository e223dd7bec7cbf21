"""What a results file has come to, worked out again from its records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pathorob_checks.errors import ResultsError
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.outcome import exit_code, summarize
from pathorob_checks.results.results import Results
from pathorob_checks.wording import printable


def verdict(path: Path, *, complete: bool = False) -> tuple[str, int]:
    """The summary of a results file, and the exit code that follows.

    Parameters
    ----------
    complete : whether a run that left something out on purpose ends with 1.

    Raises
    ------
    ResultsError : the file cannot be read, or contradicts itself.
    """
    results = Results.read(path)
    for contradiction in _contradictions(results):
        raise ResultsError(
            f"the results file {path} contradicts itself: {contradiction}",
            remedy="do not use it; run the gate again",
        )
    if complete and not results.complete and results.outcome is not Outcome.FAIL:
        return f"{printable(results.summary)} (not complete)", 1
    inconclusive = str(results.environment.criteria.profile.get("inconclusive", "fail"))
    return printable(results.summary), exit_code(results.outcome, inconclusive)


def _contradictions(results: Results) -> Iterator[str]:
    """What the file says that does not follow from its own records."""
    terms = results.environment.criteria
    counts = terms.completeness
    measured = [check for check in results.checks if check.verdict.is_measured]
    if len(measured) != counts.measured:
        yield f"it counts {counts.measured} measured criteria and holds {len(measured)}"
    planned = set(terms.planned)
    made = {check.id for check in results.integrity} & planned
    if planned and len(made) != counts.integrity_recorded:
        yield f"it counts {counts.integrity_recorded} integrity checks and holds {len(made)}"
    summary = summarize(
        results.checks,
        counts,
        integrity=results.integrity,
        other_failures=results.other_failures,
        problems=results.problems,
        require_complete=terms.require_complete,
    )
    if results.problems and not results.checks and results.outcome is Outcome.ERROR:
        return  # a run that could not start
    if summary.outcome is not results.outcome:
        yield f"its outcome is {results.outcome}, its records say {summary.outcome}"
    if results.complete != (counts.complete and not results.problems):
        yield f"it says complete: {str(results.complete).lower()}, its records say the opposite"
