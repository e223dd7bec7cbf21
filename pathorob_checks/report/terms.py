"""What a run was held to: where the bounds are from."""

from __future__ import annotations

from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.environment import Terms
from pathorob_checks.results.names import fm_and_method, subject_id


def source_of(criteria: Terms) -> str:
    """Where the bounds come from: `profile floor`, or the names of files."""
    names = ["profile " + name if name in BUILT_IN else name for name in criteria.files]
    return " and ".join(names) or f"profile {criteria.name}"


def planned_subjects(results: ResultsDocument) -> tuple[tuple[str, str], ...]:
    """FM (with its method) and cohort of each planned integrity check, which every subject has.

    They are read off the ids of the tests; an id that ends in no cohort of the protocol has none. An FM
    with a method is called as elsewhere where the results have it; else as in the id.
    """
    terms = results.environment.criteria
    fms = {(check.fm, check.method) for check in results.checks}
    fms |= {(release.fm, release.method) for release in results.releases}
    fms |= {(run.fm.name, run.method) for run in results.runs}
    known = {subject_id(fm, method): fm_and_method(fm, method) for fm, method in fms}
    cohorts = terms.protocol.get("cohorts")
    names = sorted(cohorts if isinstance(cohorts, dict) else (), key=len, reverse=True)
    count = terms.completeness.integrity_planned
    subjects = dict.fromkeys(
        one.partition("[")[2].removesuffix("]") for one in terms.planned[-count or len(terms.planned) :]
    )
    return tuple(
        (known.get(fm := one.removesuffix(f"-{name}"), fm), name)
        for one in subjects
        for name in [name for name in names if one.endswith(f"-{name}")][:1]
    )
