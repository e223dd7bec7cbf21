"""The trend of an FM family: which FMs are one, and which values fell by more than chance explains."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from made_checks import made
from made_results import drawn, results_of, without_slides

from pathorob_checks.errors import HistoryError
from pathorob_checks.history.families import family_of, pattern_of
from pathorob_checks.history.store import History
from pathorob_checks.history.trend import Change, Trend, compared, trends_of
from pathorob_checks.metrics.differences import difference
from pathorob_checks.results.check import Check, IntegrityCheck

FAMILIES = {
    "our-fm": "our-fm",
    "our-fm-v1": "our-fm",
    "our-fm_v2.1": "our-fm",
    "our-fm-v2-rc1": "our-fm",
    "our-fm-1.3.0": "our-fm",
    "our-fm@main": "our-fm",
    f"our-fm-v1@{'a' * 40}": "our-fm",
    "our-fm-2026-05-04": "our-fm",
    "our-fm-20260504": "our-fm",
    "our-fm-v2-step-5000": "our-fm",
    "our-fm-epoch12": "our-fm",
    "our-fm-ckpt_100k": "our-fm",
    "ours/our-fm-v1": "ours/our-fm",
    "h-optimus-0": "h-optimus-0",
    "h-optimus-1": "h-optimus-1",
    "virchow2": "virchow2",
    "uni2-h": "uni2-h",
    "vit-base-224": "vit-base-224",
    "v2": "v2",
    "-v2": "-v2",
    "@main": "@main",
}


@pytest.mark.parametrize("fm", FAMILIES)
def test_a_family_is_the_name_without_version_date_and_step(fm: str) -> None:
    assert family_of(fm) == FAMILIES[fm]


def test_a_pattern_names_the_family() -> None:
    assert family_of("h-optimus-0", pattern_of("^h-optimus")) == "h-optimus"
    assert family_of("run7-large", pattern_of(r"^run\d+-(.*)")) == "large"
    assert family_of("virchow2", pattern_of("^h-optimus")) == "virchow2"
    assert family_of("virchow2", pattern_of("x*")) == "virchow2"  # what matches nothing is no name
    with pytest.raises(HistoryError, match="is no regular expression"):
        pattern_of("(")


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.sqlite")


def trends(history: History, *runs: list[Check], **options) -> tuple[Trend, ...]:
    for day, checks in enumerate(runs):
        history.add(results_of(checks, day=day, **options))
    return trends_of(history.checks())


def last_change(history: History, old: Check, new: Check) -> Change:
    [trend] = trends(history, [old], [new])
    change = trend.points[-1].change
    assert change is not None
    return change


def test_the_newest_is_last_whatever_was_added_first(history: History) -> None:
    for day, value in ((2, 0.7), (0, 0.5), (1, 0.6)):
        history.add(results_of([drawn(value, fm=f"our-fm-v{day}")], day=day))
    [trend] = trends_of(history.checks())
    assert (trend.family, [point.check.value for point in trend.points]) == ("our-fm", [0.5, 0.6, 0.7])
    assert trend.points[0].change is None
    assert [round(point.change.value, 6) for point in trend.points[1:] if point.change] == [0.1, 0.1]


def test_families_cohorts_metrics_methods_and_criteria_are_trends_of_their_own(history: History) -> None:
    checks = [
        drawn(0.6),
        drawn(0.6, fm="other"),
        drawn(0.6, cohort="elsewhere"),
        drawn(0.6).model_copy(update={"method": "combat"}),
        drawn(0.6).model_copy(update={"criterion": "second", "id": "2"}),
        made("performance_drop_id", fm="our-fm"),
    ]
    assert [len(trend.points) for trend in trends(history, checks, checks)] == [2] * len(checks)


def test_a_change_on_the_same_slides_is_paired(history: History) -> None:
    old, new = drawn(0.7), drawn(0.6)
    change = last_change(history, old, new)
    assert old.resampling is not None
    assert new.resampling is not None
    expected = difference(new.resampling, old.resampling)
    assert (change.value, change.interval, change.basis) == (expected.value, expected.interval, "paired")
    assert change.is_fall


def test_the_paired_p_value_is_that_of_the_interval_that_just_reaches_zero(history: History) -> None:
    old, new = drawn(0.63), drawn(0.5, shift=0.01)
    change = last_change(history, old, new)
    assert change.p_value is not None
    assert old.resampling is not None
    assert new.resampling is not None
    for factor, is_beyond in ((0.98, False), (1.02, True)):
        made_at = difference(new.resampling, old.resampling, confidence=1 - 2 * change.p_value * factor)
        assert made_at.interval is not None
        assert (made_at.interval[1] < 0) == is_beyond


def test_a_change_on_other_slides_is_by_the_standard_errors(history: History) -> None:
    old, new = drawn(0.7), drawn(0.6, prefix="other")
    change = last_change(history, old, new)
    assert (change.basis, change.reason) == ("intervals", "their slides, repetitions or settings differ")
    assert old.interval is not None
    assert new.interval is not None
    above = math.hypot(new.interval[1] - 0.6, 0.7 - old.interval[0])
    below = math.hypot(0.6 - new.interval[0], old.interval[1] - 0.7)
    assert change.interval == pytest.approx((-0.1 - below, -0.1 + above))
    paired = last_change(History(history.path.with_name("paired")), old, drawn(0.6))
    assert paired.p_value is not None
    assert change.p_value is not None
    assert paired.p_value < change.p_value


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_value_at_an_end_of_its_scale_is_not_called_paired(value: float, history: History) -> None:
    at_end = drawn(0.5)
    assert at_end.resampling is not None
    side = at_end.resampling.model_copy(
        update={"value": value, "scale": "bounded", "informative_slides": 20, "effects": (0.0,) * 20}
    )
    end = at_end.model_copy(update={"value": value, "resampling": side, "interval": (value, value)})
    change = last_change(history, end, end.model_copy(update={"fm": "our-fm-v2"}))
    assert (change.basis, change.reason) == ("intervals", "a value is at an end of its scale or unstable")


def test_intervals_of_other_confidence_have_the_same_standard_errors(history: History) -> None:
    def one(value: float, half: float, confidence: float, fm: str) -> Check:
        check = without_slides(drawn(value, fm=fm))
        interval = (value - half, value + half)
        return check.model_copy(update={"interval": interval, "confidence": confidence})

    narrow, wide = 1.959964, 2.575829
    changes = [
        last_change(History(history.path.with_name(f"{number}")), *pair)
        for number, pair in enumerate(
            (
                (one(0.7, 0.05 * narrow, 0.95, "a"), one(0.6, 0.05 * narrow, 0.95, "a-v2")),
                (one(0.7, 0.05 * wide, 0.99, "a"), one(0.6, 0.05 * narrow, 0.95, "a-v2")),
            )
        )
    ]
    assert changes[0].interval == pytest.approx(changes[1].interval, abs=1e-5)
    assert changes[0].p_value == pytest.approx(0.0786, abs=1e-4)  # the normal tail beyond 0.1 / 0.05 / sqrt 2


def test_a_rise_is_no_fall_and_lower_may_be_better(history: History) -> None:
    assert not last_change(history, drawn(0.6), drawn(0.8)).is_fall
    mirrored = {"direction": "<=", "bound": 0.9}
    pair = (drawn(0.6).model_copy(update=mirrored), drawn(0.8).model_copy(update=mirrored))
    assert last_change(History(history.path.with_name("mirrored")), *pair).is_fall


NOT_COMPARED = {
    "k is 21, before 11": {"protocol": {"k": 21}},
    "the bound is on the other side": {"direction": "<="},
    "a value has no interval": {"interval": None, "confidence": None, "resampling": None},
}


@pytest.mark.parametrize("reason", NOT_COMPARED)
def test_what_was_measured_in_another_way_is_not_compared(reason: str, history: History) -> None:
    change = last_change(history, drawn(0.9), drawn(0.2).model_copy(update=NOT_COMPARED[reason]))
    assert (change.basis, change.reason, change.p_value) == ("not compared", reason, None)
    assert not change.is_fall


def test_embeddings_that_are_not_sound_are_no_value_to_compare_with(history: History) -> None:
    broken = IntegrityCheck(id="i", name="finite", fm="our-fm", cohort="demo", verdict="fail")
    history.add(results_of([drawn(0.7)], day=0))
    history.add(results_of([drawn(0.2)], day=1, integrity=(broken,)))
    history.add(results_of([drawn(0.69)], day=2))
    [trend] = trends_of(history.checks())
    changes = [point.change for point in trend.points]
    assert changes[1] is not None
    assert changes[2] is not None
    assert (changes[1].basis, changes[1].reason) == ("not compared", "embeddings are not sound")
    assert changes[2].value == pytest.approx(-0.01)  # to the run before the broken one


def test_holm_corrects_for_all_comparisons_that_are_shown(history: History) -> None:
    criteria = [f"criterion-{number}" for number in range(6)]

    def run(values: list[float]) -> list[Check]:
        return [
            drawn(value).model_copy(update={"criterion": name, "id": name})
            for name, value in zip(criteria, values, strict=True)
        ]

    shown_trends = trends(history, run([0.7] * 6), run([0.60, 0.69, 0.694, 0.7, 0.71, 0.75]))
    changes = sorted(compared(shown_trends), key=lambda change: change.p_value or 0.0)
    raw = [change.p_value or 0.0 for change in changes]
    assert [change.corrected for change in changes] == pytest.approx(
        [max(min(1.0, p * (6 - place)) for place, p in enumerate(raw[: last + 1])) for last in range(6)]
    )
    [alone] = trends_of([check for check in history.checks() if check.criterion == "criterion-1"])
    assert alone.points[-1].change is not None
    one_of_six = next(trend for trend in shown_trends if trend.criterion == "criterion-1").points[-1].change
    assert one_of_six is not None
    assert alone.points[-1].change.corrected == alone.points[-1].change.p_value == one_of_six.p_value
    assert one_of_six.corrected is not None
    assert one_of_six.p_value is not None
    assert one_of_six.corrected > one_of_six.p_value


HISTORIES = 1000  # three standard errors of 5 % are 2 %


@pytest.mark.slow
def test_falls_are_found_by_chance_as_rarely_as_it_says() -> None:
    """Values of one truth: at most one history in twenty has a fall."""
    import numpy as np

    from pathorob_checks.history.kept import KeptCheck, KeptRun

    rng = np.random.default_rng(5)
    run = KeptRun(
        id=1, digest="", created="2026-05-04T12:00:00Z", outcome="pass", summary="", terms="", version=None
    )

    def kept(value: float) -> KeptCheck:
        check = without_slides(drawn(0.5))
        names = set(KeptCheck.model_fields) - {"run", "revision", "metric_version", "packed", "sound"}
        content = {name: getattr(check, name) for name in names}
        content |= {"value": value, "interval": (value - 0.0196, value + 0.0196), "confidence": 0.95}
        return KeptCheck(run=run, revision=None, metric_version=2, packed=None, sound=True, **content)

    with_falls = sum(
        any(trend.falls for trend in trends_of([kept(value) for value in rng.normal(0.6, 0.01, size=8)]))
        for _ in range(HISTORIES)
    )
    assert 0 < with_falls / HISTORIES < 0.075
