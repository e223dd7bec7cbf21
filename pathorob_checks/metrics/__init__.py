"""The three robustness metrics as pure functions: arrays in, frozen result out.

The names are resolved on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathorob_checks.metrics.aggregate import Aggregate, masson_loftus, mean_over_cohorts
    from pathorob_checks.metrics.any_cohort_schedule import general_schedule
    from pathorob_checks.metrics.clusters import ClusteringScore, clustering_score
    from pathorob_checks.metrics.differences import Difference, difference
    from pathorob_checks.metrics.measurement import worst_group
    from pathorob_checks.metrics.neighborhoods import RobustnessIndex, robustness_index
    from pathorob_checks.metrics.performance import PerformanceDrop, performance_drop
    from pathorob_checks.metrics.schedules import published_schedule

_HOMES = {
    "robustness_index": "neighborhoods",
    "RobustnessIndex": "neighborhoods",
    "performance_drop": "performance",
    "PerformanceDrop": "performance",
    "clustering_score": "clusters",
    "ClusteringScore": "clusters",
    "general_schedule": "any_cohort_schedule",
    "mean_over_cohorts": "aggregate",
    "masson_loftus": "aggregate",
    "Aggregate": "aggregate",
    "difference": "differences",
    "Difference": "differences",
    "worst_group": "measurement",
    "published_schedule": "schedules",
}

__all__ = [
    "Aggregate",
    "ClusteringScore",
    "Difference",
    "PerformanceDrop",
    "RobustnessIndex",
    "clustering_score",
    "difference",
    "general_schedule",
    "masson_loftus",
    "mean_over_cohorts",
    "performance_drop",
    "published_schedule",
    "robustness_index",
    "worst_group",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
