"""How much of the plan is recorded: every way in which a check can be missing."""

from dataclasses import replace

import pytest
from made_checks import made, unmeasured

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import CriteriaError
from pathorob_checks.evaluation.completeness import Collected, completeness
from pathorob_checks.evaluation.integrity import INTEGRITY_CHECKS
from pathorob_checks.evaluation.plan import Plan, PlannedCheck, PlannedIntegrity
from pathorob_checks.evaluation.plan import plan_of as plan_of_run
from pathorob_checks.evaluation.subjects import LeftOut, Subject, Subjects
from pathorob_checks.results.check import IntegrityCheck
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.outcome import exit_code, summarize

SUBJECT = Subject("fm", "none", "demo")
CRITERIA = load_profile("floor").criteria_for(["demo"])
CHECKS = [
    PlannedCheck(fm="fm", method="none", criterion=one, id=f"test_{one.metric}[fm-demo]") for one in CRITERIA
]
INTEGRITY = [PlannedIntegrity(subject=SUBJECT, name=name) for name in INTEGRITY_CHECKS]


def plan_of(checks=CHECKS, integrity=INTEGRITY):
    return Plan({check.key: check for check in checks}, {check.id: check for check in integrity})


PLAN = plan_of()
IDS = {name: name for name in PLAN.ids}


def check(number, verdict=Verdict.PASS, test=None, registered=True):
    name, metric = CHECKS[number].id, CHECKS[number].criterion.metric
    if not verdict.is_measured:
        return unmeasured(verdict, metric=metric, id=name, fm="fm")
    return made(metric, 0.9, fm="fm", id=test or name, verdict=verdict, registered=registered)


def sound(name, verdict=Verdict.PASS):
    planned = PlannedIntegrity(subject=SUBJECT, name=name)
    return IntegrityCheck(id=planned.id, name=name, fm="fm", cohort="demo", verdict=verdict)


EVERY = [check(number) for number in range(4)]
SOUND = [sound(name) for name in INTEGRITY_CHECKS]


def counted(checks=EVERY, selected=IDS, deselected=None, *, integrity=SOUND, plan=PLAN, **more):
    how = {name: more.pop(name) for name in ("chosen", "named") if name in more}
    collected = None
    if selected is not None:
        collected = Collected(selected=selected, deselected=deselected or {}, **how)
    return completeness(plan, collected, checks, integrity, **more)


def without(*numbers):
    left_out = {CHECKS[number].id for number in numbers}
    return {name: name for name in IDS if name not in left_out}


def ends(counts, checks=EVERY, integrity=SOUND, *, required=False):
    """The outcome and the exit code."""
    outcome = summarize(checks, counts, integrity=integrity, require_complete=required).outcome
    return outcome, exit_code(outcome, "fail")


def test_everything_recorded_is_complete():
    counts = counted()
    assert (counts.planned, counts.measured, counts.complete) == (4, 4, True)
    assert (counts.integrity_planned, counts.integrity_recorded) == (11, 11)
    assert ends(counts, required=True) == (Outcome.PASS, 0)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_what_is_not_met_is_measured_all_the_same(verdict):
    checks = [*EVERY[:3], check(3, verdict)]
    assert counted(checks).complete
    assert ends(counted(checks), checks)[1] == 1


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.SKIPPED])
def test_what_has_no_value_is_missing(verdict):
    checks = [*EVERY[:3], check(3, verdict)]
    counts = counted(checks)
    assert (counts.measured, counts.missing, counts.never_ran, counts.complete) == (3, 1, 0, False)
    assert ends(counts, checks) == (Outcome.ERROR, 1)


@pytest.mark.parametrize("selected", [IDS, without(3)], ids=["selected", "vanished"])
def test_what_has_no_record_is_missing(selected):
    counts = counted(EVERY[:3], selected)
    assert (counts.never_ran, counts.missing, counts.deselected) == (1, 1, 0)
    assert ends(counts, EVERY[:3]) == (Outcome.ERROR, 1)


GONE = {CHECKS[3].id: CHECKS[3].id}


