"""The common form in which every metric hands its value to criteria and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

METRICS = ("robustness_index", "performance_drop_id", "performance_drop_ood", "clustering_score")


@dataclass(frozen=True, kw_only=True)
class Weakness:
    """One medical center x biological class and how it did.

    `value` is on the metric's own scale; `meaning` says in a clause what was counted there.
    """

    medical_center: str
    biological_class: str
    value: float
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A metric's value with what is needed to judge it.

    Attributes
    ----------
    metric : one of `METRICS`.
    value : finite float on the metric's scale.
    interval : 95 % interval (low, high), or None where the metric gives none yet.
    support : share of the rows (0..1) that carry information on the metric; None where not defined.
    rows : number of patches that were read.
    protocol : JSON-like settings that produced the value (k, schedule, Cramér's V, trials ...).
    weakest : centers x classes, worst first.
    """

    metric: str
    value: float
    interval: tuple[float, float] | None
    support: float | None
    rows: int
    protocol: Mapping[str, object]
    weakest: tuple[Weakness, ...]
