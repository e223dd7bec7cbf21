"""From a measurement to a check: hold it against its criterion, and put what a reader needs beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pathorob_checks.criteria.criterion import KEPT_IDS, Criterion
from pathorob_checks.criteria.verdict import RULES, Judgement, Rule, Verdict, judge
from pathorob_checks.errors import MetricError
from pathorob_checks.evaluation.measuring import Measured
from pathorob_checks.evaluation.suspects import contains_bound, suspects, what_decides
from pathorob_checks.metrics.definition import Direction, Metric
from pathorob_checks.metrics.measurement import Interval, Measurement
from pathorob_checks.metrics.p_values import p_value
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.check import Check
from pathorob_checks.results.explanation import QUANTITY_LABELS

if TYPE_CHECKING:
    from pathorob_checks.evaluation.plan import PlannedCheck


def own_criterion(
    test: str, metric: str, cohort: str, *, bound: float, direction: Direction, rule: Rule, rationale: str
) -> Criterion:
    """A bound that a user's test writes down itself."""
    return Criterion(
        id=test,
        metric=metric,
        cohort=cohort,
        cohorts=(cohort,),
        bound=bound,
        direction=direction,
        rule=rule,
        rationale=rationale or f"The test {test} gives no rationale.",
    )


def judged(
    check_id: str,
    fm: str,
    method: str,
    criterion: Criterion,
    measured: Measured,
    *,
    drift: float | None = None,
    registered: bool = True,
    has_images: bool = True,
) -> Check:
    """The check of a measurement held against a criterion.

    Parameters
    ----------
    drift : by how much the precision of the forward pass may move the value.
    registered : whether the criterion is one of the profile and was measured by its protocol.
    has_images : False for an FM that is given by its embeddings: advice about images does not fit it.

    Raises
    ------
    MetricError : the measurement holds what no results file can.
    """
    measurement = measured.measurement
    judgement = judge(
        criterion.bound,
        criterion.direction,
        measurement,
        criterion.rule,
        drift=drift,
        minimum_support=criterion.minimum_support,
    )
    if judgement.verdict is Verdict.ERROR and not criterion.required:
        judgement = Judgement(verdict=Verdict.SKIPPED, reason=judgement.reason)
    try:
        return Check(
            id=check_id,
            fm=fm,
            method=method,
            **_of_criterion(criterion),
            **_of_measurement(measurement),
            group=measured.group,
            baseline=measured.baseline,
            drift=drift,
            p_value=p_value(measurement, criterion.bound, measured.interval_at, drift=drift or 0.0)
            if math.isfinite(measurement.value)
            else None,
            registered=registered,
            verdict=judgement.verdict,
            reason=judgement.reason,
            meaning=_meaning(criterion, measured, judgement.verdict),
            remedies=_remedies(criterion, judgement.verdict, measured, drift, has_images=has_images),
            suspects=suspects(measured, criterion, judgement.verdict, drift),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise MetricError(
            f"{criterion.metric} was measured as something that no results file can hold "
            f"({'.'.join(map(str, first['loc']))}: {first['msg']})",
            remedy="correct the metric's function",
        ) from error


def not_measured(
    check_id: str, planned: PlannedCheck, reason: str, verdict: Verdict = Verdict.ERROR
) -> Check:
    """The check of a criterion whose metric gave no value: an error, or a skip with its reason."""
    return Check(
        id=check_id,
        fm=planned.fm,
        method=planned.method,
        **_of_criterion(planned.criterion),
        value=None,
        interval=None,
        support=None,
        verdict=verdict,
        reason=reason,
    )


def _of_criterion(criterion: Criterion) -> dict[str, Any]:
    content = criterion.model_dump(exclude={"id", "cohorts"})
    definition = metrics().get(criterion.metric)
    label = definition.label if definition else criterion.metric
    return {
        **content,
        "criterion": criterion.id,
        "label": label + QUANTITY_LABELS[criterion.quantity],
    }


def _of_measurement(measurement: Measurement) -> dict[str, Any]:
    """What a check repeats of a measurement; what is not finite in it is left out."""
    value, support = measurement.value, measurement.support
    return {
        "value": value if math.isfinite(value) else None,
        "interval": _finite(measurement.interval),
        "support": support if support is not None and math.isfinite(support) else None,
        "confidence": None if measurement.interval is None else measurement.confidence,
        "interval_note": measurement.interval_note,
        "protocol": measurement.protocol,
        "cells": tuple(cell for cell in measurement.cells if math.isfinite(cell.value)),
        "slides": tuple(slide for slide in measurement.slides if math.isfinite(slide.value)),
        "groups": dict(measurement.groups),
        "resampling": measurement.resampling,
        "curves": measurement.curves,
        "grids": measurement.grids,
    }


def _finite(interval: Interval | None) -> Interval | None:
    """A half-open interval (one end not finite) seems to say more than it does: none at all then."""
    if interval is None or not all(math.isfinite(end) for end in interval):
        return None
    return (float(interval[0]), float(interval[1]))


_AGAINST_HARM = (
    "Use another method, or none: this one takes biology from the embeddings.",
    "Look first whether class and medical center go together in the cohort: what separates the centers then "
    "separates the classes too.",
)


def _meaning(criterion: Criterion, measured: Measured, verdict: Verdict) -> str:
    definition, value = metrics().get(criterion.metric), measured.measurement.value
    if definition is None or not math.isfinite(value):
        return ""
    if criterion.quantity != "difference":
        sentence = definition.meaning(value)
        detail = measured.measurement.detail if criterion.quantity == "value" else ""
        shown = _shown_by_interval(definition, measured.measurement.interval, verdict)
        return " ".join(filter(None, (f"{sentence[:1].upper()}{sentence[1:]}.", detail, shown)))
    before = f" ({measured.baseline.value:.3f})" if measured.baseline else ""
    if criterion.id.startswith(KEPT_IDS):
        change = f"{abs(value):.3f} {'lower' if value < 0 else 'higher'} than" if value else "As high as"
        return f"{change} without a method{before}."
    return f"{_compared(definition, value)} the baseline{before}."


def _shown_by_interval(definition: Metric, interval: Interval | None, verdict: Verdict) -> str:
    """What an interval says beside its bound, as a sentence; "" where the bound is all there is to say."""
    if interval is None:
        return ""
    low, high = interval
    if low <= definition.lowest and high >= definition.highest:
        scale = f"{definition.lowest:g} to {definition.highest:g}"
        return f"The interval covers the whole scale from {scale}: it excludes no value."
    if verdict is Verdict.INCONCLUSIVE and definition.is_worse_than_neutral(interval):
        shown, neutral = definition.worse_than_neutral
        side = "below" if definition.higher_is_better else "above"
        sentence = f"the whole interval lies {side} {neutral}, {definition.neutral:.3f}."
        sentence = f"{shown}: {sentence}" if shown else sentence
        return f"{sentence[:1].upper()}{sentence[1:]}"
    return ""


def _compared(definition: Metric, change: float) -> str:
    if change == 0:
        return "As robust as"
    return f"{abs(change):.3f} {'less' if definition.badness(change) < 0 else 'more'} robust than"


def _remedies(
    criterion: Criterion,
    verdict: Verdict,
    measured: Measured,
    drift: float | None,
    *,
    has_images: bool,
) -> tuple[str, ...]:
    """What to do: the metric's advice about a failure, or how to decide what is undecided.

    None for a bound in the other direction, which has reasons of its own, and for what has no verdict.
    """
    definition = metrics().get(criterion.metric)
    if definition is None or criterion.direction != definition.good_direction:
        return ()
    if verdict is Verdict.INCONCLUSIVE or (verdict is Verdict.FAIL and _is_undecided(criterion, measured)):
        precise = ("Measure in fp32.",) if drift else ()
        by_drift_alone = drift and not contains_bound(measured.measurement, criterion)
        return precise if by_drift_alone else (*precise, what_decides(measured, criterion))
    if verdict is not Verdict.FAIL:
        return ()
    if criterion.id.startswith(KEPT_IDS):
        return _AGAINST_HARM
    without = None if has_images else definition.remedies_without_images
    return definition.remedies if without is None else without


def _is_undecided(criterion: Criterion, measured: Measured) -> bool:
    """Whether a rule that looks at the interval finds the bound inside it."""
    return RULES[criterion.rule] is not None and contains_bound(measured.measurement, criterion)