@pytest.mark.parametrize(
    "how",
    [{"deselected": GONE, "chosen": tuple(GONE)}, {"named": tuple(without(3))}],
    ids=lambda how: [*how][-1],
)
def test_what_the_command_line_leaves_out_is_partial_and_fails_only_where_all_is_required(how):
    counts = counted(EVERY[:3], without(3), **how)
    assert (counts.planned, counts.deselected, counts.missing, counts.never_ran) == (4, 1, 0, 0)
    assert not counts.complete
    assert ends(counts, EVERY[:3]) == (Outcome.PARTIAL, 0)
    assert ends(counts, EVERY[:3], required=True) == (Outcome.ERROR, 1)


def test_what_something_else_deselects_is_missing():
    counts = counted(EVERY[:3], without(3), deselected=GONE)
    assert (counts.deselected, counts.missing) == (0, 1)
    assert ends(counts, EVERY[:3]) == (Outcome.ERROR, 1)


@pytest.mark.parametrize("named", [CHECKS[3].id, CHECKS[3].id.partition("[")[0]])
def test_what_the_command_line_names_and_something_else_drops_is_missing(named):
    counts = counted(EVERY[:3], without(3), deselected=GONE, named=(named,))
    assert counts.missing == 1
    assert ends(counts, EVERY[:3]) == (Outcome.ERROR, 1)


def test_a_file_that_begins_like_a_named_one_is_left_out_on_purpose():
    counts = counted(EVERY[:3], without(3), named=("suites/test_robustness",))
    assert (counts.deselected, counts.missing) == (1, 0)


def test_a_record_counts_whatever_was_deselected():
    assert counted(EVERY, without(3), deselected=GONE, chosen=tuple(GONE)).complete


def test_an_integrity_check_without_a_record_is_no_pass():
    counts = counted(integrity=SOUND[1:])
    assert (counts.integrity_missing, counts.complete) == (1, False)
    assert ends(counts, integrity=SOUND[1:]) == (Outcome.ERROR, 1)


def test_integrity_that_the_command_line_leaves_out_is_partial():
    gone = {one.id: one.id for one in INTEGRITY}
    selected = {name: name for name in IDS if name not in gone}
    counts = counted(EVERY, selected, gone, integrity=[], chosen=tuple(gone))
    assert (counts.integrity_left_out, counts.integrity_missing, counts.complete) == (11, 0, False)
    assert ends(counts, integrity=[]) == (Outcome.PARTIAL, 0)
    assert ends(counts, integrity=[], required=True) == (Outcome.ERROR, 1)


@pytest.mark.parametrize("on_purpose", [True, False])
def test_what_an_option_leaves_out_is_partial_only_where_the_caller_chose_it(on_purpose):
    reason = LeftOut("--fm-commercial", on_purpose)
    plan = plan_of([*CHECKS[:3], replace(CHECKS[3], left_out=reason)])
    counts = counted(EVERY[:3], without(3), plan=plan)
    assert (counts.planned, counts.excluded, counts.deselected, counts.never_ran) == (4, 1, 0, 0)
    assert not counts.complete
    expected = (Outcome.PARTIAL, 0) if on_purpose else (Outcome.ERROR, 1)
    assert ends(counts, EVERY[:3]) == expected
    assert ends(counts, EVERY[:3], required=True) == (Outcome.ERROR, 1)


def test_where_every_worker_crashed_nothing_was_left_out():
    counts = counted([], None, integrity=[], crashed=True)
    assert (counts.planned, counts.missing, counts.deselected) == (4, 4, 0)
    assert ends(counts, [], [])[1] == 1


def test_a_crash_is_no_pass_even_where_all_is_measured():
    counts = counted(crashed=True)
    assert ends(counts) == (Outcome.ERROR, 1)
    assert not counts.complete


def test_an_optional_criterion_may_be_missing():
    optional = replace(CHECKS[3], criterion=CHECKS[3].criterion.model_copy(update={"required": False}))
    skipped = unmeasured(
        Verdict.SKIPPED, metric=optional.criterion.metric, id=optional.id, fm="fm", required=False
    )
    checks = [*EVERY[:3], skipped]
    counts = counted(checks, plan=plan_of([*CHECKS[:3], optional]))
    assert ends(counts, checks, required=True) == (Outcome.PARTIAL, 0)
    assert not counts.complete


