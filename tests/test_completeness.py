"""How much of the plan is measured: every way in which a check can be missing."""

import pytest
from made_checks import made, unmeasured

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evaluation.completeness import Collected, completeness
from pathorob_checks.evaluation.terms import PlannedCheck
from pathorob_checks.results.document import IntegrityCheck
from pathorob_checks.results.outcome import must_fail

PLANNED = [
    PlannedCheck(fm="fm", method="none", criterion=one)
    for one in load_profile("floor").criteria_for(["demo"])
]
ALL = {f"test[{planned.criterion.metric}]": planned.key for planned in PLANNED}


def check(number, verdict=Verdict.PASS, test=None, registered=True):
    name, metric = list(ALL)[number], PLANNED[number].criterion.metric
    if not verdict.is_measured:
        return unmeasured(verdict, metric=metric, id=name, fm="fm")
    return made(metric, 0.9, fm="fm", id=test or name, verdict=verdict, registered=registered)


EVERY = [check(number) for number in range(4)]


def counted(checks=EVERY, selected=ALL, deselected=None, whole=True, **more):
    collected = Collected(selected=selected, deselected=deselected or {}) if selected is not None else None
    return completeness(PLANNED, collected, checks, whole=whole, **more)


def without(*numbers):
    return {name: key for number, (name, key) in enumerate(ALL.items()) if number not in numbers}


def fails(counts, *, required=False):
    return must_fail(counts, [], [], require_complete=required)


def test_everything_measured_is_complete():
    counts = counted()
    assert (counts.planned, counts.measured, counts.complete) == (4, 4, True)
    assert not fails(counts, required=True)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_what_is_not_met_is_measured_all_the_same(verdict):
    assert counted([*EVERY[:3], check(3, verdict)]).complete


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.SKIPPED])
def test_what_has_no_value_is_missing(verdict):
    counts = counted([*EVERY[:3], check(3, verdict)])
    assert (counts.measured, counts.missing, counts.never_ran, counts.complete) == (3, 1, 0, False)
    assert fails(counts)


def test_what_was_selected_and_never_ran_is_missing():
    counts = counted(EVERY[:3])
    assert (counts.never_ran, counts.missing, counts.deselected) == (1, 1, 0)
    assert fails(counts)


def test_what_vanished_without_being_deselected_is_missing():
    assert fails(counted(EVERY[:3], without(3)))


@pytest.mark.parametrize(
    "left_out",
    [{"deselected": {"test[x]": PLANNED[3].key}}, {"whole": False}],
    ids=["deselected", "node ids"],
)
def test_what_was_deselected_fails_only_where_all_is_required(left_out):
    counts = counted(EVERY[:3], without(3), **left_out)
    assert (counts.planned, counts.deselected, counts.missing, counts.never_ran) == (4, 1, 0, 0)
    assert not counts.complete
    assert not fails(counts)
    assert fails(counts, required=True)


@pytest.mark.parametrize("whole", [True, False])
def test_where_every_worker_crashed_nothing_was_deselected(whole):
    counts = counted([], None, whole=whole, crashed=True)
    assert (counts.planned, counts.missing, counts.deselected) == (4, 4, 0)
    assert fails(counts)


def test_a_crash_is_no_pass_even_where_all_is_measured():
    counts = counted(crashed=True)
    assert fails(counts)
    assert not counts.complete


def test_an_optional_criterion_may_be_missing():
    optional = PLANNED[3].criterion.model_copy(update={"required": False})
    planned = [*PLANNED[:3], PlannedCheck(fm="fm", method="none", criterion=optional)]
    counts = completeness(planned, Collected(selected=ALL), EVERY[:3], whole=True)
    assert not fails(counts, required=True)
    assert not counts.complete


def test_tests_of_the_users_own_do_not_require_the_profile():
    own = check(0, test="test_mine[fm-demo]", registered=False)
    counts = counted([own], {"test_mine[fm-demo]": None}, whole=False)
    assert (counts.planned, counts.measured, counts.complete) == (1, 1, True)
    assert not fails(counts)
    assert fails(counted([own], {"test_mine[fm-demo]": None}, whole=True))


def test_a_users_own_test_never_counts_as_a_criterion_of_the_profile():
    own = check(3, test="test_mine[fm-demo]", registered=False)
    counts = counted([*EVERY[:3], own], {**ALL, "test_mine[fm-demo]": None})
    assert (counts.planned, counts.measured, counts.missing) == (5, 4, 1)


def test_a_users_own_test_that_never_checked_anything_is_counted():
    counts = counted(EVERY, {**ALL, "test_mine[fm-demo]": None})
    assert (counts.planned, counts.measured, counts.never_ran) == (5, 4, 1)
    assert not counts.complete


def test_a_failed_criterion_and_a_failed_integrity_check_never_end_with_0():
    failed = check(0, Verdict.FAIL)
    counts = counted([failed, *EVERY[1:]])
    assert must_fail(counts, [failed, *EVERY[1:]], [], require_complete=False)
    for verdict in (Verdict.FAIL, Verdict.ERROR):
        integrity = IntegrityCheck(id="t", name="collapsed", fm="fm", cohort="demo", verdict=verdict)
        assert must_fail(counted(), EVERY, [integrity], require_complete=False)
    skipped = IntegrityCheck(id="t", name="collapsed", fm="fm", cohort="demo", verdict=Verdict.SKIPPED)
    assert not must_fail(counted(), EVERY, [skipped], require_complete=False)


def test_another_method_of_the_same_fm_is_another_check():
    other = EVERY[0].model_copy(update={"method": "combat"})
    counts = counted([other, *EVERY[1:]])
    assert (counts.measured, counts.missing) == (3, 1)
