"""What a report does not say, in sentences with the names and numbers of its run."""

from __future__ import annotations

from collections.abc import Iterator

from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.report.sheets import listed
from pathorob_checks.report.terms import source_of
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.subject_facts import CohortFacts
from pathorob_checks.wording import counted


def limits_of(results: ResultsDocument) -> tuple[str, ...]:
    """The limits of what was measured; nothing where nothing was."""
    if not any(check.value is not None for check in results.checks):
        return ()
    cohorts = {run.cohort.name: run.cohort for run in results.runs}.values()
    return (
        *map(_centers, cohorts),
        *_bounds(results),
        "An average can hide a weak medical center or biological class: look at the worst ones, which stand "
        "beside each criterion.",
        "Whether the FM was trained on these slides, or on others of these centers, is not known to this "
        "run; if it was, the values may be too good.",
        "No clinical claim follows: the checks are about embeddings of patches, not about diagnoses, devices "
        "or patients.",
    )


def _centers(cohort: CohortFacts) -> str:
    centers = (*cohort.in_domain_centers, *cohort.out_of_domain_centers)
    classes = cohort.biological_classes
    how_many = counted(len(classes), "biological class", "biological classes")
    return (
        f"Values, intervals and verdicts on {cohort.name} are about "
        f"{counted(len(centers), 'medical center')} ({listed(centers)}) and {how_many} ({listed(classes)}). "
        "No interval is about other centers, scanners or classes: what was not measured may be worse."
    )


def _bounds(results: ResultsDocument) -> Iterator[str]:
    terms = results.environment.criteria
    if set(terms.files) <= set(BUILT_IN):
        yield (
            f"The bounds ({source_of(terms)}) are the choice of the project pathorob-checks, made without "
            "regard to a certain use."
        )
    else:
        yield f"The bounds are the choice of whoever wrote the criteria ({source_of(terms)})."
