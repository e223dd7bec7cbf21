"""The verdict on a measurement."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathorob_checks.criteria.verdict import DIRECTIONS, Verdict, judge, written
from pathorob_checks.errors import CriteriaError
from pathorob_checks.metrics.measurement import Measurement

finite = st.floats(min_value=-2, max_value=2, allow_nan=False)
not_finite = st.sampled_from([math.nan, math.inf, -math.inf])
directions = st.sampled_from(DIRECTIONS)


def measured(value, interval=None):
    return Measurement(
        metric="robustness_index",
        value=value,
        interval=interval,
        support=None,
        rows=1,
        protocol={},
        weakest=(),
    )


@given(value=finite, bound=finite)
def test_a_value_passes_at_least_exactly_when_it_is_not_below_the_bound(value, bound):
    assert (judge(bound, ">=", measured(value)).verdict is Verdict.PASS) == (value >= bound)


@given(value=finite, bound=finite)
def test_a_value_passes_at_most_exactly_when_it_is_not_above_the_bound(value, bound):
    assert (judge(bound, "<=", measured(value)).verdict is Verdict.PASS) == (value <= bound)


@given(value=finite, bound=finite, direction=directions)
def test_a_finite_value_either_passes_or_fails(value, bound, direction):
    assert judge(bound, direction, measured(value)).verdict in (Verdict.PASS, Verdict.FAIL)


@given(bound=finite, direction=directions)
def test_the_bound_itself_is_good(bound, direction):
    assert judge(bound, direction, measured(bound)).verdict is Verdict.PASS


@given(value=not_finite, bound=finite, direction=directions)
def test_a_value_that_is_not_finite_is_an_error_and_never_a_pass(value, bound, direction):
    assert judge(bound, direction, measured(value)).verdict is Verdict.ERROR


@given(value=finite, better=st.floats(min_value=0, max_value=1), bound=finite)
def test_a_better_value_never_turns_a_pass_into_a_fail(value, better, bound):
    if judge(bound, ">=", measured(value)).verdict is Verdict.PASS:
        assert judge(bound, ">=", measured(value + better)).verdict is Verdict.PASS


@given(value=finite, bound=finite, direction=directions)
def test_the_printed_numbers_show_the_same_verdict_as_the_exact_ones(value, bound, direction):
    value_text, bound_text = written(value, bound, direction)
    shown = judge(float(bound_text), direction, measured(float(value_text))).verdict
    assert shown is judge(bound, direction, measured(value)).verdict


def test_three_decimals_are_enough_where_they_show_the_verdict():
    assert written(0.31, 0.5) == ("0.310", "0.500")
    assert written(0.49996, 0.5) == ("0.49996", "0.50000")


def test_the_point_rule_does_not_look_at_the_interval():
    assert judge(0.5, ">=", measured(0.6, (0.1, 0.9))).verdict is Verdict.PASS
    assert judge(0.5, ">=", measured(0.4, (0.1, 0.9))).verdict is Verdict.FAIL


def test_a_reason_tells_value_and_bound():
    assert judge(0.5, ">=", measured(0.31)).reason == "0.310 is below 0.500"
    assert judge(0.5, "<=", measured(0.61)).reason == "0.610 is above 0.500"
    assert judge(0.5, ">=", measured(0.61)).reason == "0.610 meets >= 0.500"


@pytest.mark.parametrize(
    ("bound", "direction", "rule", "said"),
    [
        (0.5, ">", "point", "direction '>' is unknown"),
        (0.5, ">=", "interval", "rule 'interval' is unknown"),
        (math.nan, ">=", "point", "bound nan is not a finite number"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_even_for_a_value_that_is_not_finite(
    bound, direction, rule, said
):
    for value in (0.7, math.nan):
        with pytest.raises(CriteriaError, match=said):
            judge(bound, direction, measured(value), rule)


def test_only_pass_fail_and_inconclusive_are_measured():
    assert {verdict.value for verdict in Verdict if verdict.is_measured} == {"pass", "fail", "inconclusive"}
