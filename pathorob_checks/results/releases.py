"""The verdict on each FM as a whole, and what it makes of the verdicts on single criteria."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pathorob_checks.criteria.release import Family, Judged, release_verdict
from pathorob_checks.criteria.verdict import Verdict, meets
from pathorob_checks.metrics.intervals import CONFIDENCE
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.document import Release
from pathorob_checks.results.environment import Completeness
from pathorob_checks.wording import counted, printable

_NAMED = 3
FMKey = tuple[str, str]  # FM and method


def releases_of(
    checks: Sequence[Check],
    planned: Mapping[FMKey, int],
    profile: Mapping[str, Any],
    *,
    integrity: Sequence[IntegrityCheck] = (),
    other_failures: Sequence[str] = (),
    problems: Sequence[str] = (),
    completeness: Completeness | None = None,
) -> tuple[Release, ...]:
    """The verdict on each FM.

    Parameters
    ----------
    checks : all of the run; those that are not the profile's are no part of a release.
    planned : how many criteria each FM has in the plan.
    profile : its content, for `family`, `confidence` and `pass_confidence`.
    integrity : an FM with a failed one has no PASS, because its values may mean nothing.
    other_failures, problems, completeness : of the run; where something went wrong, no FM has a PASS.
    """
    reservation = _reservation(other_failures, problems, completeness)
    return tuple(
        _release(key, count, checks, profile, _unsound(key, integrity) or reservation)
        for key, count in planned.items()
    )


def _unsound(key: FMKey, integrity: Sequence[IntegrityCheck]) -> str:
    """A clause on the integrity checks of an FM that were not passed; "" without one."""
    failed = [
        one
        for one in integrity
        if (one.fm, one.method) == key and one.verdict in (Verdict.FAIL, Verdict.ERROR)
    ]
    if not failed:
        return ""
    verb = "was" if len(failed) == 1 else "were"
    return f"{counted(len(failed), 'integrity check')} of its embeddings {verb} not passed"


def _reservation(
    other_failures: Sequence[str], problems: Sequence[str], completeness: Completeness | None
) -> str:
    """A clause on what went wrong with the run, so that a pass may hide a failure; "" where nothing did."""
    if problems:
        return printable(problems[0]).rstrip(".")
    if completeness is not None and completeness.crashed:
        return "a worker crashed"
    if completeness is not None and completeness.integrity_missing > 0:
        return f"{counted(completeness.integrity_missing, 'integrity check')} of the run never ran"
    return f"{counted(len(other_failures), 'other test')} of the run failed" if other_failures else ""


def _release(
    key: FMKey, planned: int, checks: Sequence[Check], profile: Mapping[str, Any], reservation: str
) -> Release:
    own = [check for check in checks if (check.fm, check.method) == key and check.registered]
    counting = [check for check in own if check.verdict is not Verdict.SKIPPED or check.required]
    optional = len(own) - len(counting)
    family: Family = "holm" if profile.get("family") == "holm" else "none"
    result = release_verdict(
        [_judged(check) for check in counting],
        family=family,
        confidence=_share(profile.get("confidence")) or CONFIDENCE,
        pass_confidence=_share(profile.get("pass_confidence")),
    )
    missing = planned - optional - sum(check.verdict.is_measured for check in counting)
    withheld = reservation if result.verdict is Verdict.PASS and not missing else ""
    verdict = Verdict.ERROR if missing or withheld else result.verdict
    decisive = tuple(one.name for one in result.decisive)
    criteria = planned - optional
    sentence = _sentence(verdict, family, criteria, missing, _named(counting, decisive))
    if withheld:
        number = counted(criteria, "criterion", "criteria")
        sentence = f"no verdict, because {withheld}; {criteria} of {number} met"
    return Release(
        fm=key[0],
        method=key[1],
        verdict=verdict,
        family=family,
        planned=planned,
        decisive=() if verdict is Verdict.ERROR else decisive,
        sentence=sentence,
    )


def _share(value: object) -> float | None:
    """A number between 0 and 1 of a file, which may hold anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < 1 else None  # type: ignore[operator, arg-type]


def _judged(check: Check) -> Judged:
    value = check.value
    return Judged(
        name=check.id,
        verdict=check.verdict,
        is_met=value is not None and meets(value, check.direction, check.bound),
        p_value=None if check.rule == "point" else check.p_value,
    )


def _sentence(verdict: Verdict, family: str, criteria: int, missing: int, named: str) -> str:
    number = counted(criteria, "criterion", "criteria")
    corrected = f" after Holm's correction for {number}" if family == "holm" else ""
    if verdict is Verdict.ERROR:
        return f"no verdict, because {missing} of {number} {'was' if missing == 1 else 'were'} not measured"
    if verdict is Verdict.PASS:
        return f"PASS for these medical centers: {criteria} of {number} met"
    if verdict is Verdict.FAIL:
        missed = f"missed even{corrected}" if corrected else "not met"
        return f"FAIL for these medical centers: {missed}: {named}"
    return f"INCONCLUSIVE for these medical centers: undecided{corrected}: {named}"


def _named(checks: Iterable[Check], ids: Sequence[str]) -> str:
    names = [f"{check.label} ({printable(check.cohort)})" for check in checks if check.id in ids]
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def effective_verdicts(checks: Sequence[Check], releases: Sequence[Release]) -> list[Verdict]:
    """What the release makes of each check's own verdict: a failure that chance explains is inconclusive."""
    by_fm = {(release.fm, release.method): release for release in releases}
    return [_effective(check, by_fm.get((check.fm, check.method))) for check in checks]


def _effective(check: Check, release: Release | None) -> Verdict:
    if release is None or not check.registered or release.verdict is Verdict.ERROR:
        return check.verdict
    if not check.verdict.is_measured:
        return check.verdict
    if check.id in release.decisive:
        return release.verdict
    if release.verdict is Verdict.FAIL:
        return Verdict.PASS if check.verdict is Verdict.PASS else Verdict.INCONCLUSIVE
    return Verdict.PASS
