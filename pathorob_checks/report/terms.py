"""What a run was held to: where the bounds are from, and whether an undecided criterion may pass."""

from __future__ import annotations

from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.results.document import ResultsDocument, Terms


def source_of(criteria: Terms) -> str:
    """Where the bounds come from: `profile floor`, or the names of files."""
    names = ["profile " + name if name in BUILT_IN else name for name in criteria.files]
    return " and ".join(names) or f"profile {criteria.name}"


def lets_pass(results: ResultsDocument) -> bool:
    """Whether the run's criteria let an inconclusive verdict pass."""
    return dict(results.environment.criteria.profile or {}).get("inconclusive", "fail") != "fail"
