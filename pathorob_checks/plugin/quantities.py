"""From a criterion to what is held against its bound: a value, a worst group, a mean, or a difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import MetricError
from pathorob_checks.plugin.pairs import Pair

if TYPE_CHECKING:
    from pathorob_checks.criteria.criterion import Criterion
    from pathorob_checks.metrics.measurement import Measurement
    from pathorob_checks.plugin.gate import Gate


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was measured for a criterion.

    Attributes
    ----------
    group : the name of the worst medical center or biological class.
    baseline : name and value of the FM compared with.
    """

    measurement: Measurement
    group: str | None = None
    baseline: dict[str, Any] | None = None


def answer(gate: Gate, fm: str, criterion: Criterion) -> Answer:
    """Measure what a criterion asks about, by the protocol that the digest covers.

    Raises
    ------
    MetricError : it cannot be measured.
    """
    return _ANSWERS[criterion.quantity](gate, fm, criterion)


def _value(gate: Gate, fm: str, criterion: Criterion) -> Answer:
    return Answer(measurement=gate.measure(Pair(fm, criterion.cohort), criterion.metric))


_GROUPED_BY = {"worst-center": "medical_center", "worst-class": "biological_class"}


def _worst(gate: Gate, fm: str, criterion: Criterion) -> Answer:
    from pathorob_checks.metrics.measurement import worst_group

    whole = gate.measure(Pair(fm, criterion.cohort), criterion.metric)
    by = _GROUPED_BY[criterion.quantity]
    groups = whole.groups.get(by, ())
    if not groups:
        raise MetricError(
            f"{criterion.metric}: there is no value by {by.replace('_', ' ')}",
            remedy="ask for the value of the whole cohort",
        )
    if criterion.metric in (views := gate.cohort(criterion.cohort).views):
        present = set(views[criterion.metric].patches[by])
        if unmeasured := sorted(present - {group.name for group in groups}):
            raise MetricError(
                f"{criterion.metric}: the worst {by.replace('_', ' ')} is unknown, because "
                f"{', '.join(unmeasured)} has no value",
                remedy="ask for the value of the whole cohort, or give a cohort with more slides there",
            )
    worst = worst_group(groups)
    return Answer(
        measurement=replace(
            whole,
            value=worst.value,
            interval=worst.interval,
            support=worst.support,
            rows=worst.rows,
            resampling=None,
        ),
        group=worst.name,
    )


def _mean(gate: Gate, fm: str, criterion: Criterion) -> Answer:
    missing = [name for name in criterion.cohorts if Pair(fm, name) not in gate.pairs]
    if missing:
        raise MetricError(
            f"{criterion.metric}: the mean needs {', '.join(missing)}, where this run does not check {fm}",
            remedy=f"add {' '.join(f'--fm-cohort={name}' for name in missing)}",
        )
    from pathorob_checks.metrics.aggregate import mean_over_cohorts
    from pathorob_checks.metrics.measurement import Measurement

    parts = {name: gate.measure(Pair(fm, name), criterion.metric) for name in criterion.cohorts}
    found = mean_over_cohorts(list(parts.values()), confidence=gate.agreement.profile.confidence)
    supports = [part.support for part in parts.values() if part.support is not None]
    return Answer(
        measurement=Measurement(
            metric=criterion.metric,
            value=found.value,
            interval=found.interval,
            interval_note=found.note,
            confidence=found.confidence,
            support=min(supports, default=None),  # a mean is no better founded than its poorest part
            rows=sum(part.rows for part in parts.values()),
            protocol={name: {"value": part.value, **part.protocol} for name, part in parts.items()},
            weakest=tuple(
                sorted(
                    (cell for part in parts.values() for cell in part.weakest), key=lambda cell: cell.value
                )
            ),
        )
    )


def _difference(gate: Gate, fm: str, criterion: Criterion) -> Answer:
    from pathorob_checks.metrics.differences import difference

    new = gate.measure(Pair(fm, criterion.cohort), criterion.metric)
    baseline = gate.agreement.baseline
    assert baseline is not None  # noqa: S101 (a difference is asked for only where there is one)
    old = baseline.measured[criterion.cohort, criterion.metric]
    if old is None:
        old = gate.measure(Pair(baseline.fm, criterion.cohort), criterion.metric).resampling
    if new.resampling is None or old is None:
        raise MetricError(
            f"{criterion.metric}: there is nothing to draw the difference from",
            remedy="leave the baseline out for this cohort",
        )
    found = difference(new.resampling, old, confidence=gate.agreement.profile.confidence)
    return Answer(
        measurement=replace(
            new,
            value=found.value,
            interval=found.interval,
            interval_note=found.note,
            resampling=None,
        ),
        baseline={"fm": baseline.fm, "source": baseline.source, "value": old.value},
    )


_ANSWERS: Mapping[str, Callable[[Gate, str, Criterion], Answer]] = {
    "value": _value,
    "worst-center": _worst,
    "worst-class": _worst,
    "mean": _mean,
    "difference": _difference,
}
