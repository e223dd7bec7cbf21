"""How much of what was asked is measured: every way in which a criterion can be missing."""

import pytest
from pathorob_checks.report.coverage import Check, Collected, coverage
from pathorob_checks.report.record import CheckRecord

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.verdict import Judgement, Verdict
from pathorob_checks.metrics.measurement import METRICS, Measurement

CHECKS = [Check(fm="fm", criterion=one) for one in load_profile("floor").criteria_for("demo")]
ALL = {f"test[{check.criterion.metric}]": check.key for check in CHECKS}


def record(number, verdict=Verdict.PASS, test=None, registered=True):
    name, check = list(ALL)[number], CHECKS[number]
    if not verdict.is_measured:
        return CheckRecord.not_measured(
            test_id=name, fm="fm", criterion=check.criterion, reason="x", verdict=verdict
        )
    measurement = Measurement(metric=METRICS[number], value=0.9, interval=None, support=None, rows=1,
                              protocol={}, weakest=())  # fmt: skip
    return CheckRecord.of_measurement(
        test_id=test or name,
        fm="fm",
        criterion=check.criterion,
        measurement=measurement,
        judgement=Judgement(verdict=verdict, reason="x"),
        registered=registered,
    )


EVERY = [record(number) for number in range(4)]


def counted(records=EVERY, selected=ALL, deselected=None, whole=True, **more):
    found = Collected(selected=selected, deselected=deselected or {}) if selected is not None else None
    return coverage(CHECKS, found, records, whole=whole, **more)


def without(*numbers):
    return {name: key for number, (name, key) in enumerate(ALL.items()) if number not in numbers}


def fails(found, *, demanded=False):
    return found.must_fail(require_complete=demanded)


def test_everything_measured_is_complete():
    found = counted()
    assert (found.planned, found.measured, found.complete) == (4, 4, True)
    assert not fails(found, demanded=True)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_what_is_not_met_is_measured_all_the_same(verdict):
    assert counted([*EVERY[:3], record(3, verdict)]).complete


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.SKIPPED])
def test_what_has_no_value_is_missing(verdict):
    found = counted([*EVERY[:3], record(3, verdict)])
    assert (found.measured, found.missing, found.never_ran, found.complete) == (3, 1, 0, False)
    assert fails(found)


def test_what_was_selected_and_never_ran_is_missing():
    found = counted(EVERY[:3])
    assert (found.never_ran, found.missing, found.left_out) == (1, 1, 0)
    assert fails(found)


def test_what_vanished_without_being_deselected_is_missing():
    assert fails(counted(EVERY[:3], without(3)))


@pytest.mark.parametrize(
    "left_out", [{"deselected": {"test[x]": CHECKS[3].key}}, {"whole": False}], ids=["deselected", "node ids"]
)
def test_what_was_left_out_on_purpose_fails_only_where_all_is_demanded(left_out):
    found = counted(EVERY[:3], without(3), **left_out)
    assert (found.planned, found.left_out, found.missing, found.never_ran) == (4, 1, 0, 0)
    assert not found.complete
    assert not fails(found)
    assert fails(found, demanded=True)


@pytest.mark.parametrize("whole", [True, False])
def test_where_every_worker_crashed_nothing_was_left_out(whole):
    found = counted([], None, whole=whole, crashed=True)
    assert (found.planned, found.missing, found.left_out) == (4, 4, 0)
    assert fails(found)


def test_a_crash_is_no_pass_even_where_all_is_measured():
    found = counted(crashed=True)
    assert fails(found)
    assert not found.complete


def test_an_optional_criterion_may_be_missing():
    optional = CHECKS[3].criterion.model_copy(update={"required": False})
    checks = [*CHECKS[:3], Check(fm="fm", criterion=optional)]
    found = coverage(checks, Collected(selected=ALL), EVERY[:3], whole=True)
    assert not fails(found, demanded=True)
    assert not found.complete


def test_tests_of_the_users_own_do_not_ask_for_the_profile():
    own = record(0, test="test_mine[fm-demo]", registered=False)
    found = counted([own], {"test_mine[fm-demo]": None}, whole=False)
    assert (found.planned, found.measured, found.complete) == (1, 1, True)
    assert not fails(found)
    assert fails(counted([own], {"test_mine[fm-demo]": None}, whole=True))


def test_a_users_own_test_never_counts_as_a_criterion_of_the_profile():
    own = record(3, test="test_mine[fm-demo]", registered=False)
    found = counted([*EVERY[:3], own], {**ALL, "test_mine[fm-demo]": None})
    assert (found.planned, found.measured, found.missing) == (5, 4, 1)


def test_a_users_own_test_that_never_checked_anything_is_counted():
    found = counted(EVERY, {**ALL, "test_mine[fm-demo]": None})
    assert (found.planned, found.measured, found.never_ran) == (5, 4, 1)
    assert not found.complete
