"""How the views of a cohort will read it, without its images or tables."""

from __future__ import annotations

import hashlib
from typing import Any

from pathorob_checks.cohorts.registry import BENCHMARK, BUILT_IN, check_cohort_text, own_path
from pathorob_checks.cohorts.settings import settings_of


def view_designs(text: str) -> dict[str, Any]:
    """By view, what `--fm-cohort=text` says of how it is read: k, paired design, schedule, table.

    Raises
    ------
    CohortError : it is no cohort, or the settings file of the user's own cannot be used.
    """
    name = text.partition("@")[0]
    if name in BENCHMARK:
        from pathorob_checks.cohorts.benchmark import facts

        known = facts()
        return {
            view: {**design.model_dump(exclude_none=True), "git_sha1": known.tables[design.table].git_sha1}
            for view, design in known.cohorts[name].views.items()
        }
    if text in BUILT_IN:
        from pathorob_checks.cohorts.demo import recipe_bytes

        return {"recipe": hashlib.sha256(recipe_bytes()).hexdigest()}
    check_cohort_text(text)
    return {"robustness_index": {"k": settings_of(own_path(text)).k}}
