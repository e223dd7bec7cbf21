"""Checks as a document: complete, unchangeable, the same after a journey as JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_checks import CELLS, criterion_of, made, unmeasured
from pydantic import ValidationError

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import MetricError
from pathorob_checks.evaluation.judging import judged
from pathorob_checks.evaluation.measuring import Measured
from pathorob_checks.metrics.measurement import CellValue, Measurement
from pathorob_checks.results.check import Check

finite = st.floats(allow_nan=False, allow_infinity=False)
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    value=finite,
    interval=st.none() | st.tuples(finite, finite),
    text=st.text(st.characters(exclude_categories=["Cs"])),
    protocol=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), finite, max_size=3),
    verdict=st.sampled_from(Verdict),
)
def test_a_check_survives_its_journey_as_json(value, interval, text, protocol, verdict):
    before = made().model_copy(
        update={
            "value": value,
            "interval": interval,
            "reason": text,
            "protocol": protocol,
            "verdict": verdict,
        }
    )
    assert Check.model_validate_json(before.model_dump_json()) == before


@given(protocol=st.dictionaries(st.text(), json_like, max_size=3))
def test_a_protocol_of_any_json_is_kept_with_sorted_keys(protocol):
    check = made(protocol=protocol)
    assert check.protocol == protocol
    assert list(check.protocol) == sorted(protocol)


def test_a_check_in_json_is_one_line_of_the_documented_keys():
    line = made(interval=(0.3, 0.4), cells=CELLS).model_dump_json()
    content = json.loads(line)
    assert "\n" not in line
    assert set(content) == {
        "id", "fm", "method", "cohort", "metric", "criterion", "quantity", "group", "value", "interval",
        "support", "confidence", "interval_note", "drift", "p_value", "bound", "direction", "rule", "verdict",
        "reason",
        "required", "registered", "minimum_support", "rationale", "source", "owner", "requirements", "label",
        "meaning", "remedies", "suspects", "baseline", "protocol", "cells", "slides", "groups", "resampling",
        "curves", "grids",
    }  # fmt: skip
    assert content["interval"] == [0.3, 0.4]
    assert content["verdict"] == "fail"
    assert content["method"] == "none"
    assert content["cells"][0]["medical_center"] == "RUMC"


def test_a_check_holds_only_builtin_types_whatever_the_metric_returned():
    check = made(
        value=np.float32(0.25),
        interval=(np.float64(0.2), np.float64(0.3)),
        protocol={"k": np.int64(11), "v": np.array([0.0, 0.5]), "paired": np.bool_(True), "t": (1, 2)},
    )
    assert check.protocol == {"k": 11, "v": [0.0, 0.5], "paired": True, "t": [1, 2]}
    assert type(check.value) is float
    assert json.loads(check.model_dump_json())["protocol"]["v"] == [0.0, 0.5]


def test_a_measurement_without_a_finite_value_becomes_a_check_without_one():
    check = made(value=math.nan, interval=(math.nan, 0.3), protocol={"k": math.nan})
    assert (check.value, check.interval, check.verdict) == (None, None, Verdict.ERROR)
    assert check.protocol == {"k": None}
    assert "NaN" not in check.model_dump_json()


def test_cells_without_a_finite_value_are_left_out():
    cell = CellValue(medical_center="A", biological_class="x", value=math.nan, meaning="")
    assert made(cells=(cell, *CELLS)).cells == CELLS


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_no_check_claims_a_measured_verdict_without_a_value(verdict):
    with pytest.raises(ValidationError, match="and no value"):
        Check.model_validate({**unmeasured().model_dump(), "verdict": verdict})


@pytest.mark.parametrize(
    "changes",
    [
        {"value": math.nan},
        {"bound": math.inf},
        {"bound": None},
        {"bound": "half"},
        {"direction": ">"},
        {"verdict": "passed"},
        {"interval": (0.1, math.nan)},
        {"interval": (0.1,)},
        {"interval": (None, 0.2)},
        {"protocol": {"k": object()}},
        {"protocol": [1]},
        {"cells": [1]},
        {"reason": None},
        {"extra": 1},
    ],
)
def test_a_check_refuses_what_no_report_can_hold(changes):
    with pytest.raises((ValidationError, AttributeError)):
        Check.model_validate({**made().model_dump(), **changes})


def test_a_metric_that_returns_what_no_file_can_hold_is_an_error_that_names_it():
    measurement = Measurement(metric="robustness_index", value=0.5, protocol={"model": "x" * 3, 1: {2: {3}}},
                              interval_note=None)  # fmt: skip
    with pytest.raises(MetricError, match=r"robustness_index was measured as something .*interval_note"):
        judged("t", "fm", "none", criterion_of("robustness_index"), Measured(measurement=measurement))


def test_a_check_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        made().verdict = Verdict.PASS
