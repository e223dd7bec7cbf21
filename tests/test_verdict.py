"""The verdict on a measurement."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathorob_checks.criteria.verdict import DIRECTIONS, RULES, Verdict, judge, written
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


INSIDE, MET, MISSED = (0.45, 0.6), (0.5, 0.7), (0.3, 0.49)


@pytest.mark.parametrize(
    ("rule", "value", "interval", "verdict"),
    [
        ("point", 0.55, INSIDE, "pass"),
        ("point", 0.49, INSIDE, "fail"),
        ("confident", 0.55, INSIDE, "fail"),
        ("confident", 0.6, MET, "pass"),
        ("confident", 0.4, MISSED, "fail"),
        ("three-way", 0.55, INSIDE, "inconclusive"),
        ("three-way", 0.49, INSIDE, "inconclusive"),
        ("three-way", 0.6, MET, "pass"),
        ("three-way", 0.4, MISSED, "fail"),
    ],
)
def test_each_rule_reads_the_interval_in_its_own_way(rule, value, interval, verdict):
    assert judge(0.5, ">=", measured(value, interval), rule).verdict == verdict
    mirrored = (1 - interval[1], 1 - interval[0])
    assert judge(0.5, "<=", measured(1 - value, mirrored), rule).verdict == verdict


intervals = st.tuples(finite, finite).map(sorted).map(tuple)
rules = st.sampled_from(list(RULES))


@given(value=finite, interval=intervals, bound=finite, direction=directions, rule=rules)
def test_no_rule_passes_a_value_that_misses_the_bound(value, interval, bound, direction, rule):
    if judge(bound, direction, measured(value, interval), rule).verdict is Verdict.PASS:
        assert judge(bound, direction, measured(value), "point").verdict is Verdict.PASS


@given(value=finite, interval=intervals, bound=finite, drift=st.floats(0, 1), rule=rules)
def test_drift_never_turns_anything_into_a_pass(value, interval, bound, drift, rule):
    before = judge(bound, ">=", measured(value, interval), rule).verdict
    after = judge(bound, ">=", measured(value, interval), rule, drift=drift).verdict
    assert after is before or (after is not Verdict.PASS and rule != "point")


def test_an_interval_that_misses_its_own_value_reaches_to_it():
    for value, interval in ((0.49, (0.51, 0.6)), (0.51, (0.4, 0.49))):
        assert judge(0.5, ">=", measured(value, interval)).verdict is Verdict.INCONCLUSIVE


def test_drift_widens_the_interval_on_both_sides_and_is_named():
    for value, interval in ((0.6, (0.55, 0.65)), (0.4, (0.35, 0.45))):
        judgement = judge(0.5, ">=", measured(value, interval), drift=0.06)
        assert judgement.verdict is Verdict.INCONCLUSIVE
        assert "(widened by the precision drift of 0.06)" in judgement.reason
    assert judge(0.5, ">=", measured(0.52), drift=0.03).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("rule", ["confident", "three-way"])
def test_a_value_without_interval_is_judged_alone_and_the_reason_says_so(rule):
    for value in (0.6, 0.4):
        judgement = judge(0.5, ">=", measured(value), rule)
        assert judgement.verdict is judge(0.5, ">=", measured(value), "point").verdict
        assert judgement.reason.endswith("; only the value was judged, because it has no interval")


@pytest.mark.parametrize("support", [None, 0.09])
def test_too_little_support_is_an_error_whatever_the_value(support):
    poor = dataclasses.replace(measured(0.9, (0.8, 1.0)), support=support)
    judgement = judge(0.5, ">=", poor, minimum_support=0.1)
    assert judgement.verdict is Verdict.ERROR
    assert "the criterion requires 10 %" in judgement.reason
    enough = dataclasses.replace(poor, support=0.1)
    assert judge(0.5, ">=", enough, minimum_support=0.1).verdict is Verdict.PASS


@pytest.mark.parametrize("question", [{"drift": -0.1}, {"drift": math.nan}, {"minimum_support": 1.1}])
def test_a_drift_or_support_that_is_no_such_number_is_refused(question):
    with pytest.raises(CriteriaError):
        judge(0.5, ">=", measured(0.7), **question)


def test_a_reason_tells_value_bound_and_what_the_interval_said():
    assert judge(0.5, ">=", measured(0.31), "point").reason == "0.310 is below 0.500"
    assert judge(0.5, "<=", measured(0.61), "point").reason == "0.610 is above 0.500"
    assert judge(0.5, ">=", measured(0.61), "point").reason == "0.610 meets >= 0.500"
    assert judge(0.5, ">=", measured(0.61, (0.55, 0.65))).reason == (
        "0.610 meets >= 0.500, and so does the whole 95 % interval [0.550, 0.650]"
    )
    assert judge(0.5, ">=", measured(0.55, INSIDE)).reason == (
        "the value is 0.550, and its 95 % interval [0.450, 0.600] contains the bound 0.500"
    )


@pytest.mark.parametrize(
    ("bound", "direction", "rule", "message"),
    [
        (0.5, ">", "point", "direction '>' is unknown"),
        (0.5, ">=", "interval", "rule 'interval' is unknown"),
        (math.nan, ">=", "point", "bound nan is not a finite number"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_even_for_a_value_that_is_not_finite(
    bound, direction, rule, message
):
    for value in (0.7, math.nan):
        with pytest.raises(CriteriaError, match=message):
            judge(bound, direction, measured(value), rule)


def test_only_pass_fail_and_inconclusive_are_measured():
    assert {verdict.value for verdict in Verdict if verdict.is_measured} == {"pass", "fail", "inconclusive"}
