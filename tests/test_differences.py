"""Differences of two FMs on the same slides, and means over cohorts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_slides import Design
from scipy.stats import t as student_t

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import (
    clustering_score,
    difference,
    masson_loftus,
    mean_over_cohorts,
    robustness_index,
)
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.resampling import Resampling

DESIGN = Design(slides=5, patches=6, biology=1.0, center=1.0, slide=0.8)
PROTOCOL = {"schedule": "general", "repetitions": 6}


def index(seed: int = 0, *, other_fm: float = 0.0, k: int = 5, design: Design = DESIGN) -> Measurement:
    table = design.table()
    return robustness_index(design.embeddings(table, seed, other_fm=other_fm), table, k=k).measurement()


def resampling(measurement: Measurement) -> Resampling:
    assert measurement.resampling is not None
    return measurement.resampling


def width(interval: tuple[float, float] | None) -> float:
    assert interval is not None
    return interval[1] - interval[0]


def drops(values: list[float], slides: tuple[float, ...] = ()) -> Resampling:
    """The drops of some repetitions, and the effects of some slides of one cell."""
    away = (np.array(values) - np.mean(values)) / len(values)
    return Resampling(
        metric="performance_drop_id",
        value=float(np.mean(values)),
        scale="identity",
        drawn="slides and repetitions",
        units=(*(f"slide {n}" for n in range(len(slides))), *(f"repetition {n}" for n in range(len(values)))),
        cells=(("X / tumor",),) * len(slides) + (("repetitions",),) * len(values),
        effects=(*slides, *away.tolist()),
        protocol=PROTOCOL,
    )


def test_an_fm_does_not_differ_from_itself() -> None:
    result = difference(index(), index())
    assert (result.value, result.interval) == (0, (0, 0))


def test_a_paired_difference_is_narrower_than_that_of_unrelated_slides() -> None:
    base, new = index(), index(other_fm=0.3)
    result = difference(new, base)
    assert result.value == new.value - base.value != 0
    assert result.interval is not None
    assert result.interval[0] < result.value < result.interval[1]
    assert width(result.interval) < 0.7 * np.hypot(width(new.interval), width(base.interval))
    assert "same slides are drawn for both" in result.note


def test_a_difference_grows_with_the_confidence_and_repeats() -> None:
    base, new = index(), index(other_fm=0.3)
    narrow, wide = (difference(new, base, confidence=level) for level in (0.8, 0.99))
    assert width(narrow.interval) < width(wide.interval)
    assert difference(new, base, confidence=0.8) == narrow
    assert difference(new, base, confidence=0.8, seed=1).interval != narrow.interval


def test_files_and_measurements_give_the_same_difference_in_any_order_of_slides() -> None:
    base, new = index(), index(other_fm=0.3)
    read = Resampling.model_validate_json(resampling(base).model_dump_json())
    backwards = {name: getattr(read, name)[::-1] for name in ("units", "cells", "effects")}
    turned = read.model_copy(update=backwards)
    assert difference(new, turned) == difference(new, base)


def test_drops_of_the_same_repetitions_have_the_t_interval_of_their_differences() -> None:
    new, base = [-0.1, -0.2, -0.15, -0.12, -0.3, -0.05], [-0.2, -0.24, -0.26, -0.15, -0.35, -0.2]
    result = difference(drops(new), drops(base))
    apart = np.array(new) - np.array(base)
    half = student_t.ppf(0.975, 5) * apart.std(ddof=1) / 6**0.5
    assert result.value == pytest.approx(apart.mean())
    assert result.interval == pytest.approx((apart.mean() - half, apart.mean() + half))
    assert result.note.startswith("Paired: Student's t")


def test_what_slides_do_to_both_drops_alike_is_no_difference() -> None:
    values, slides = [-0.1, -0.2, -0.15], (0.03, -0.01, -0.02)
    result = difference(drops(values, slides), drops([value - 0.1 for value in values], slides))
    assert result.interval == pytest.approx((0.1, 0.1))
    turned = difference(drops(values, slides), drops(values, slides[::-1]))
    apart = np.array(slides) - np.array(slides[::-1])
    half = student_t.ppf(0.975, 2) * np.sqrt((apart**2).sum() * 3 / 2)
    assert turned.interval == pytest.approx((-half, half))


def test_a_difference_has_the_least_error_of_both() -> None:
    near_ceiling = [drops([0.0, 0.0]).model_copy(update={"least_error": error}) for error in (0.003, 0.004)]
    assert difference(*near_ceiling).interval == pytest.approx((-0.0098, 0.0098), rel=1e-3)


def test_clustering_scores_have_a_paired_difference() -> None:
    design = replace(DESIGN, biology=2.0, center=0.7)
    table = design.table()
    base, new = (
        clustering_score(design.embeddings(table, 0, other_fm=noise), table, trials=2, clusters=[2])
        for noise in (0.0, 0.3)
    )
    result = difference(new.measurement(), base.measurement())
    assert result.value == new.value - base.value
    assert 0 < width(result.interval) < 2


def at_end(value: float) -> Resampling:
    inside = resampling(index())
    none = (0.0,) * len(inside.units)
    at_end = {"value": value, "scale": "identity", "effects": none, "informative_slides": 20}
    return inside.model_copy(update=at_end)


@pytest.mark.parametrize("other", [None, 0.0, 1.0])
def test_a_value_at_the_end_of_its_scale_does_not_make_a_difference_certain(other: float | None) -> None:
    base = resampling(index()) if other is None else at_end(other)
    result = difference(at_end(1.0), base)
    assert result.value == 1 - base.value
    assert result.interval is not None
    low, high = result.interval
    # Twenty slides that agree leave up to 0.025 ** (1 / 20) = 0.83 open, whatever the other value does.
    assert low <= result.value - (1 - 0.025 ** (1 / 20)) + 1e-12
    assert low < result.value <= high
    assert "at the end of its scale" in result.note


def test_a_mean_of_values_at_the_end_of_the_scale_is_not_certain() -> None:
    result = mean_over_cohorts([at_end(1.0), at_end(1.0)])
    assert result.interval is not None
    assert result.interval == pytest.approx((1 - (1 - 0.025 ** (1 / 20)) / 2**0.5, 1))
    assert "at the end of its scale" in result.note


def test_measurements_that_do_not_share_slides_or_protocol_are_refused() -> None:
    base = index()
    with pytest.raises(MetricError, match=r"different protocols \(k 5 and 7\)"):
        difference(index(k=7), base)
    others = resampling(base).model_copy(update={"units": ("another", *resampling(base).units[1:])})
    with pytest.raises(MetricError, match=r"not measured on the same slides \(2 differ, among them '0/0/0'"):
        difference(others, base)
    with pytest.raises(MetricError, match="robustness_index and performance_drop_id have no difference"):
        difference(base, drops([-0.1, -0.2]))
    with pytest.raises(MetricError, match="the base measurement has no slides or repetitions"):
        difference(base, replace(base, resampling=None))


def test_masson_loftus_takes_out_the_levels_of_the_cohorts() -> None:
    mean, interval = masson_loftus([[1, 2, 3], [11, 12, 13]])
    # Around their cohort's mean the six values are -1, 0, 1 twice: variance 4 / 5 with 5 degrees of freedom.
    half = student_t.ppf(0.975, 5) * (4 / 5) ** 0.5 / 6**0.5
    assert mean == 7
    assert interval == pytest.approx((7 - half, 7 + half))


def test_sixty_repetitions_have_59_degrees_of_freedom() -> None:
    values = np.random.default_rng(0).standard_normal((3, 20)) + np.array([[0], [5], [9]])
    _, interval = masson_loftus(list(values))
    level = values - values.mean(axis=1, keepdims=True)
    assert width(interval) / 2 == pytest.approx(2.0009954 * level.std(ddof=1) / 60**0.5, rel=1e-6)


def test_the_variances_of_drops_of_independent_cohorts_are_added() -> None:
    cohorts = [drops([-0.1, -0.2], (0.02, -0.02)), drops([-0.3, -0.3], (0.03, 0.01, -0.04))]
    result = mean_over_cohorts(cohorts)
    # Slides and repetitions of the first cohort, slides of the second, whose repetitions agree.
    parts, freedoms = np.array([0.0008 * 2, 0.00125 * 2, 0.0026 * 3 / 2]), np.array([1, 1, 2])
    freedom = parts.sum() ** 2 / (parts**2 / freedoms).sum()
    half = student_t.ppf(0.975, freedom) * parts.sum() ** 0.5 / 2
    assert result.value == pytest.approx(-0.225)
    assert result.interval == pytest.approx((-0.225 - half, -0.225 + half))
    assert "independent cohorts" in result.note


def test_the_mean_over_cohorts_is_narrower_than_each() -> None:
    cohorts = [index(seed) for seed in range(4)]
    result = mean_over_cohorts(cohorts)
    assert result.value == pytest.approx(np.mean([cohort.value for cohort in cohorts]))
    assert result.interval is not None
    assert result.interval[0] < result.value < result.interval[1]
    # Independent cohorts of about the same spread: half the width.
    expected = np.sqrt(np.mean([width(cohort.interval) ** 2 for cohort in cohorts])) / 2
    assert width(result.interval) == pytest.approx(expected, rel=0.15)
    assert mean_over_cohorts(cohorts) == result


def test_means_of_different_metrics_and_of_nothing_are_refused() -> None:
    mixed: list[Measurement | Resampling] = [index(), drops([-0.1, -0.2])]
    for measurements in ([], mixed, [replace(index(), resampling=None)]):
        with pytest.raises(MetricError, match="no mean over cohorts"):
            mean_over_cohorts(measurements)
    with pytest.raises(MetricError, match="1 values have no spread"):
        masson_loftus([[1.0]])
