"""The verdict on a release: what the verdicts on an FM's criteria come to, taken together.

A PASS needs no correction for the number of criteria: all of them must be met, so the chance of a false PASS
is at most that of a single one (intersection-union test). A FAIL does: of twelve criteria exactly at their
bounds, one in four releases would have at least one that seems to fail. With `family = "holm"` a release
FAILs only if a criterion is missed after Holm's correction (Holm 1979); otherwise it is INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pathorob_checks.criteria.verdict import Verdict

Family = Literal["none", "holm"]
FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A criterion's own verdict.

    Attributes
    ----------
    name : of the criterion, for the sentence.
    is_met : whether the value meets the bound.
    p_value : see `metrics.p_values`; None where the value alone was judged, which is then the truth.
    """

    name: str
    verdict: Verdict
    is_met: bool
    p_value: float | None


@dataclass(frozen=True, kw_only=True)
class ReleaseVerdict:
    """The verdict on all criteria together, and the criteria that decided it.

    Attributes
    ----------
    verdict : PASS, FAIL, INCONCLUSIVE, or ERROR where a criterion has no verdict.
    decisive : of a FAIL those that are missed for certain, otherwise those that are not met for certain.
    """

    verdict: Verdict
    decisive: tuple[Judged, ...]


def release_verdict(
    judged: Sequence[Judged], *, family: Family, confidence: float, pass_confidence: float | None = None
) -> ReleaseVerdict:
    """Judge all criteria of an FM together.

    Parameters
    ----------
    family : `none`: a criterion that fails, fails the release. `holm`: only if it does so after Holm's
        correction of the one-sided p-values at (1 - confidence) / 2.
    confidence : of the intervals, two-sided.
    pass_confidence : one-sided confidence with which every criterion must be met; None: (1 + confidence) / 2,
        as by the intervals. Studies of non-inferiority use 0.95.
    """
    unmeasured = tuple(one for one in judged if not one.verdict.is_measured)
    if unmeasured or not judged:
        return ReleaseVerdict(verdict=Verdict.ERROR, decisive=unmeasured)
    failed = _missed(judged, family, (1 - confidence) / 2)
    if failed:
        return ReleaseVerdict(verdict=Verdict.FAIL, decisive=failed)
    open_ = tuple(one for one in judged if not _is_passed(one, pass_confidence))
    return ReleaseVerdict(verdict=Verdict.INCONCLUSIVE if open_ else Verdict.PASS, decisive=open_)


def _missed(judged: Sequence[Judged], family: Family, level: float) -> tuple[Judged, ...]:
    if family == "none":
        return tuple(one for one in judged if one.verdict is Verdict.FAIL)
    missed = sorted((one for one in judged if not one.is_met), key=lambda one: one.p_value or 0.0)
    certain = []
    for place, one in enumerate(missed):
        if (one.p_value or 0.0) > level / (len(judged) - place):
            break
        certain.append(one)
    return tuple(certain)


def _is_passed(one: Judged, pass_confidence: float | None) -> bool:
    if pass_confidence is None or one.p_value is None:
        return one.verdict is Verdict.PASS
    return one.is_met and one.p_value <= 1 - pass_confidence
