"""Whether a run came to its end: what is missing in an unfinished one is not known to be well."""

from __future__ import annotations

from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.wording import counted


def why_unfinished(results: ResultsDocument) -> str:
    """Why a run did not come to its end, as a clause; "" for one that did."""
    counts = results.environment.criteria.completeness
    if results.problems:
        return results.problems[0].partition("; ")[0].rstrip(".")
    if counts.crashed:
        return "a worker crashed"
    if counts.never_ran:
        return f"{counted(counts.never_ran, 'criterion', 'criteria')} never ran"
    return ""


def left_out(results: ResultsDocument) -> str:
    """Where a run did less than its plan, what it did, as a clause; "" where it left nothing out.

    A criterion that is not required may be without a value.
    """
    counts = results.environment.criteria.completeness
    if not counts.absent and not counts.integrity_left_out:
        return ""
    criteria = counted(counts.planned, "criterion", "criteria")
    integrity = counted(counts.integrity_planned, "integrity check")
    made = counts.integrity_planned - counts.integrity_left_out
    without = f" and made only {made} of {integrity}" if counts.integrity_left_out else ""
    return f"measured only {counts.measured} of {criteria}{without}"
