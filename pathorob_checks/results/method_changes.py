"""What each method of a run changes: paired differences to the same FM without a method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pathorob_checks.criteria.criterion import KEPT_IDS
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.results.comparing import comparisons_within, says
from pathorob_checks.results.comparison import Says
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.explanation import QUANTITY_LABELS
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.wording import counted, printable

_Name = TypeVar("_Name")


@dataclass(frozen=True, kw_only=True)
class MethodChange:
    """How a metric of an FM on a cohort differs with a method from that without one.

    Attributes
    ----------
    fm, cohort, metric, method : names.
    label : what tables call the metric.
    before : the value without a method.
    change : value with the method minus `before`.
    interval : of the change, paired; None where nothing can be drawn.
    higher_is_better : False where lower values are more robust.
    is_biology : whether it tells what is left of the biological class.
    says : whether the whole interval is on one side of 0, and on which; `undecided` also where lower is
        better and one of the two values is clearly below the neutral one.
    """

    fm: str
    cohort: str
    metric: str
    method: str
    label: str
    before: float | None
    change: float
    interval: tuple[float, float] | None
    higher_is_better: bool
    is_biology: bool
    says: Says


def change_in_words(change: MethodChange) -> str:
    """`better`, `worse` or `undecided`."""
    return {"more robust": "better", "less robust": "worse", "undecided": "undecided"}[change.says]


def method_changes(results: ResultsDocument) -> tuple[MethodChange, ...]:
    """The changes of a run by FM, cohort and metric, those of the methods one after the other.

    Biology comes last in each cohort.
    """
    changes = [*_of_criteria(results), *_of_biology(results)]
    fms = _order([one.fm for one in changes])
    cohorts = _order([one.cohort for one in changes])
    metrics = _order([one.metric for one in changes])
    return tuple(
        sorted(
            changes, key=lambda one: (fms[one.fm], cohorts[one.cohort], one.is_biology, metrics[one.metric])
        )
    )


@dataclass(frozen=True, kw_only=True)
class MethodEffect:
    """What a method does to an FM on all cohorts of a run.

    Attributes
    ----------
    fm, method : names.
    values : how many values became `better` or `worse` with it, or `undecided` where the interval holds 0.
    biology : how many criteria of what is left of the biological class say `kept`, `lost`, `undecided` or
        `not measured`.
    """

    fm: str
    method: str
    values: Mapping[str, int]
    biology: Mapping[str, int]


_BIOLOGY = {
    Verdict.PASS: "kept",
    Verdict.FAIL: "lost",
    Verdict.INCONCLUSIVE: "undecided",
    Verdict.ERROR: "not measured",
    Verdict.SKIPPED: "not measured",
}


def method_effects(results: ResultsDocument) -> tuple[MethodEffect, ...]:
    """The effect of each method on each FM, in the order of the run."""
    changes = method_changes(results)
    kept = [check for check in results.checks if check.criterion.startswith(KEPT_IDS)]
    places = _order([(one.fm, one.method) for one in results.checks if one.method != NO_METHOD])
    effects = (
        MethodEffect(
            fm=fm,
            method=method,
            values=Counter(
                change_in_words(one)
                for one in changes
                if (one.fm, one.method) == (fm, method) and not one.is_biology
            ),
            biology=Counter(_BIOLOGY[one.verdict] for one in kept if (one.fm, one.method) == (fm, method)),
        )
        for fm, method in places
    )
    return tuple(one for one in effects if one.values or one.biology)


def effect_sentences(results: ResultsDocument) -> tuple[str, ...]:
    """A sentence for each method: which gains are shown, and what it costs in biology."""
    effects = method_effects(results)
    several = len({one.fm for one in effects}) > 1
    return tuple(
        f"{fm_and_method(one.fm, one.method) if several else printable(one.method)}: {_effect(one)}"
        for one in effects
    )


def _effect(effect: MethodEffect) -> str:
    values, biology = effect.values, effect.biology
    total = sum(values.values())
    gains = (
        f"{values['better'] or 'none'} of {counted(total, 'value')} better, "
        f"{values['worse'] or 'none'} worse, {values['undecided'] or 'none'} undecided"
    )
    costs = ", ".join(f"{word} {biology[word]}" for word in dict.fromkeys(_BIOLOGY.values()) if biology[word])
    parts = [
        gains if total else "no value compared with the FM as it is",
        f"biology: {costs or 'not tested'}",
    ]
    return "; ".join(parts)


def _of_criteria(results: ResultsDocument) -> list[MethodChange]:
    changes = []
    for comparison in comparisons_within(results):
        if comparison.reference.method != NO_METHOD:
            continue
        methods = {one.name: one.method for one in comparison.fms}
        before = {
            (one.cohort, one.metric): one.value
            for one in comparison.values
            if one.fm == comparison.reference.name
        }
        changes += [
            MethodChange(
                fm=comparison.reference.fm,
                cohort=one.cohort,
                metric=one.metric,
                method=methods[one.fm],
                label=one.label,
                before=before.get((one.cohort, one.metric)),
                change=one.change.value,
                interval=one.change.interval,
                higher_is_better=one.higher_is_better,
                is_biology=False,
                says=one.change.says,
            )
            for one in comparison.changes
            if methods[one.fm] != NO_METHOD and one.change is not None
        ]
    return changes


def _of_biology(results: ResultsDocument) -> list[MethodChange]:
    return [
        MethodChange(
            fm=check.fm,
            cohort=check.cohort,
            metric=check.metric,
            method=check.method,
            label=check.label.removesuffix(QUANTITY_LABELS["difference"]),
            before=None if check.baseline is None else check.baseline.value,
            change=check.value,
            interval=check.interval,
            higher_is_better=check.direction == ">=",
            is_biology=True,
            says=says(check.interval, higher_is_better=check.direction == ">="),
        )
        for check in results.checks
        if check.criterion.startswith(KEPT_IDS) and check.value is not None
    ]


def _order(names: Sequence[_Name]) -> dict[_Name, int]:
    return {name: place for place, name in enumerate(dict.fromkeys(names))}
