"""What a run was held to: where the bounds are from."""

from __future__ import annotations

from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.results.document import Terms


def source_of(criteria: Terms) -> str:
    """Where the bounds come from: `profile floor`, or the names of files."""
    names = ["profile " + name if name in BUILT_IN else name for name in criteria.files]
    return " and ".join(names) or f"profile {criteria.name}"


def planned_subjects(terms: Terms) -> tuple[tuple[str, str], ...]:
    """FM (with its method) and cohort of each planned integrity check, which every subject has.

    They are read off the ids of the tests; an id that ends in no cohort of the protocol has none.
    """
    cohorts = terms.protocol.get("cohorts")
    names = sorted(cohorts if isinstance(cohorts, dict) else (), key=len, reverse=True)
    count = terms.completeness.integrity_planned
    subjects = dict.fromkeys(
        one.partition("[")[2].removesuffix("]") for one in terms.planned[-count or len(terms.planned) :]
    )
    return tuple(
        (one.removesuffix(f"-{name}"), name)
        for one in subjects
        for name in [name for name in names if one.endswith(f"-{name}")][:1]
    )
