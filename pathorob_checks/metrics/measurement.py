"""The common form in which every metric hands its value to criteria and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pathorob_checks.metrics.resampling import Resampling

METRICS = ("robustness_index", "performance_drop_id", "performance_drop_ood", "clustering_score")
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Weakness:
    """One medical center x biological class and how it did.

    `value` is on the metric's own scale; `meaning` says in a clause what was counted there. `same_center` is
    the share of the neighbors of its patches that come from their own medical center (robustness index).
    """

    medical_center: str
    biological_class: str
    value: float
    meaning: str
    same_center: float | None = None


@dataclass(frozen=True, kw_only=True)
class SlideWeakness:
    """One slide and how it did; a slide of several biological classes names them all, joined by ' + '.

    `value` is on the metric's own scale; `meaning` says in a clause what was counted there.
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
        all their truths with the measurement's confidence.
    support : share of the group's patches that carry information; None where not defined.
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
    metric : one of `METRICS`.
    value : finite float on the metric's scale.
    interval : interval (low, high) at `confidence`, or None where there is none.
    support : share of the rows (0..1) that carry information on the metric; None where not defined.
    rows : number of patches that were read.
    protocol : JSON-like settings that produced the value (k, schedule, Cramér's V, trials ...).
    weakest : centers x classes, worst first.
    interval_note : how the interval was made, what it leaves out and where it falls short; "" without one.
    confidence : of the interval.
    resampling : what the interval was drawn from; with that of another FM, `differences.difference` gives
        the paired interval of their difference. None where there is nothing to draw from.
    slides : the slides most responsible for a low value, worst first.
    groups : by "medical_center" and "biological_class", worst first. See `worst_group`.
    """

    metric: str
    value: float
    interval: Interval | None
    support: float | None
    rows: int
    protocol: Mapping[str, object]
    weakest: tuple[Weakness, ...]
    interval_note: str = ""
    confidence: float = 0.95
    resampling: Resampling | None = None
    slides: tuple[SlideWeakness, ...] = ()
    groups: Mapping[str, tuple[GroupValue, ...]] = field(default_factory=dict)


def worst_group(groups: tuple[GroupValue, ...]) -> GroupValue:
    """The lowest group, with an interval for the lowest of the true values that allows for the choice.

    The group that came out lowest came out so partly by chance. Its own interval would lie too low, and
    the true lowest group may be another one. So the lower end is the lowest of the groups' lower ends: it is
    above the lowest truth no more often than that group's own lower end is. The upper end is the lowest
    of the upper ends of the Bonferroni intervals. "The worst center is at least 0.4" is confident when
    every center's own interval is above 0.4; "is below" needs the wider ends.

    The interval is None if that of any group is.

    Raises
    ------
    ValueError : no groups.
    """
    worst = min(groups, key=lambda group: group.value)
    own = [group.interval for group in groups if group.interval is not None]
    wide = [group.simultaneous for group in groups if group.simultaneous is not None]
    interval = None
    if len(own) == len(wide) == len(groups):
        interval = (min(low for low, _ in own), min(high for _, high in wide))
    return GroupValue(
        name=worst.name,
        value=worst.value,
        interval=interval,
        simultaneous=interval,
        support=worst.support,
        rows=worst.rows,
    )
