"""Records of checks: complete, unchangeable, the same after a journey as JSON."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_records import WEAKEST, record, unmeasured

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.verdict import Judgement, Verdict
from pathorob_checks.errors import CacheError, MetricError
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.report.record import CheckRecord

finite = st.floats(allow_nan=False, allow_infinity=False)
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    value=finite,
    interval=st.none() | st.tuples(finite, finite),
    text=st.text(),
    protocol=st.dictionaries(st.text(), json_like, max_size=3),
    verdict=st.sampled_from(Verdict),
)
def test_a_record_survives_its_journey_as_json(value, interval, text, protocol, verdict):
    before = dataclasses.replace(
        record(), value=value, interval=interval, reason=text, protocol=protocol, verdict=verdict
    )
    assert CheckRecord.from_json(before.to_json()) == before


def test_a_record_in_json_is_one_line_of_the_fixed_keys():
    line = record(interval=(0.3, 0.4), weakest=WEAKEST).to_json()
    content = json.loads(line)
    assert "\n" not in line
    assert set(content) == {
        "id", "fm", "cohort", "metric", "criterion", "value", "interval", "support", "bound", "direction",
        "rule", "verdict", "reason", "rationale", "protocol", "weakest", "slides", "groups", "quantity",
        "group", "confidence", "interval_note", "drift", "required", "registered", "minimum_support",
        "source", "owner", "requirements", "suspects", "baseline", "resampling",
    }  # fmt: skip
    assert content["interval"] == [0.3, 0.4]
    assert content["verdict"] == "fail"
    assert content["weakest"][0]["medical_center"] == "RUMC"


def test_a_record_holds_only_builtin_types_whatever_the_metric_returned():
    made = record(
        value=np.float32(0.25),
        interval=(np.float64(0.2), np.float64(0.3)),
        protocol={"k": np.int64(11), "v": np.array([0.0, 0.5]), "paired": np.bool_(True), "t": (1, 2)},
    )

    def kinds(item):
        if isinstance(item, dict):
            return set().union({dict}, *map(kinds, item.values()))
        if isinstance(item, list):
            return set().union({list}, *map(kinds, item))
        return {type(item)}

    assert kinds(made.to_dict()) <= {dict, list, str, int, float, bool, type(None)}
    assert made.protocol == {"k": 11, "v": [0.0, 0.5], "paired": True, "t": [1, 2]}
    assert type(made.value) is float


def test_a_measurement_without_a_finite_value_becomes_a_record_without_one():
    made = record(value=math.nan, interval=(math.nan, 0.3))
    assert (made.value, made.interval, made.verdict) == (None, None, Verdict.ERROR)
    assert "NaN" not in made.to_json()


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_no_record_claims_a_measured_verdict_without_a_value(verdict):
    with pytest.raises(MetricError, match="without a value"):
        dataclasses.replace(unmeasured(), verdict=verdict)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": math.nan},
        {"bound": math.inf},
        {"bound": None},
        {"bound": "0.5"},
        {"direction": ">"},
        {"verdict": "passed"},
        {"interval": (0.1, math.nan)},
        {"interval": (0.1,)},
        {"interval": (None, 0.2)},
        {"support": True},
        {"protocol": {"k": math.nan}},
        {"protocol": {"k": object()}},
        {"protocol": [1]},
        {"weakest": [1]},
        {"reason": None},
    ],
)
def test_a_record_refuses_what_no_report_can_hold(changes):
    with pytest.raises(MetricError):
        dataclasses.replace(record(), **changes)


def test_a_damaged_record_is_refused_with_a_remedy():
    good = json.loads(record().to_json())
    damaged = [
        "",
        "[]",
        "{",
        json.dumps({**good, "extra": 1}),
        json.dumps({key: item for key, item in good.items() if key != "bound"}),
        json.dumps({**good, "value": "0.3"}),
        json.dumps({**good, "value": math.nan}),
        json.dumps({**good, "verdict": "passed"}),
    ]
    for text in damaged:
        with pytest.raises(CacheError, match="record of a check") as caught:
            CheckRecord.from_json(text)
        assert caught.value.remedy


def test_a_record_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        record().verdict = Verdict.PASS


def test_a_judgement_is_told_in_the_record():
    (criterion,) = load_profile("floor").criteria_for("demo", "robustness_index")
    measurement = Measurement(metric="robustness_index", value=0.6, interval=None, support=None, rows=1,
                              protocol={}, weakest=())  # fmt: skip
    judgement = Judgement(verdict=Verdict.INCONCLUSIVE, reason="the interval holds the bound")
    made = CheckRecord.of_measurement(
        test_id="t", fm="x", criterion=criterion, measurement=measurement, judgement=judgement
    )
    assert (made.id, made.verdict, made.reason) == ("t", Verdict.INCONCLUSIVE, "the interval holds the bound")
