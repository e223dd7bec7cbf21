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
    from pathorob_checks.metrics.center_prediction_result import CenterPrediction, ProbeAccuracy
    from pathorob_checks.metrics.center_probes import center_prediction
    from pathorob_checks.metrics.class_prediction_result import ClassPrediction
    from pathorob_checks.metrics.class_probes import class_prediction
    from pathorob_checks.metrics.clustering_result import ClusteringScore
    from pathorob_checks.metrics.clusters import clustering_score
    from pathorob_checks.metrics.definition import Computation, Metric
    from pathorob_checks.metrics.diagnostic_errors import CellErrors, DiagnosticErrors, ErrorAsymmetry
    from pathorob_checks.metrics.differences import Difference, difference
    from pathorob_checks.metrics.drop_result import PerformanceDrop
    from pathorob_checks.metrics.intervals import interval_of
    from pathorob_checks.metrics.margin_index import MarginAwareIndex, margin_aware_index
    from pathorob_checks.metrics.margins import RobustnessMargin, robustness_margin
    from pathorob_checks.metrics.measurement import (
        CellValue,
        GroupValue,
        Measurement,
        SlideValue,
        measurements_of,
        worst_group,
    )
    from pathorob_checks.metrics.neighbor_search import NeighborSearch, searched_patches
    from pathorob_checks.metrics.neighborhoods import RobustnessIndex, robustness_index
    from pathorob_checks.metrics.performance import performance_drop
    from pathorob_checks.metrics.pictured import Curve, Grid, NearestPatches
    from pathorob_checks.metrics.power import Planned, planned, slides_needed
    from pathorob_checks.metrics.predictions_of_slides import slide_prediction
    from pathorob_checks.metrics.published import PublishedScore, published_scores
    from pathorob_checks.metrics.registry import metric, metrics
    from pathorob_checks.metrics.resampling import Candidate, FixedNeighbors, Resampling
    from pathorob_checks.metrics.retrieval import case_retrieval
    from pathorob_checks.metrics.retrieval_result import CaseRetrieval, RetrievalValue
    from pathorob_checks.metrics.schedules import published_schedule
    from pathorob_checks.metrics.slide_prediction_result import DomainPrediction, SlidePrediction

_HOMES = {
    "Aggregate": "metrics.aggregate",
    "Candidate": "metrics.resampling",
    "CellErrors": "metrics.diagnostic_errors",
    "CaseRetrieval": "metrics.retrieval_result",
    "CellValue": "metrics.measurement",
    "CenterPrediction": "metrics.center_prediction_result",
    "ClassPrediction": "metrics.class_prediction_result",
    "ClusteringScore": "metrics.clustering_result",
    "Computation": "metrics.definition",
    "Curve": "metrics.pictured",
    "DiagnosticErrors": "metrics.diagnostic_errors",
    "Difference": "metrics.differences",
    "ErrorAsymmetry": "metrics.diagnostic_errors",
    "DomainPrediction": "metrics.slide_prediction_result",
    "FixedNeighbors": "metrics.resampling",
    "Grid": "metrics.pictured",
    "GroupValue": "metrics.measurement",
    "MarginAwareIndex": "metrics.margin_index",
    "Measurement": "metrics.measurement",
    "Metric": "metrics.definition",
    "MetricError": "errors",
    "NearestPatches": "metrics.pictured",
    "NeighborSearch": "metrics.neighbor_search",
    "PerformanceDrop": "metrics.drop_result",
    "Planned": "metrics.power",
    "ProbeAccuracy": "metrics.center_prediction_result",
    "PublishedScore": "metrics.published",
    "Resampling": "metrics.resampling",
    "RetrievalValue": "metrics.retrieval_result",
    "RobustnessIndex": "metrics.neighborhoods",
    "SlidePrediction": "metrics.slide_prediction_result",
    "RobustnessMargin": "metrics.margins",
    "SlideValue": "metrics.measurement",
    "center_prediction": "metrics.center_probes",
    "case_retrieval": "metrics.retrieval",
    "class_prediction": "metrics.class_probes",
    "clustering_score": "metrics.clusters",
    "difference": "metrics.differences",
    "general_schedule": "metrics.any_cohort_schedule",
    "interval_of": "metrics.intervals",
    "margin_aware_index": "metrics.margin_index",
    "masson_loftus": "metrics.aggregate",
    "mean_over_cohorts": "metrics.aggregate",
    "measurements_of": "metrics.measurement",
    "metric": "metrics.registry",
    "metrics": "metrics.registry",
    "performance_drop": "metrics.performance",
    "planned": "metrics.power",
    "published_schedule": "metrics.schedules",
    "published_scores": "metrics.published",
    "robustness_index": "metrics.neighborhoods",
    "slides_needed": "metrics.power",
    "slide_prediction": "metrics.predictions_of_slides",
    "robustness_margin": "metrics.margins",
    "searched_patches": "metrics.neighbor_search",
    "worst_group": "metrics.measurement",
}

__all__ = [
    "Aggregate",
    "Candidate",
    "CaseRetrieval",
    "CellErrors",
    "CellValue",
    "CenterPrediction",
    "ClassPrediction",
    "ClusteringScore",
    "Computation",
    "Curve",
    "DiagnosticErrors",
    "Difference",
    "DomainPrediction",
    "ErrorAsymmetry",
    "FixedNeighbors",
    "Grid",
    "GroupValue",
    "MarginAwareIndex",
    "Measurement",
    "Metric",
    "MetricError",
    "NearestPatches",
    "NeighborSearch",
    "PerformanceDrop",
    "Planned",
    "ProbeAccuracy",
    "PublishedScore",
    "Resampling",
    "RetrievalValue",
    "RobustnessIndex",
    "RobustnessMargin",
    "SlidePrediction",
    "SlideValue",
    "case_retrieval",
    "center_prediction",
    "class_prediction",
    "clustering_score",
    "difference",
    "general_schedule",
    "interval_of",
    "margin_aware_index",
    "masson_loftus",
    "mean_over_cohorts",
    "measurements_of",
    "metric",
    "metrics",
    "performance_drop",
    "planned",
    "published_schedule",
    "published_scores",
    "robustness_index",
    "robustness_margin",
    "searched_patches",
    "slide_prediction",
    "slides_needed",
    "worst_group",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"pathorob_checks.{_HOMES[name]}"), name)
