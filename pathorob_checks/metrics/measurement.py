"""The common form in which every metric hands its value to criteria and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.pictured import Curve, Grid, NearestPatches
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import patches_text, short_text, value_text
from pathorob_checks.wording import rounded_percent

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class CellValue:
    """The value of one cell (medical center x biological class).

    Attributes
    ----------
    medical_center, biological_class : str
        The cell.
    value : float
        On the metric's own scale, or a change with a `unit`.
    meaning : str
        What was counted there, as a clause.
    same_center : float or None
        Share (0 to 1) of the neighbors of its patches that come from their own medical center (robustness
        index only).
    unit : str
        What the value is a change in, such as `in recall`: a difference, below 0 where the cell lost. "" on
        the metric's own scale.

    Examples
    --------
    >>> from pathorob_checks.metrics import CellValue
    >>> cell = CellValue(medical_center="Bonn", biological_class="tumor", value=0.3, meaning="30 of 100")
    >>> cell.medical_center, cell.value
    ('Bonn', 0.3)
    """

    medical_center: str
    biological_class: str
    value: float
    meaning: str
    same_center: float | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class SlideValue:
    """The value of one slide.

    Attributes
    ----------
    slide_id : str
        The slide.
    medical_center, biological_class : str
        Of its patches; several are joined by ' + '.
    value : float
        On the metric's own scale.
    meaning : str
        What was counted there, as a clause.

    Examples
    --------
    >>> from pathorob_checks.metrics import SlideValue
    >>> slide = SlideValue(
    ...     slide_id="s17", medical_center="Bonn", biological_class="tumor", value=0.1, meaning="1 of 10"
    ... )
    >>> slide.slide_id
    's17'
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
    name : str
        Of the center or class.
    value : float
        On the metric's own scale.
    interval : tuple of (float, float) or None
        For this group alone, at the measurement's confidence; None where there is none.
    simultaneous : tuple of (float, float) or None
        Interval at 1 - (1 - confidence) / groups (Bonferroni): together, those of all groups hold all their
        true values with the measurement's confidence.
    support : float or None
        Share (0 to 1) of the group's patches that are informative; None where not defined.
    rows : int
        Patches of the group.

    See Also
    --------
    worst_group : The worst of several, with an interval that allows for the choice.

    Examples
    --------
    >>> from pathorob_checks.metrics import GroupValue
    >>> group = GroupValue(
    ...     name="Bonn", value=0.5, interval=(0.4, 0.6), simultaneous=(0.3, 0.7), support=0.9, rows=200
    ... )
    >>> group.name, group.interval
    ('Bonn', (0.4, 0.6))
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
    metric : str
        Name of the metric.
    value : float
        Finite, on the metric's scale.
    interval : tuple of (float, float) or None
        Confidence interval (low, high) for the value over all slides of these medical centers and classes,
        at `confidence`; None where there is none.
    support : float or None
        Share (0 to 1) of the rows that are informative; None where not defined.
    rows : int
        Number of patches that were read.
    protocol : mapping of str to JSON-like values
        Settings that the value was measured with (k, schedule, Cramér's V, trials ...).
    cells : tuple of CellValue
        Centers x classes, worst first.
    interval_note : str
        How the interval was made, what it leaves out and where it is too narrow; "" without one.
    confidence : float
        Of the interval, between 0 and 1.
    resampling : Resampling or None
        What the interval was drawn from; with that of another FM, `difference` gives the paired interval of
        their difference. None where there is nothing to draw from.
    slides : tuple of SlideValue
        The slides that make the value worse, most responsible first.
    groups : mapping of str to tuple of GroupValue
        By "medical_center" and "biological_class", worst first. See `worst_group`.
    unstable : str
        A clause that says between what the value jumps, for the reason of a verdict; "" where it is stable.
    curves : tuple of Curve
        How the value, or what it is made of, depends on a setting.
    grids : tuple of Grid
        How it is spread over centers and classes.
    nearest : tuple of NearestPatches
        Patches that pull the value down, worst first, with their neighbors.
    detail : str
        What the value is made of, as a sentence that follows the metric's meaning; "" without one.

    Examples
    --------
    >>> from pathorob_checks.metrics import Measurement
    >>> measurement = Measurement(metric="robustness_index", value=0.8, interval=(0.7, 0.9), rows=100)
    >>> measurement.value, measurement.interval, measurement.confidence
    (0.8, (0.7, 0.9), 0.95)
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
    unstable: str = ""
    curves: tuple[Curve, ...] = ()
    grids: tuple[Grid, ...] = ()
    nearest: tuple[NearestPatches, ...] = ()
    detail: str = ""

    def __repr__(self) -> str:
        support = "" if self.support is None else f"support {rounded_percent(self.support)}, "
        rests_on = f"{support}{patches_text(self.rows)}"
        value = value_text(self.value, self.interval, self.confidence)
        return short_text(f"Measurement of {self.metric}", value, rests_on)


def measurements_of(result: Any) -> Mapping[str, Measurement]:
    """Return the measurements of a metric's result, by the name of the metric.

    Parameters
    ----------
    result : Measurement, RobustnessIndex, RobustnessMargin, PerformanceDrop or ClusteringScore
        A `Measurement`, or any result whose `measurements()` gives them.

    Returns
    -------
    mapping of str to Measurement
        One or several; `performance_drop` gives `performance_drop_id` and `nipd_id` and, where there are
        out-of-domain patches, `performance_drop_ood` and `nipd_ood`.

    Raises
    ------
    MetricError
        It is neither.

    Examples
    --------
    >>> from pathorob_checks.metrics import Measurement, measurements_of
    >>> list(measurements_of(Measurement(metric="robustness_index", value=0.8)))
    ['robustness_index']
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
    """The measurement of a result; of a result with several, that of `metric`, or the only one not secondary.

    Without a name, only the `main_metrics` of a result come into question, where it says which those are.

    Raises
    ------
    MetricError : there are several and none is named, or none of that name.
    """
    measured = measurements_of(result)
    if metric is None:
        main = getattr(result, "main_metrics", tuple(measured))
        measured = {name: one for name, one in measured.items() if name in main}
        if len(measured) == 1:
            return next(iter(measured.values()))
    if metric is not None and metric in measured:
        return measured[metric]
    names = ", ".join(measured)
    if metric is not None or not measured:
        other = f"name one of its values ({names}), or " if measured else ""
        raise MetricError(
            f"the result has no value of {metric or 'any metric'}",
            remedy=f"{other}measure a cohort on which the metric has a value",
        )
    choices = " or ".join(f'metric="{name}"' for name in measured)
    raise MetricError(
        f"the result has several values ({names})",
        remedy=f'pass {choices} to fm_check(), or result.measurements()["{list(measured)[-1]}"] elsewhere',
    )


def worst_group(groups: tuple[GroupValue, ...], *, higher_is_better: bool = True) -> GroupValue:
    """Return the worst group, with an interval for the worst of the true values that allows for the choice.

    The group that came out worst did so partly by chance. Its own interval would be too pessimistic, and the
    truly worst group may be another one. So, where higher is better, the lower end is the lowest of the
    groups' lower ends: it is above the lowest true value no more often than that group's own lower end is.
    The upper end is the lowest of the upper ends of the Bonferroni intervals. "The worst center is at least
    0.4" is certain at the stated confidence when every center's own interval is above 0.4; "is below" needs
    the wider ends. Where lower is better, both are mirrored.

    Parameters
    ----------
    groups : tuple of GroupValue
        At least one.
    higher_is_better : bool, default True
        As in the metric's definition.

    Returns
    -------
    GroupValue
        Its `interval` and `simultaneous` are the interval that allows for the choice; None if the interval of
        any group is None.

    Raises
    ------
    ValueError
        No groups.

    Examples
    --------
    >>> from pathorob_checks.metrics import GroupValue, worst_group
    >>> groups = (
    ...     GroupValue(
    ...         name="Bonn", value=0.5, interval=(0.4, 0.6), simultaneous=(0.35, 0.65), support=0.9, rows=200
    ...     ),
    ...     GroupValue(
    ...         name="Aachen", value=0.6, interval=(0.3, 0.9), simultaneous=(0.2, 0.95), support=0.9, rows=40
    ...     ),
    ... )
    >>> worst = worst_group(groups)
    >>> worst.name, worst.interval
    ('Bonn', (0.3, 0.65))
    """
    choose = min if higher_is_better else max
    worst = choose(groups, key=lambda group: group.value)
    interval = interval_of_worst(
        [group.interval for group in groups],
        [group.simultaneous for group in groups],
        higher_is_better=higher_is_better,
    )
    return GroupValue(
        name=worst.name,
        value=worst.value,
        interval=interval,
        simultaneous=interval,
        support=worst.support,
        rows=worst.rows,
    )


def interval_of_worst(
    own: Sequence[Interval | None], simultaneous: Sequence[Interval | None], *, higher_is_better: bool
) -> Interval | None:
    """Interval of the worst of several true values, as `worst_group` explains it.

    Parameters
    ----------
    own : of each value alone, at the confidence of the result.
    simultaneous : of each value, Bonferroni-corrected for their number.
    """
    choose = min if higher_is_better else max
    alone = [interval for interval in own if interval is not None]
    wide = [interval for interval in simultaneous if interval is not None]
    if not len(alone) == len(wide) == len(own):
        return None
    lower, upper = (alone, wide) if higher_is_better else (wide, alone)
    return choose(low for low, _ in lower), choose(high for _, high in upper)
