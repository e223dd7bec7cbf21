"""How much of the plan has a record of this run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evaluation.plan import Key, Plan
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.environment import Completeness
from pathorob_checks.wording import counted


@dataclass(frozen=True, kw_only=True)
class Collected:
    """The tests that pytest collected, and what the command line left out.

    Attributes
    ----------
    selected : tests that run: by their id, that of the planned check that each makes; None for a user's own
        check.
    deselected : the same for tests that some part of pytest deselected.
    chosen : the deselected tests that the command line itself leaves out (`-k`, `-m`, `--deselect`).
    named : the packaged tests that the command line names; the others are left out on purpose. Empty where it
        names none and all shall run.
    """

    selected: Mapping[str, str | None] = field(default_factory=dict)
    deselected: Mapping[str, str | None] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    def left_out(self, planned: Iterable[str]) -> set[str]:
        """The planned checks that the command line leaves out on purpose."""
        chosen = {self.deselected.get(test) for test in self.chosen}
        return {one for one in planned if one in chosen or not self._is_named(one)} - set(
            self.selected.values()
        )

    def not_chosen(self, planned: Iterable[str]) -> tuple[str, ...]:
        """A sentence about planned checks that were deselected, but not by the command line."""
        deselected = set(self.deselected.values()) & set(planned)
        lost = deselected - self.left_out(planned) - set(self.selected.values())
        if not lost:
            return ()
        return (
            f"{counted(len(lost), 'check was', 'checks were')} deselected by addopts, PYTEST_ADDOPTS, a "
            "conftest.py or a plugin; only the command line may leave checks out.",
        )

    def _is_named(self, planned: str) -> bool:
        parts = tuple(f"{name}{end}" for name in self.named for end in ("::", "["))
        return not self.named or planned in self.named or planned.startswith(parts)


def completeness(
    plan: Plan,
    collected: Collected | None,
    checks: Iterable[Check],
    integrity: Iterable[IntegrityCheck],
    *,
    crashed: bool = False,
) -> Completeness:
    """Count.

    Parameters
    ----------
    collected : None where nobody could report it (every worker crashed), and without pytest.
    checks, integrity : the records of the run.
    """
    checks = list(checks)
    tests = collected or Collected()
    of_options = {name for name, reason in plan.left_out.items() if reason.on_purpose}
    required = {check.id: check.criterion.required for check in plan.checks.values()}
    ids = {key: check.id for key, check in plan.checks.items()}
    recorded = {ids[key] for check in checks if (key := key_of(check)) in ids}
    measured = {ids[key] for check in checks if (key := key_of(check)) in ids and check.verdict.is_measured}
    on_purpose = (tests.left_out(required) | of_options) - recorded
    absent = {name for name in set(required) - measured if required[name]}

    verdicts = {one.id: one.verdict for one in integrity if one.id in plan.integrity}
    integrity_on_purpose = tests.left_out(plan.integrity) | (of_options & set(plan.integrity))

    own_checks = [check for check in checks if not check.registered]
    own = {test for test, planned in tests.selected.items() if planned is None}
    own_left_out = {test for test, planned in tests.deselected.items() if planned is None} - own
    own_without = own - {check.id for check in checks}
    own_measured = sum(check.verdict.is_measured for check in own_checks)
    return Completeness(
        planned=len(required) + len(own_checks) + len(own_without) + len(own_left_out),
        measured=len(measured) + own_measured,
        deselected=len(on_purpose - of_options) + len(own_left_out),
        excluded=len(set(plan.left_out) & set(required) - recorded),
        never_ran=len(set(required) - on_purpose - set(plan.left_out) - recorded) + len(own_without),
        missing=len(absent - on_purpose),
        absent=len(absent),
        crashed=crashed,
        integrity_planned=len(plan.integrity),
        integrity_recorded=len(verdicts),
        integrity_made=sum(verdict is not Verdict.ERROR for verdict in verdicts.values()),
        integrity_left_out=len(integrity_on_purpose - set(verdicts)),
    )


def key_of(check: Check) -> Key | None:
    """The key of the planned check that a check is; None for a user's own."""
    return Key(check.fm, check.method, check.cohort, check.criterion) if check.registered else None
