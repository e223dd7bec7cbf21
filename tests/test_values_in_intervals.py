"""No value lies outside of its interval: of any metric, group, difference or mean, at any confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import drop_table, embed
from planted_slides import DESIGN, Design

from pathorob_checks.metrics import (
    Measurement,
    Resampling,
    case_retrieval,
    center_prediction,
    class_prediction,
    clustering_score,
    difference,
    interval_of,
    margin_aware_index,
    mean_over_cohorts,
    metric,
    metrics,
    performance_drop,
    robustness_index,
    robustness_margin,
    slide_prediction,
    worst_group,
)

examples = settings(max_examples=8, deadline=None)
seeds = st.integers(0, 10_000)
confidences = st.sampled_from([0.2, 0.8, 0.95, 0.999])
# From clusters (neighbors) that are all biology to such that are all centers, with ends of the scales.
strengths = st.sampled_from([(9.0, 0.0), (3.0, 0.3), (1.0, 1.0), (2.2, 2.2), (0.3, 3.0), (0.0, 9.0)])
Interval = tuple[float, float]


def assert_inside(value: float, *intervals: Interval | None) -> None:
    for interval in intervals:
        if interval is not None:
            assert interval[0] <= value <= interval[1]


def assert_whole(measurement: Measurement) -> None:
    """The value and its groups lie in their intervals, and the worst group too."""
    assert measurement.interval is not None
    assert_inside(measurement.value, measurement.interval)
    definition = metric(measurement.metric)
    higher = definition.higher_is_better
    assert measurement.groups or not {"worst-center", "worst-class"} & set(definition.quantities)
    for groups in measurement.groups.values():
        for group in groups:
            assert_inside(group.value, group.interval, group.simultaneous)
        worst = worst_group(groups, higher_is_better=higher)
        assert_inside(worst.value, worst.interval)


def assert_together(cohorts: Sequence[Measurement], confidence: float) -> None:
    """Differences of every two, and means of all and of one three times, lie in their intervals."""
    for new in cohorts:
        for old in cohorts:
            change = difference(new, old, confidence=confidence)
            assert_inside(change.value, change.interval)
    for those in (cohorts, [cohorts[0]] * 3):
        mean = mean_over_cohorts(those, confidence=confidence)
        assert_inside(mean.value, mean.interval)


def planted(strength: tuple[float, float], **others: int) -> Design:
    return replace(DESIGN, patches=6, biology=strength[0], center=strength[1], **others)


@examples
@given(seed=seeds, confidence=confidences, strength=strengths, other=strengths)
def test_the_robustness_index(
    seed: int, confidence: float, strength: tuple[float, float], other: tuple[float, float]
) -> None:
    table = DESIGN.table()
    measurements = []
    for number, each in enumerate((strength, other)):
        x = replace(DESIGN, biology=each[0], center=each[1]).embeddings(table, seed + number)
        measurements.append(robustness_index(x, table, k=15, confidence=confidence).measurement())
        assert_whole(measurements[-1])
    assert_together(measurements, confidence)


@examples
@given(seed=seeds, confidence=confidences, strength=strengths, other=strengths)
def test_the_clustering_score(
    seed: int, confidence: float, strength: tuple[float, float], other: tuple[float, float]
) -> None:
    scores = []
    for number, each in enumerate((strength, other)):
        design = planted(each)
        table = design.table()
        x = design.embeddings(table, seed + number)
        scores.append(clustering_score(x, table, trials=2, clusters=[2, 3, 4], confidence=confidence))
    for name in ("clustering_score", "class_ari"):
        measurements = [score.measurements()[name] for score in scores]
        for measured in measurements:
            assert_whole(measured)
        assert_together(measurements, confidence)


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(seed=seeds, confidence=confidences)
def test_the_performance_drops(seed: int, confidence: float) -> None:
    table = drop_table()
    drops = [
        performance_drop(
            embed(table, biology=0.4, center=center, noise=0.25, seed=seed),
            table,
            repetitions=3,
            confidence=confidence,
        ).measurements()
        for center in (0.0, 1.2)
    ]
    for name in drops[0]:
        measurements = [measured[name] for measured in drops]
        for measurement in measurements:
            assert_whole(measurement)
        assert_together(measurements, confidence)


@settings(max_examples=2, deadline=None)
@given(seed=seeds, confidence=confidences)
def test_the_slide_predictions(seed: int, confidence: float) -> None:
    table = drop_table()
    predictions = [
        slide_prediction(
            embed(table, biology=0.2, center=center, seed=seed), table, repetitions=2, confidence=confidence
        ).measurements()
        for center in (0.0, 1.2)
    ]
    for name in predictions[0]:
        measurements = [measured[name] for measured in predictions]
        for measurement in measurements:
            assert_whole(measurement)
        assert_together(measurements, confidence)


@settings(max_examples=4, deadline=None)
@given(seed=seeds, confidence=confidences)
def test_case_retrieval(seed: int, confidence: float) -> None:
    table = drop_table()
    runs = [
        case_retrieval(
            embed(table, biology=0.4, center=center, noise=0.25, seed=seed),
            table,
            repetitions=3,
            confidence=confidence,
        ).measurements()
        for center in (0.0, 1.2)
    ]
    assert len(runs[0]) == 3
    for name in runs[0]:
        measurements = [measured[name] for measured in runs]
        for measurement in measurements:
            assert_whole(measurement)
        assert_together(measurements, confidence)


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(seed=seeds, confidence=confidences, strength=strengths, other=strengths)
def test_the_margins_and_the_predictions_of_centers_and_classes(
    seed: int, confidence: float, strength: tuple[float, float], other: tuple[float, float]
) -> None:
    table = DESIGN.table()
    parts = [
        replace(DESIGN, biology=each[0], center=each[1]).embeddings(table, seed + number)
        for number, each in enumerate((strength, other))
    ]
    results = [
        {
            **robustness_margin(x, table, confidence=confidence).measurements(),
            **margin_aware_index(x, table, k=15, confidence=confidence).measurements(),
            **center_prediction(x, table, confidence=confidence).measurements(),
            **class_prediction(x, table, confidence=confidence).measurements(),
        }
        for x in parts
    ]
    assert len(results[0]) == 8
    for name in results[0]:
        measurements = [measured[name] for measured in results]
        for measurement in measurements:
            assert_whole(measurement)
        assert_together(measurements, confidence)


def test_every_metric_of_the_package_is_tried_here() -> None:
    # The overlap of pretraining data is a fact and has no interval.
    assert set(metrics()) - {"pretraining_overlap"} == {
        "croma_median",
        "croma_f0",
        "croma_ltm10",
        "mari",
        "center_prediction",
        "center_prediction_knn",
        "class_prediction",
        "class_prediction_within",
        "nipd_id",  # with the drops
        "nipd_ood",
        "robustness_index",
        "clustering_score",
        "class_ari",  # with the score
        "performance_drop_id",
        "performance_drop_ood",
        "slide_prediction_id",
        "slide_prediction_ood",
        "diagnostic_errors_id",  # these three with the drops
        "diagnostic_errors_ood",
        "error_asymmetry",
        "retrieval_accuracy",
        "retrieval_drop",
        "retrieval_same_center",
    }


# Values at and beyond the ends of a scale, with effects too small to reach back.
ENDS = [
    ("robustness_index", "identity", 1.0, 16),
    ("robustness_index", "identity", 0.0, 3),
    ("robustness_index", "logit", 1 - 2**-53, None),
    ("clustering_score", "bounded", 1.0026, None),
    ("clustering_score", "bounded", 1.0026, 16),
    ("clustering_score", "bounded", -1.01, 16),
    ("clustering_score", "bounded", 0.1, None),
]


@pytest.mark.parametrize("jumps", [None, (-0.5, 0.7)])
@pytest.mark.parametrize(("name", "scale", "value", "slides"), ENDS)
@pytest.mark.parametrize("size", [0.0, 1e-9, 0.3])
def test_values_at_and_beyond_the_ends_of_a_scale(
    name: str, scale: str, value: float, slides: int | None, size: float, jumps: Interval | None
) -> None:
    side = Resampling.model_validate(
        {
            "metric": name,
            "value": value,
            "scale": scale,
            "drawn": "slides",
            "units": ("a", "b", "c", "d"),
            "cells": (("X / tumor",),) * 2 + (("Y / tumor",),) * 2,
            "effects": (size, -size, 0.0, size / 2),
            "protocol": {},
            "informative_slides": slides,
            **({} if jumps is None else {"jumps_between": jumps}),
        }
    )
    for confidence in (0.2, 0.95, 0.999):
        assert_inside(value, interval_of(side, confidence=confidence))
        for count in range(1, 12):  # sums of as many equal values are rounded, each in another way
            mean = mean_over_cohorts([side] * count, confidence=confidence)
            assert_inside(mean.value, mean.interval)
        change = difference(side, side, confidence=confidence)
        assert_inside(change.value, change.interval)
