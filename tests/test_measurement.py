"""What a metric's result hands to criteria: one measurement, or an error that says what to pass."""

from __future__ import annotations

import pytest
from planted import drop_table, embed

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import Measurement, PerformanceDrop, measurements_of, performance_drop
from pathorob_checks.metrics.measurement import one_measurement


def drop(*, ood: bool = True) -> PerformanceDrop:
    table = drop_table(ood=ood)
    return performance_drop(embed(table, biology=1, center=0.5), table, repetitions=2, device="cpu")


def test_a_result_with_several_values_says_what_to_pass() -> None:
    result = drop()
    with pytest.raises(MetricError) as error:
        one_measurement(result)
    assert str(error.value) == (
        "the result has several values (performance_drop_id, performance_drop_ood); "
        'pass metric="performance_drop_id" or metric="performance_drop_ood" to fm_check(), '
        'or result.measurements()["performance_drop_ood"] elsewhere.'
    )
    chosen = one_measurement(result, metric="performance_drop_ood")
    assert chosen == result.measurements()["performance_drop_ood"]
    assert one_measurement(result.measurements()["performance_drop_ood"]) == chosen


def test_a_value_that_the_cohort_does_not_give_is_named_beside_those_that_it_gives() -> None:
    with pytest.raises(MetricError) as error:
        one_measurement(drop(ood=False), metric="performance_drop_ood")
    assert str(error.value) == (
        "the result has no value of performance_drop_ood; name one of its values (performance_drop_id, "
        "diagnostic_errors_id, error_asymmetry, nipd_id), or measure a cohort on which the metric has a "
        "value."
    )


def test_a_result_with_one_value_needs_no_name() -> None:
    assert one_measurement(drop(ood=False)).metric == "performance_drop_id"
    single = Measurement(metric="robustness_index", value=0.8)
    assert one_measurement(single) is single


@pytest.mark.parametrize("metric", [None, "robustness_index"])
def test_a_result_without_values_is_refused(metric: str | None) -> None:
    class Nothing:
        def measurements(self) -> dict[str, Measurement]:
            return {}

    with pytest.raises(MetricError, match=r"has no value of .+; measure a cohort on which"):
        one_measurement(Nothing(), metric)


def test_what_is_no_result_is_refused() -> None:
    with pytest.raises(MetricError, match="a float is not the result of a metric"):
        measurements_of(0.8)