def test_tests_of_the_users_own_do_not_replace_the_profile():
    own = check(0, test="test_mine[fm-demo]", registered=False)
    counts = counted([own], {"test_mine[fm-demo]": None})
    assert (counts.planned, counts.measured, counts.missing) == (5, 1, 4)
    assert ends(counts, [own]) == (Outcome.ERROR, 1)


def test_a_users_own_test_never_counts_as_a_criterion_of_the_profile():
    own = check(3, test="test_mine[fm-demo]", registered=False)
    counts = counted([*EVERY[:3], own], {**IDS, "test_mine[fm-demo]": None})
    assert (counts.planned, counts.measured, counts.missing) == (5, 4, 1)


def test_a_users_own_test_that_never_checked_anything_is_counted():
    counts = counted(EVERY, {**IDS, "test_mine[fm-demo]": None})
    assert (counts.planned, counts.measured, counts.never_ran) == (5, 4, 1)
    assert ends(counts)[1] == 1


def test_a_users_own_test_that_checks_twice_counts_twice():
    two = [check(0, test="test_mine[fm-demo]", registered=False)] * 2
    counts = counted([*EVERY, *two], {**IDS, "test_mine[fm-demo]": None})
    assert (counts.planned, counts.measured, counts.complete) == (6, 6, True)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.ERROR])
def test_a_failed_criterion_and_a_failed_integrity_check_never_end_with_0(verdict):
    failed = check(0, verdict)
    assert ends(counted([failed, *EVERY[1:]]), [failed, *EVERY[1:]])[1] == 1
    unsound = [sound(INTEGRITY[0].name, verdict), *SOUND[1:]]
    assert ends(counted(integrity=unsound), integrity=unsound) == (Outcome.FAIL, 1)


def test_an_integrity_check_that_does_not_apply_is_recorded():
    skipped = [sound(name, Verdict.SKIPPED) for name in INTEGRITY_CHECKS]
    assert ends(counted(integrity=skipped), integrity=skipped) == (Outcome.PASS, 0)


def test_a_problem_of_the_run_is_no_pass():
    summary = summarize(EVERY, counted(), integrity=SOUND, problems=["the disk is full."])
    assert summary.outcome is Outcome.ERROR
    assert summary.sentence == "ERROR: the disk is full; 4 of 4 criteria measured"


def test_another_method_of_the_same_fm_is_another_check():
    other = EVERY[0].model_copy(update={"method": "combat"})
    counts = counted([other, *EVERY[1:]])
    assert (counts.measured, counts.missing) == (3, 1)


@pytest.mark.parametrize(("inconclusive", "code"), [("fail", 1), ("warn", 0), ("xfail", 0)])
def test_what_an_inconclusive_run_ends_with_is_the_profiles_choice(inconclusive, code):
    assert exit_code(Outcome.INCONCLUSIVE, inconclusive) == code
    for outcome, expected in {"pass": 0, "partial": 0, "fail": 1, "error": 1}.items():
        assert exit_code(Outcome(outcome), inconclusive) == expected


def test_integrity_alone_is_partial_and_nothing_at_all_is_an_error():
    selected = {one.id: one.id for one in INTEGRITY}
    gone = {one.id: one.id for one in CHECKS}
    counts = counted([], selected, gone, chosen=tuple(gone))
    assert summarize([], counts, integrity=SOUND).sentence == (
        "PARTIAL: 0 of 4 criteria measured; 4 deselected"
    )
    counts = counted([], {}, {name: name for name in IDS}, integrity=[], chosen=tuple(IDS))
    assert ends(counts, [], []) == (Outcome.ERROR, 1)


def test_two_checks_with_one_test_id_are_refused():
    """Criterion `c` of cohort `b` among several, and the only criterion of cohort `b-c`."""
    entry = load_profile("floor").criteria[0]
    entries = [
        entry.model_copy(update={"id": name, "cohorts": (cohort,)})
        for name, cohort in (("x", "b"), ("c", "b"), ("only", "b-c"))
    ]
    profile = load_profile("floor").model_copy(update={"criteria": tuple(entries)})
    subjects = Subjects(
        specs={}, cohorts={}, wanted=tuple(Subject("a", "none", cohort) for cohort in ("b", "b-c"))
    )
    with pytest.raises(CriteriaError, match="two checks have the test id"):
        plan_of_run(profile, subjects, None)
