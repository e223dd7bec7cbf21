"""The order in which reports list checks."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from pathorob_checks.criteria.verdict import GRAVEST_FIRST
from pathorob_checks.results.check import Check


def failures_first(checks: Sequence[Check]) -> list[Check]:
    """What failed, then what has no clear verdict, then what passed.

    Several FMs stand beside each other: a cohort's criterion has the place of its gravest verdict, and in it
    the FMs have the order in which they first occur.
    """
    fms = _places((check.fm, check.method) for check in checks)
    if len(fms) == 1:
        return sorted(checks, key=_gravity)
    cohorts = _places(check.cohort for check in checks)
    metrics = _places(check.metric for check in checks)
    criteria = _places(check.criterion for check in checks)
    gravest: dict[tuple[int, int, int], int] = {}

    def group(check: Check) -> tuple[int, int, int]:
        return cohorts[check.cohort], metrics[check.metric], criteria[check.criterion]

    for check in checks:
        gravest[group(check)] = min(_gravity(check), gravest.get(group(check), len(GRAVEST_FIRST)))
    return sorted(
        checks, key=lambda check: (gravest[group(check)], group(check), fms[check.fm, check.method])
    )


def _gravity(check: Check) -> int:
    return GRAVEST_FIRST.index(check.verdict)


def _places(names: Iterable[Hashable]) -> dict[Hashable, int]:
    return {name: place for place, name in enumerate(dict.fromkeys(names))}
