"""What a results file has come to, worked out again from its records."""

from __future__ import annotations

from pathlib import Path

from pathorob_checks.errors import ResultsError
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.outcome import exit_code
from pathorob_checks.results.results import Results
from pathorob_checks.wording import printable


def verdict(path: Path, *, complete: bool = False) -> tuple[str, int]:
    """The summary of a results file, and the exit code that follows.

    Parameters
    ----------
    complete : whether a run that left out a required criterion or an integrity check on purpose ends with 1.

    Raises
    ------
    ResultsError : the file cannot be read, or contradicts itself.
    """
    results = Results.read(path)
    for contradiction in contradictions(results):
        raise ResultsError(
            f"the results file {path} contradicts itself: {contradiction}",
            remedy="do not use it; run the gate again",
        )
    code = exit_code_of(results)
    counts = results.environment.criteria.completeness
    if complete and code == 0 and (counts.absent or counts.integrity_left_out):
        return f"{printable(results.summary)} (not complete)", 1
    return printable(results.summary), code


def exit_code_of(results: Results) -> int:
    """With what a run of these results ends, by its own profile."""
    profile = results.environment.criteria.profile
    return exit_code(results.outcome, str(profile.get("inconclusive", "fail")))
