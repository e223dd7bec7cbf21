"""How much of what was asked a run has measured, and whether it may end with 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.report.record import CheckRecord

Key = tuple[str, str, str]  # FM, cohort, criterion


@dataclass(frozen=True, kw_only=True)
class Check:
    """One criterion of the profile, asked of one FM."""

    fm: str
    criterion: Criterion

    @property
    def key(self) -> Key:
        """What tells it from all others of a run."""
        return self.fm, self.criterion.cohort, self.criterion.id


@dataclass(frozen=True, kw_only=True)
class Collected:
    """The tests that pytest found: by id, the criterion each asserts; None for a check of the user's own.

    `deselected` are those that the user left out with `-k`, `-m` or `--deselect`.
    """

    selected: Mapping[str, Key | None] = field(default_factory=dict)
    deselected: Mapping[str, Key | None] = field(default_factory=dict)

    @property
    def keys(self) -> set[Key]:
        """Criteria that some test asserts."""
        return {key for key in (*self.selected.values(), *self.deselected.values()) if key}


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Numbers of criteria.

    Attributes
    ----------
    planned : asked for by the profile, or by a user's own check.
    measured : with a value that was judged.
    left_out : not run, on purpose of who gave the command.
    never_ran : without a record although nobody left them out.
    missing : required by the profile, not left out, and not measured.
    absent : required by the profile and not measured, for whatever reason.
    crashed : a worker was lost.
    """

    planned: int
    measured: int
    left_out: int = 0
    never_ran: int = 0
    missing: int = 0
    absent: int = 0
    crashed: bool = False

    @property
    def complete(self) -> bool:
        """Everything planned was measured."""
        return 0 < self.planned == self.measured and not self.crashed

    def must_fail(self, *, require_complete: bool) -> bool:
        """Whether the run must not end with 0, however its tests ended."""
        return self.crashed or self.missing > 0 or (require_complete and self.absent > 0)


def coverage(
    checks: Iterable[Check],
    collected: Collected | None,
    records: Iterable[CheckRecord],
    *,
    whole: bool,
    crashed: bool = False,
) -> Coverage:
    """Count.

    Parameters
    ----------
    checks : everything that the profile asks of the run.
    collected : None where nobody could tell (every worker crashed): then nothing was left out.
    whole : the command asks for the whole profile, so that only deselecting leaves something out;
        otherwise it names paths, and what is not in them is left out.
    """
    records = list(records)
    required = {check.key: check.criterion.required for check in checks}
    found = collected or Collected(selected={str(key): key for key in required})
    chosen = {key for key in found.selected.values() if key}
    deselected = {key for key in found.deselected.values() if key} - chosen
    planned = set(required) if whole or found.keys & set(required) else set()
    left_out = {key for key in planned - chosen if key in deselected or not whole}
    told = {key for record in records if (key := _key(record)) in planned}
    measured = {_key(record) for record in records if record.verdict.is_measured} & planned
    absent = {key for key in planned - measured if required[key]}

    own = {test for test, key in found.selected.items() if key is None}
    own_left_out = {test for test, key in found.deselected.items() if key is None} - own
    own_records = {record.id: record for record in records if not record.registered}
    own |= set(own_records) | own_left_out
    own_measured = sum(record.verdict.is_measured for record in own_records.values())
    return Coverage(
        planned=len(planned) + len(own),
        measured=len(measured) + own_measured,
        left_out=len(left_out) + len(own_left_out),
        never_ran=len(planned - left_out - told) + len(own - own_left_out - set(own_records)),
        missing=len(absent - left_out),
        absent=len(absent),
        crashed=crashed,
    )


def _key(record: CheckRecord) -> Key | None:
    return (record.fm, record.cohort, record.criterion) if record.registered else None
