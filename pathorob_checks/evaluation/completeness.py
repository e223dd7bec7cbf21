"""How much of the plan has a measured value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pathorob_checks.evaluation.terms import Key, PlannedCheck
from pathorob_checks.results.document import Check, Completeness


@dataclass(frozen=True, kw_only=True)
class Collected:
    """The tests that pytest collected: by id, the planned check that each makes; None for a user's own check.

    Attributes
    ----------
    selected : those that run.
    deselected : those that the user left out with `-k`, `-m` or `--deselect`.
    """

    selected: Mapping[str, Key | None] = field(default_factory=dict)
    deselected: Mapping[str, Key | None] = field(default_factory=dict)

    @property
    def keys(self) -> set[Key]:
        """Planned checks that some test makes."""
        return {key for key in (*self.selected.values(), *self.deselected.values()) if key}


def completeness(
    planned: Iterable[PlannedCheck],
    collected: Collected | None,
    checks: Iterable[Check],
    *,
    whole: bool,
    crashed: bool = False,
) -> Completeness:
    """Count.

    Parameters
    ----------
    planned : every check that the terms of the run require.
    collected : None where nobody could report it (every worker crashed): then nothing was deselected.
    checks : those that were made.
    whole : the command asks for the whole profile, so that only deselecting leaves something out;
        otherwise it names paths, and what is not in them is left out.
    """
    checks = list(checks)
    required = {check.key: check.criterion.required for check in planned}
    tests = collected or Collected(selected={str(key): key for key in required})
    chosen = {key for key in tests.selected.values() if key}
    unchosen = {key for key in tests.deselected.values() if key} - chosen
    wanted = set(required) if whole or tests.keys & set(required) else set()
    left_out = {key for key in wanted - chosen if key in unchosen or not whole}
    recorded = {key for check in checks if (key := key_of(check)) in wanted}
    measured = {key_of(check) for check in checks if check.verdict.is_measured} & wanted
    absent = {key for key in wanted - measured if required[key]}

    own = {test for test, key in tests.selected.items() if key is None}
    own_left_out = {test for test, key in tests.deselected.items() if key is None} - own
    own_checks = {check.id: check for check in checks if not check.registered}
    own |= set(own_checks) | own_left_out
    own_measured = sum(check.verdict.is_measured for check in own_checks.values())
    return Completeness(
        planned=len(wanted) + len(own),
        measured=len(measured) + own_measured,
        deselected=len(left_out) + len(own_left_out),
        never_ran=len(wanted - left_out - recorded) + len(own - own_left_out - set(own_checks)),
        missing=len(absent - left_out),
        absent=len(absent),
        crashed=crashed,
    )


def key_of(check: Check) -> Key | None:
    """The key of the planned check that a check is; None for a user's own."""
    return Key(check.fm, check.method, check.cohort, check.criterion) if check.registered else None
