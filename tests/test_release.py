"""The verdict on a release, and the p-values that it rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_checks import made
from planted_slides import measured
from scipy.stats import norm

from pathorob_checks.criteria.release import Judged, release_verdict
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.p_values import p_value
from pathorob_checks.results.check import IntegrityCheck
from pathorob_checks.results.environment import Completeness
from pathorob_checks.results.releases import releases_of

ALPHA = 0.025


def one(p: float | None, *, met: bool, name: str = "index") -> Judged:
    certain = p is None or p <= ALPHA
    verdict = (Verdict.PASS if met else Verdict.FAIL) if certain else Verdict.INCONCLUSIVE
    return Judged(name=name, verdict=verdict, is_met=met, p_value=p)


def verdict(judged: list[Judged], family: str = "holm", pass_confidence: float | None = None) -> Verdict:
    return release_verdict(
        judged,
        family=family,
        confidence=0.95,
        pass_confidence=pass_confidence,  # type: ignore[arg-type]
    ).verdict


def test_all_criteria_met_pass_without_a_correction() -> None:
    assert verdict([one(0.024, met=True)] * 12) is Verdict.PASS


def test_one_clear_failure_among_twelve_fails() -> None:
    release = [one(0.001, met=True)] * 11 + [one(0.002, met=False, name="drop")]
    assert verdict(release) is Verdict.FAIL
    (decisive,) = release_verdict(release, family="holm", confidence=0.95).decisive
    assert decisive.name == "drop"


def test_a_failure_that_chance_explains_among_twelve_is_inconclusive() -> None:
    release = [one(0.001, met=True)] * 11 + [one(0.01, met=False)]
    assert verdict(release) is Verdict.INCONCLUSIVE
    assert verdict(release, family="none") is Verdict.FAIL
    assert verdict(release[-1:]) is Verdict.FAIL


def test_holm_steps_down() -> None:
    # Thresholds of three: 0.0083, 0.0125, 0.025.
    judged = [
        one(0.024, met=False, name="c"),
        one(0.008, met=False, name="a"),
        one(0.012, met=False, name="b"),
    ]
    result = release_verdict(judged, family="holm", confidence=0.95)
    assert [each.name for each in result.decisive] == ["a", "b", "c"]
    stopped = release_verdict([judged[0], judged[2], one(0.02, met=False)], family="holm", confidence=0.95)
    assert stopped.verdict is Verdict.INCONCLUSIVE


def test_a_release_can_pass_with_the_confidence_of_non_inferiority() -> None:
    release = [one(0.001, met=True), one(0.04, met=True)]
    assert verdict(release) is Verdict.INCONCLUSIVE
    assert verdict(release, pass_confidence=0.95) is Verdict.PASS
    assert verdict([*release, one(0.04, met=False)], pass_confidence=0.95) is Verdict.INCONCLUSIVE


def test_values_without_an_interval_decide_by_themselves() -> None:
    assert verdict([one(None, met=True), one(0.001, met=True)], pass_confidence=0.95) is Verdict.PASS
    assert verdict([one(None, met=False), one(0.001, met=True)]) is Verdict.FAIL


def test_nothing_unmeasured_passes() -> None:
    unmeasured = Judged(name="index", verdict=Verdict.ERROR, is_met=False, p_value=None)
    assert verdict([one(0.001, met=True), unmeasured]) is Verdict.ERROR
    assert verdict([]) is Verdict.ERROR


@pytest.mark.parametrize("place", [-0.8, -0.2, 0.2, 0.8, 1.2, 2.0])
def test_a_p_value_says_what_the_interval_says(place: float) -> None:
    _, _, index = measured(0)
    measurement, resampling = index.measurement(), index.resampling
    assert measurement.interval is not None
    assert resampling is not None
    end = measurement.interval[1 if place > 0 else 0]
    bound = measurement.value + abs(place) * (end - measurement.value)
    p = p_value(measurement, bound, lambda confidence: interval_of(resampling, confidence=confidence))
    assert p is not None
    assert (p <= ALPHA) == (abs(place) > 1)
    level = interval_of(resampling, confidence=1 - 2 * p)
    assert level is not None
    if p > 5e-4:
        assert level[1 if place > 0 else 0] == pytest.approx(bound, abs=1e-3)


def test_p_values_without_a_rule_for_intervals_are_those_of_a_normal_distribution() -> None:
    measurement = Measurement(
        metric="robustness_index", value=0.6, interval=(0.5, 0.8), confidence=0.95, support=None, rows=1
    )
    z = norm.ppf(0.975)
    assert p_value(measurement, 0.5) == pytest.approx(0.025)
    assert p_value(measurement, 0.4) == pytest.approx(norm.sf(2 * z))
    assert p_value(measurement, 0.7) == pytest.approx(norm.sf(z / 2))
    assert p_value(measurement, 0.6) == 0.5
    assert p_value(measurement, 0.5, drift=0.05) == pytest.approx(norm.sf(z / 2))
    assert p_value(measurement, 0.5, drift=0.2) == 0.5


@pytest.mark.slow
def test_the_chance_of_a_false_failure_of_twelve_criteria_at_their_bounds() -> None:
    """One in four without a correction; with Holm's as often as for a single criterion."""
    generator = np.random.default_rng(0)
    failed = {"none": 0, "holm": 0}
    for z in generator.standard_normal((4000, 12)):
        judged = [one(float(norm.sf(abs(each))), met=each >= 0) for each in z]
        for family in failed:
            failed[family] += verdict(judged, family) is Verdict.FAIL
    assert failed["none"] / 4000 == pytest.approx(0.26, abs=0.02)
    assert failed["holm"] / 4000 == pytest.approx(0.025, abs=0.008)


UNSOUND = {"fm": "ours", "cohort": "demo", "id": "t", "name": "not collapsed", "verdict": "fail"}
RESERVATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a problem": ({"problems": ("the run was interrupted.",)}, "the run was interrupted"),
    "a lost worker": (
        {"completeness": Completeness(planned=1, measured=1, crashed=True)},
        "a worker crashed",
    ),
    "a failed test": ({"other_failures": ("test_mine.py::test_mine",)}, "1 other test of the run failed"),
    "integrity checks that never ran": (
        {"completeness": Completeness(planned=1, measured=1, integrity_planned=3, integrity_recorded=1)},
        "2 integrity checks of the run never ran",
    ),
    "embeddings that are not sound": (
        {"integrity": (IntegrityCheck(**UNSOUND),)},
        "1 integrity check of its embeddings was not passed",
    ),
}


@pytest.mark.parametrize("why", RESERVATIONS)
def test_a_release_does_not_pass_where_a_failure_may_be_hidden(why: str) -> None:
    of_run, clause = RESERVATIONS[why]
    planned = {("ours", NO_METHOD): 1}
    [release] = releases_of([made(fm="ours", value=0.9)], planned, {}, **of_run)
    assert (release.verdict, release.decisive) == (Verdict.ERROR, ())
    assert release.sentence == f"no verdict, because {clause}; 1 of 1 criterion met"
    failing = made(fm="ours", value=0.1, interval=(0.05, 0.2))
    [failed] = releases_of([failing], planned, {}, **of_run)
    assert failed.verdict is Verdict.FAIL


def test_the_embeddings_of_one_fm_are_no_reservation_against_another() -> None:
    unsound = IntegrityCheck(**{**UNSOUND, "fm": "theirs"})
    [release] = releases_of([made(fm="ours", value=0.9)], {("ours", NO_METHOD): 1}, {}, integrity=(unsound,))
    assert release.verdict is Verdict.PASS
