"""Which FM meets which cohort, from the options alone: the same in every process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from pathorob_checks.models.spec import ModelSpec


class Pair(NamedTuple):
    """One FM on one cohort, by their names in test ids."""

    fm: str
    cohort: str


@dataclass(frozen=True)
class Plan:
    """What a run checks.

    Attributes
    ----------
    cohorts : the text of each cohort by its name in test ids.
    pairs : FM by FM, cohort by cohort.
    left_out : a sentence for each FM or cohort that `--fm-commercial` excludes.
    """

    cohorts: dict[str, str]
    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...]


def plan_pairs(specs: Mapping[str, ModelSpec], texts: tuple[str, ...], *, commercial: bool) -> Plan:
    """Every FM on all cohorts named, else on those that suit its kind.

    Raises
    ------
    pytest.UsageError : two cohorts have one name, or `commercial` leaves nothing.
    """
    from pathorob_checks.cohorts.registry import cohort_name, default_cohorts, license_of
    from pathorob_checks.models import loading

    cohorts: dict[str, str] = {}
    for text in texts:
        name = cohort_name(text)
        if name in cohorts:
            raise pytest.UsageError(
                f"--fm-cohort={text}: two cohorts are called {name}; rename one folder or give it once."
            )
        cohorts[name] = text
    wanted = {fm: tuple(cohorts) or default_cohorts(spec.kind) for fm, spec in specs.items()}
    cohorts = cohorts or {name: name for name in dict.fromkeys(sum(wanted.values(), ()))}
    left_out: dict[str, str] = {}
    if commercial:
        terms = {f"FM {name}": loading.license_of(spec) for name, spec in specs.items()}
        terms |= {f"cohort {name}": license_of(text) for name, text in cohorts.items()}
        left_out = {
            what: f"{what} is left out by --fm-commercial ({license_})."
            for what, (license_, allowed) in terms.items()
            if allowed is False
        }
    pairs = tuple(
        Pair(fm, cohort)
        for fm, names in wanted.items()
        for cohort in names
        if f"FM {fm}" not in left_out and f"cohort {cohort}" not in left_out
    )
    if not pairs:
        raise pytest.UsageError(
            "--fm-commercial leaves nothing to check: "
            + " ".join(left_out.values())
            + " Name an FM and a cohort that may be used commercially, or leave --fm-commercial out."
        )
    met = {pair.cohort for pair in pairs}
    return Plan(
        {name: text for name, text in cohorts.items() if name in met}, pairs, tuple(left_out.values())
    )
