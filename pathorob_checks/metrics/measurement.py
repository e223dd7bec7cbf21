"""The common form in which every metric hands its value to criteria and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.resampling import Resampling

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class CellValue:
    """The value of one cell (medical center x biological class).

    Attributes
    ----------
    medical_center, biological_class : the cell.
    value : on the metric's own scale.
    meaning : what was counted there, as a clause.
    same_center : share of the neighbors of its patches that come from their own medical center (robustness
        index only).
    """

    medical_center: str
    biological_class: str
    value: float
    meaning: str
    same_center: float | None = None


@dataclass(frozen=True, kw_only=True)
class SlideValue:
    """The value of one slide.

    Attributes
    ----------
    slide_id : the slide.
    medical_center, biological_class : of its patches; several are joined by ' + '.
    value : on the metric's own scale.
    meaning : what was counted there, as a clause.
    """

    slide_id: str
    medical_center: str
    biological_class: str
    value: float
    meaning: str


@dataclass(frozen=True, kw_only=True)
class GroupValue:
    """The metric of one medical center or one biological class.

    Attributes
    ----------
    name : of the center or class.
    value : on the metric's own scale.
    interval : for this group alone, at the measurement's confidence; None where there is none.
    simultaneous : interval at 1 - (1 - confidence) / groups (Bonferroni): together, those of all groups hold
        all their true values with the measurement's confidence.
    support : share of the group's patches that are informative; None where not defined.
    rows : patches of the group.
    """

    name: str
    value: float
    interval: Interval | None
    simultaneous: Interval | None
    support: float | None
    rows: int


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A metric's value with what is needed to judge it.

    Attributes
    ----------
    metric : name of the metric.
    value : finite float on the metric's scale.
    interval : interval (low, high) at `confidence`, or None where there is none.
    support : share of the rows (0..1) that are informative; None where not defined.
    rows : number of patches that were read.
    protocol : JSON-like settings that the value was measured with (k, schedule, Cramér's V, trials ...).
    cells : centers x classes, worst first.
    interval_note : how the interval was made, what it leaves out and where it is too narrow; "" without one.
    confidence : of the interval.
    resampling : what the interval was drawn from; with that of another FM, `differences.difference` gives
        the paired interval of their difference. None where there is nothing to draw from.
    slides : the slides that make the value worse, most responsible first.
    groups : by "medical_center" and "biological_class", worst first. See `worst_group`.

    Examples
    --------
    >>> from pathorob_checks.metrics import Measurement
    >>> Measurement(metric="robustness_index", value=0.8, interval=(0.7, 0.9), rows=100).value
    0.8
    """

    metric: str
    value: float
    interval: Interval | None = None
    support: float | None = None
    rows: int = 0
    protocol: Mapping[str, Any] = field(default_factory=dict)
    cells: tuple[CellValue, ...] = ()
    interval_note: str = ""
    confidence: float = 0.95
    resampling: Resampling | None = None
    slides: tuple[SlideValue, ...] = ()
    groups: Mapping[str, tuple[GroupValue, ...]] = field(default_factory=dict)


def measurements_of(result: Any) -> Mapping[str, Measurement]:
    """The measurements of a metric's result, by the name of the metric.

    Parameters
    ----------
    result : a `Measurement`, or a result such as `RobustnessIndex` whose `measurements()` gives them.

    Raises
    ------
    MetricError : it is neither.
    """
    if isinstance(result, Measurement):
        return {result.metric: result}
    give = getattr(result, "measurements", None)
    if not callable(give):
        raise MetricError(
            f"a {type(result).__name__} is not the result of a metric",
            remedy="give a Measurement or what a function of pathorob_checks.metrics returns",
        )
    measured: Mapping[str, Measurement] = give()
    return measured


def one_measurement(result: Any, metric: str | None = None) -> Measurement:
    """The measurement of a result; of a result with several, that of `metric`.

    Raises
    ------
    MetricError : there are several and none is named, or none of that name.
    """
    measured = measurements_of(result)
    if metric is None and len(measured) == 1:
        return next(iter(measured.values()))
    if metric is not None and metric in measured:
        return measured[metric]
    names = ", ".join(measured)
    raise MetricError(
        f"the result has no value of {metric}" if metric else f"the result has several values ({names})",
        remedy=f"pass one of result.measurements(), which has {names}",
    )


def worst_group(groups: tuple[GroupValue, ...], *, higher_is_better: bool = True) -> GroupValue:
    """The worst group, with an interval for the worst of the true values that allows for the choice.

    The group that came out worst did so partly by chance. Its own interval would be too pessimistic, and the
    truly worst group may be another one. So, where higher is better, the lower end is the lowest of the
    groups' lower ends: it is above the lowest true value no more often than that group's own lower end is.
    The upper end is the lowest of the upper ends of the Bonferroni intervals. "The worst center is at least
    0.4" is certain at the stated confidence when every center's own interval is above 0.4; "is below" needs
    the wider ends. Where lower is better, both are mirrored.

    The interval is None if that of any group is.

    Parameters
    ----------
    groups : at least one.
    higher_is_better : as in the metric's definition.

    Raises
    ------
    ValueError : no groups.
    """
    choose = min if higher_is_better else max
    worst = choose(groups, key=lambda group: group.value)
    own = [group.interval for group in groups if group.interval is not None]
    wide = [group.simultaneous for group in groups if group.simultaneous is not None]
    interval = None
    if len(own) == len(wide) == len(groups):
        lower, upper = (own, wide) if higher_is_better else (wide, own)
        interval = (choose(low for low, _ in lower), choose(high for _, high in upper))
    return GroupValue(
        name=worst.name,
        value=worst.value,
        interval=interval,
        simultaneous=interval,
        support=worst.support,
        rows=worst.rows,
    )
