"""Robustness metrics as pure functions: arrays in, frozen result out; and the definitions around them.

The names are imported on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathorob_checks.errors import MetricError
    from pathorob_checks.metrics.aggregate import Aggregate, masson_loftus, mean_over_cohorts
    from pathorob_checks.metrics.any_cohort_schedule import general_schedule
    from pathorob_checks.metrics.clusters import ClusteringScore, clustering_score
    from pathorob_checks.metrics.definition import Computation, Metric
    from pathorob_checks.metrics.differences import Difference, difference
    from pathorob_checks.metrics.drop_result import PerformanceDrop
    from pathorob_checks.metrics.intervals import interval_of
    from pathorob_checks.metrics.measurement import (
        CellValue,
        GroupValue,
        Measurement,
        SlideValue,
        measurements_of,
        worst_group,
    )
    from pathorob_checks.metrics.neighborhoods import RobustnessIndex, robustness_index
    from pathorob_checks.metrics.performance import performance_drop
    from pathorob_checks.metrics.pictured import Curve, Grid, NearestPatches
    from pathorob_checks.metrics.published import PublishedScore, published_scores
    from pathorob_checks.metrics.registry import metric, metrics
    from pathorob_checks.metrics.resampling import Resampling
    from pathorob_checks.metrics.retrieval import case_retrieval
    from pathorob_checks.metrics.retrieval_result import CaseRetrieval, RetrievalValue
    from pathorob_checks.metrics.schedules import published_schedule

_HOMES = {
    "Aggregate": "metrics.aggregate",
    "CaseRetrieval": "metrics.retrieval_result",
    "CellValue": "metrics.measurement",
    "ClusteringScore": "metrics.clusters",
    "Computation": "metrics.definition",
    "Curve": "metrics.pictured",
    "Difference": "metrics.differences",
    "Grid": "metrics.pictured",
    "GroupValue": "metrics.measurement",
    "Measurement": "metrics.measurement",
    "Metric": "metrics.definition",
    "MetricError": "errors",
    "NearestPatches": "metrics.pictured",
    "PerformanceDrop": "metrics.drop_result",
    "PublishedScore": "metrics.published",
    "Resampling": "metrics.resampling",
    "RetrievalValue": "metrics.retrieval_result",
    "RobustnessIndex": "metrics.neighborhoods",
    "SlideValue": "metrics.measurement",
    "case_retrieval": "metrics.retrieval",
    "clustering_score": "metrics.clusters",
    "difference": "metrics.differences",
    "general_schedule": "metrics.any_cohort_schedule",
    "interval_of": "metrics.intervals",
    "masson_loftus": "metrics.aggregate",
    "mean_over_cohorts": "metrics.aggregate",
    "measurements_of": "metrics.measurement",
    "metric": "metrics.registry",
    "metrics": "metrics.registry",
    "performance_drop": "metrics.performance",
    "published_schedule": "metrics.schedules",
    "published_scores": "metrics.published",
    "robustness_index": "metrics.neighborhoods",
    "worst_group": "metrics.measurement",
}

__all__ = [
    "Aggregate",
    "CaseRetrieval",
    "CellValue",
    "ClusteringScore",
    "Computation",
    "Curve",
    "Difference",
    "Grid",
    "GroupValue",
    "Measurement",
    "Metric",
    "MetricError",
    "NearestPatches",
    "PerformanceDrop",
    "PublishedScore",
    "Resampling",
    "RetrievalValue",
    "RobustnessIndex",
    "SlideValue",
    "case_retrieval",
    "clustering_score",
    "difference",
    "general_schedule",
    "interval_of",
    "masson_loftus",
    "mean_over_cohorts",
    "measurements_of",
    "metric",
    "metrics",
    "performance_drop",
    "published_schedule",
    "published_scores",
    "robustness_index",
    "worst_group",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"pathorob_checks.{_HOMES[name]}"), name)
