"""Whether one criterion is stricter than another: for merging files and for comparing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pathorob_checks.criteria.bounds import number
from pathorob_checks.criteria.criterion import CriterionEntry
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.criteria.published import BENCHMARK_COHORTS
from pathorob_checks.errors import CriteriaError

Change = Literal["added", "removed", "tightened", "loosened", "changed", "reworded"]
# 1 is stricter, -1 is less strict, 0 is the same; None: not comparable.
Sign = int | None


@dataclass(frozen=True)
class Difference:
    """One thing that differs between two profiles: what, how, and both as text."""

    subject: str
    change: Change
    before: str
    after: str


def change(before: CriterionEntry, after: CriterionEntry) -> Change | None:
    """How `after` differs from `before`; None where they are the same."""
    if before == after:
        return None
    return _change([sign(before, after) for sign in _SIGNS.values()])


def less_strict_in(before: CriterionEntry, after: CriterionEntry) -> list[str]:
    """The keys in which `after` is not at least as strict as `before`."""
    signs = {key: sign(before, after) for key, sign in _SIGNS.items()}
    return [key for key, sign in signs.items() if sign is None or sign < 0]


def differences(before: Profile, after: Profile) -> list[Difference]:
    """How `after` differs from `before`: settings first, then criteria in the order of the files."""
    changes = [
        Difference(key, _change([sign(getattr(before, key), getattr(after, key))]), str(old), str(new))
        for key, sign in _SETTINGS.items()
        if (old := getattr(before, key)) != (new := getattr(after, key))
    ]
    for metric in sorted({*before.baseline.margin, *after.baseline.margin}):
        old, new = (one.baseline.margin_of(metric) for one in (before, after))
        if old != new:
            subject = f"baseline margin of {metric}"
            changes.append(Difference(subject, _change([_more(-old, -new)]), f"{old:g}", f"{new:g}"))
    old_entries, new_entries = ruled(before), ruled(after)
    for name in dict.fromkeys([*old_entries, *new_entries]):
        a, b = old_entries.get(name), new_entries.get(name)
        how = "added" if a is None else "removed" if b is None else change(a, b)
        if how:
            changes.append(Difference(name, how, in_words(a) if a else "", in_words(b) if b else ""))
    return changes


def ruled(profile: Profile) -> dict[str, CriterionEntry]:
    """The entries by id, each with the rule that it is judged by."""
    return {
        entry.id: entry if entry.rule else entry.model_copy(update={"rule": profile.rule})
        for entry in profile.criteria
    }


def in_words(entry: CriterionEntry) -> str:
    """An entry in a few words: `robustness_index >= 0.7 on camelyon (three-way)`."""
    bound = f"{entry.bound:g}" if isinstance(entry.bound, float) else str(entry.bound)
    parts = (
        entry.metric,
        entry.quantity if entry.quantity != "value" else "",
        f"{entry.direction} {bound}",
        f"on {', '.join(entry.cohorts)}" if entry.cohorts else "",
        f"({entry.rule})" if entry.rule else "",
        f"support >= {entry.minimum_support:g}" if entry.minimum_support is not None else "",
        "" if entry.required else "optional",
    )
    return " ".join(filter(None, parts))


def _change(signs: list[Sign]) -> Change:
    known = {sign for sign in signs if sign != 0}
    if not known:
        return "reworded"
    return "tightened" if known == {1} else "loosened" if known == {-1} else "changed"


def _more(before: float, after: float) -> Sign:
    return (after > before) - (after < before)


def _same(name: str) -> Callable[[CriterionEntry, CriterionEntry], Sign]:
    def sign(before: CriterionEntry, after: CriterionEntry) -> Sign:
        return 0 if getattr(before, name) == getattr(after, name) else None

    return sign


def _bound(before: CriterionEntry, after: CriterionEntry) -> Sign:
    """By numbers where both are numbers; else on every cohort of the benchmark that it applies to."""
    if before.direction != after.direction or before.metric != after.metric:
        return None
    if before.bound == after.bound:
        return 0
    upwards = 1 if after.direction == ">=" else -1
    signs = set()
    for place in after.places(after.cohorts or BENCHMARK_COHORTS):
        try:
            old, new = (number(one.bound, one.metric, place, one.direction) for one in (before, after))
        except CriteriaError:
            return None
        signs.add(_more(upwards * old, upwards * new))
    return signs.pop() if len(signs) == 1 else None


def _cohorts(before: CriterionEntry, after: CriterionEntry) -> Sign:
    if before.cohorts == after.cohorts or set(before.cohorts or ()) == set(after.cohorts or ()) != set():
        return 0
    if before.aggregate or after.aggregate:
        return None
    if after.cohorts is None or (before.cohorts and set(before.cohorts) < set(after.cohorts)):
        return 1
    return -1 if before.cohorts is None or set(after.cohorts) < set(before.cohorts) else None


def _rule(before: CriterionEntry, after: CriterionEntry) -> Sign:
    """`confident` is strictest. `point` and `three-way` each pass what the other does not."""
    if before.rule == after.rule:
        return 0
    return {after.rule: 1, before.rule: -1}.get("confident")


def _required(before: CriterionEntry, after: CriterionEntry) -> Sign:
    return _more(before.required, after.required)


def _support(before: CriterionEntry, after: CriterionEntry) -> Sign:
    return _more(before.minimum_support or 0.0, after.minimum_support or 0.0)


_SIGNS: Mapping[str, Callable[[CriterionEntry, CriterionEntry], Sign]] = {
    "metric": _same("metric"),
    "quantity": _same("quantity"),
    "bound": _bound,
    "cohorts": _cohorts,
    "rule": _rule,
    "required": _required,
    "minimum_support": _support,
}


def _inconclusive(before: Any, after: Any) -> Sign:
    # A warning and an xfail are alike: the run can end with 0.
    return _more(before == "fail", after == "fail")


_SETTINGS: Mapping[str, Callable[[Any, Any], Sign]] = {
    "inconclusive": _inconclusive,
    "confidence": _more,
    "require_complete": _more,
}
