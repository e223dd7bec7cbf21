"""Whether one criterion is stricter than another: for merging files and for comparing them.

Stricter means: what passes, and what ends with exit code 0, does so by the other too, whatever is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pathorob_checks.criteria.bounds import number
from pathorob_checks.criteria.criterion import CriterionEntry
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.criteria.published import BENCHMARK_COHORTS
from pathorob_checks.criteria.verdict import Rule
from pathorob_checks.errors import CriteriaError

Change = Literal["added", "removed", "tightened", "loosened", "changed", "reworded"]
WEAKENED: tuple[Change, ...] = ("removed", "loosened", "changed")
# 1 is stricter, -1 is less strict, 0 is the same; None: not comparable.
Sign = int | None


class ProfileCriterion(NamedTuple):
    """A criterion and what its profile says of every verdict: does an inconclusive one fail?"""

    entry: CriterionEntry
    rule: Rule
    confidence: float
    undecided_fails: bool


@dataclass(frozen=True)
class Difference:
    """One thing that differs between two profiles: what, how, and both as text."""

    subject: str
    change: Change
    before: str
    after: str


def change(before: ProfileCriterion, after: ProfileCriterion) -> Change | None:
    """How the entry of `after` differs from that of `before`; None where they are the same."""
    if before.rule == after.rule and before.entry == after.entry.model_copy(
        update={"rule": before.entry.rule}
    ):
        return None
    return _change(sign(before, after) for sign in _SIGNS.values())


def less_strict_in(before: ProfileCriterion, after: ProfileCriterion) -> list[str]:
    """The keys in which `after` is not at least as strict as `before`."""
    signs = {key: sign(before, after) for key, sign in _SIGNS.items()}
    return [key for key, sign in signs.items() if not _holds(sign)]


def differences(before: Profile, after: Profile) -> list[Difference]:
    """How `after` differs from `before`: settings first, then criteria in the order of the files."""
    changes = [one for one, _ in settings_differences(before, after)]
    old_entries, new_entries = held(before), held(after)
    for name in dict.fromkeys([*old_entries, *new_entries]):
        a, b = old_entries.get(name), new_entries.get(name)
        how = "added" if a is None else "removed" if b is None else change(a, b)
        if how:
            changes.append(Difference(name, how, in_words(a) if a else "", in_words(b) if b else ""))
    return changes


def settings_differences(
    before: Profile, after: Profile, among: Iterable[str] | None = None
) -> list[tuple[Difference, tuple[str, ...]]]:
    """How the settings differ, each with the keys under which a file has it.

    Parameters
    ----------
    among : ids of the criteria that another confidence is judged by; None: all that both have.
    """
    differences: list[tuple[Difference, tuple[str, ...]]] = []

    def note(subject: str, sign: Sign, texts: tuple[object, object], *keys: str) -> None:
        old, new = map(str, texts)
        if old != new:
            differences.append((Difference(subject, _change([sign]), old, new), keys))

    profiles = (before, after)
    strict = [one.inconclusive == "fail" for one in profiles]  # a warning and an xfail both end with 0
    note("inconclusive", _more(*strict), (before.inconclusive, after.inconclusive), "inconclusive")
    levels = before.confidence, after.confidence
    note("confidence", _confidence(before, after, among), levels, "confidence")
    # A correction turns failures into inconclusive verdicts, which ends with 0 where those may pass.
    alone = [one.family == "none" or one.inconclusive == "fail" for one in profiles]
    note("family", _more(*alone), (before.family, after.family), "family")
    needed = [one.pass_confidence or (1 + one.confidence) / 2 for one in profiles]
    passing = before.pass_confidence, after.pass_confidence
    note("pass_confidence", _more(*needed), passing, "pass_confidence")
    centers = before.worst_ood_center, after.worst_ood_center
    note("worst_ood_center", _more(*centers), centers, "worst_ood_center")
    note("repetitions", None, (before.repetitions, after.repetitions), "repetitions")
    complete = before.require_complete, after.require_complete
    note("require_complete", _more(*complete), complete, "require_complete")
    for metric in sorted({*before.baseline.margin, *after.baseline.margin}):
        old, new = (one.baseline.margin_of(metric) for one in profiles)
        margins = f"{old:.17g}", f"{new:.17g}"
        note(f"baseline margin of {metric}", _more(-old, -new), margins, "baseline", "margin", metric)
    first, second = (one.baseline.rule or one.rule for one in profiles)
    sign = _rules(first, second, before.confidence, undecided_fails=strict[1])
    note("baseline rule", sign, (first, second), "baseline", "rule")
    return differences


def held(profile: Profile) -> dict[str, ProfileCriterion]:
    """The entries by id, each with what it is judged by."""
    undecided_fails = profile.inconclusive == "fail"
    return {
        entry.id: ProfileCriterion(entry, entry.rule or profile.rule, profile.confidence, undecided_fails)
        for entry in profile.criteria
    }


def in_words(one: ProfileCriterion) -> str:
    """An entry in a few words: `robustness_index >= 0.7 on camelyon (three-way)`."""
    entry = one.entry
    bound = f"{entry.bound:g}" if isinstance(entry.bound, float) else str(entry.bound)
    parts = (
        entry.metric,
        entry.quantity if entry.quantity != "value" else "",
        f"{entry.direction} {bound}",
        f"on {', '.join(entry.cohorts)}" if entry.cohorts else "",
        f"({one.rule})",
        f"support >= {entry.minimum_support:g}" if entry.minimum_support is not None else "",
        "" if entry.required else "optional",
    )
    return " ".join(filter(None, parts))


def _change(signs: Iterable[Sign]) -> Change:
    sign = _combined(signs)
    return "changed" if sign is None else ("loosened", "reworded", "tightened")[sign + 1]


def _combined(signs: Iterable[Sign]) -> Sign:
    """What several signs come to together."""
    known = {sign for sign in signs if sign != 0}
    return 0 if not known else known.pop() if len(known) == 1 else None


def _holds(sign: Sign) -> bool:
    return sign is not None and sign >= 0


def _more(before: float, after: float) -> Sign:
    return (after > before) - (after < before)


def _same(name: str) -> Callable[[ProfileCriterion, ProfileCriterion], Sign]:
    def sign(before: ProfileCriterion, after: ProfileCriterion) -> Sign:
        return 0 if getattr(before.entry, name) == getattr(after.entry, name) else None

    return sign


def _bound(one: ProfileCriterion, other: ProfileCriterion) -> Sign:
    """By numbers where both are numbers; else on every cohort of the benchmark that it applies to."""
    before, after = one.entry, other.entry
    if before.direction != after.direction or before.metric != after.metric:
        return None
    if before.bound == after.bound:
        return 0
    upwards = 1 if after.direction == ">=" else -1
    signs: list[Sign] = []
    for place in after.places(after.cohorts or BENCHMARK_COHORTS):
        try:
            old, new = (
                number(entry.bound, entry.metric, place, entry.direction) for entry in (before, after)
            )
        except CriteriaError:
            return None
        signs.append(_more(upwards * old, upwards * new))
    return _combined(signs)


def _cohorts(one: ProfileCriterion, other: ProfileCriterion) -> Sign:
    """More cohorts are stricter; "every cohort of the run" says nothing of one that the run lacks."""
    before, after = one.entry, other.entry
    if set(before.cohorts or ()) == set(after.cohorts or ()):
        return 0
    if before.aggregate or after.aggregate or after.cohorts is None:
        return None
    if before.cohorts is None or set(after.cohorts) < set(before.cohorts):
        return -1
    return 1 if set(before.cohorts) < set(after.cohorts) else None


def _rule(before: ProfileCriterion, after: ProfileCriterion) -> Sign:
    return _rules(before.rule, after.rule, before.confidence, undecided_fails=after.undecided_fails)


def _rules(before: Rule, after: Rule, confidence: float, *, undecided_fails: bool) -> Sign:
    old, new = (_needed(rule, confidence, undecided_fails=undecided_fails) for rule in (before, after))
    return _combined(map(_more, old, new))


class _Needed(NamedTuple):
    """How far from the value the point lies that must meet the bound, as the confidence of an interval.

    0 is the value, positive the worse end of the interval, negative its better end. Intervals of a higher
    confidence hold those of a lower one, so that more is stricter.
    """

    to_pass: float
    to_end_with_0: float
    not_to_fail: float


def _needed(rule: Rule, confidence: float, *, undecided_fails: bool) -> _Needed:
    to_pass = 0.0 if rule == "point" else confidence
    not_to_fail = {"point": 0.0, "confident": confidence, "three-way": -confidence}[rule]
    return _Needed(to_pass, to_pass if undecided_fails else not_to_fail, not_to_fail)


def _confidence(before: Profile, after: Profile, among: Iterable[str] | None) -> Sign:
    """A wider interval lets less pass, but where an inconclusive verdict does not fail, it fails less too."""
    criteria = held(after)
    ids = held(before) if among is None else among
    rules = {criteria[name].rule for name in ids if name in criteria}
    signs: list[Sign] = []
    for rule in {*rules, after.baseline.rule or after.rule}:
        old, new = (
            _needed(rule, one.confidence, undecided_fails=after.inconclusive == "fail")
            for one in (before, after)
        )
        signs += [_more(old.to_pass, new.to_pass), _more(old.to_end_with_0, new.to_end_with_0)]
    return _combined(signs)


def _required(before: ProfileCriterion, after: ProfileCriterion) -> Sign:
    return _more(before.entry.required, after.entry.required)


def _support(before: ProfileCriterion, after: ProfileCriterion) -> Sign:
    """Too little support is an error of a required criterion, but an optional one is then skipped."""
    old, new = (one.entry.minimum_support for one in (before, after))
    if after.entry.required:
        return _more(old or 0.0, new or 0.0)
    return 0 if old == new else None


_SIGNS: Mapping[str, Callable[[ProfileCriterion, ProfileCriterion], Sign]] = {
    "metric": _same("metric"),
    "quantity": _same("quantity"),
    "bound": _bound,
    "cohorts": _cohorts,
    "rule": _rule,
    "required": _required,
    "minimum_support": _support,
}
