"""Published bounds hold for the published cohorts: refused where a cohort of the name has other patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pathorob_checks.errors import CriteriaError

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.criteria.profile import Profile


def check_published_bounds(profile: Profile, cohorts: Mapping[str, Cohort]) -> None:
    """Refuse bounds from published values on a cohort with tables of the user's own.

    Parameters
    ----------
    cohorts : those of the run, by name.

    Raises
    ------
    CriteriaError : a criterion's bound is a published quantile or the published value of an FM, and a cohort
        that it is about has tables that are not the published ones.
    """
    changed = {name: cohort.own_tables for name, cohort in cohorts.items() if cohort.own_tables}
    for entry in profile.criteria:
        for place in entry.places(tuple(cohorts)):
            own = next((name for name in place if name in changed), None)
            if entry.is_relative and own is not None:
                raise CriteriaError(
                    f"criterion {entry.id} of profile {profile.name} has a bound from published values, but "
                    f"{', '.join(changed[own])} of --fm-metadata is not what was published of {own}",
                    remedy="give a number as the bound, or leave --fm-metadata out",
                )
