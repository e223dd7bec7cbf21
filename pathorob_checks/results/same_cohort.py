"""Whether two runs read the same patches of a cohort."""

from __future__ import annotations

from pathorob_checks.results.subject_facts import CohortFacts

_PATCHES = (
    "tables",
    "patches",
    "slides",
    "biological_classes",
    "in_domain_centers",
    "out_of_domain_centers",
)


def differing_fact(one: CohortFacts, other: CohortFacts) -> str | None:
    """The first fact in which two cohorts of one name differ; None where they have the same patches."""
    # Precomputed embeddings come without the images' revision; then the tables say which patches.
    without_images = any(facts.tables and "@" not in facts.source for facts in (one, other))
    facts = _PATCHES if without_images else ("digest", *_PATCHES)
    return next((name for name in facts if getattr(one, name) != getattr(other, name)), None)
