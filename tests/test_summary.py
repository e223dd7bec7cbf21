"""The last line of a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_checks import completeness_of, headline, made, passing, unmeasured

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.check import IntegrityCheck
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.outcome import summarize


def test_everything_measured_and_met_is_a_pass():
    checks = [passing(), passing(cohort="tcga")]
    assert headline(checks, 2, False) == "PASS: 2 of 2 criteria met (1 FM, 2 cohorts)"
    assert headline(checks[:1]) == "PASS: 1 of 1 criterion met (1 FM, 1 cohort)"


def test_a_failure_is_named():
    assert headline([made(), passing(cohort="tcga")], 2, False) == (
        "FAIL: 1 of 2 criteria not met: robustness index 0.310 < 0.500 (demo:color-sensitive, demo)"
    )


def test_a_failure_of_a_repaired_fm_is_not_named_as_that_of_the_fm():
    line = headline([passing(fm="ours"), made(fm="ours", method="combat")])
    assert line == "FAIL: 1 of 2 criteria not met: robustness index 0.310 < 0.500 (ours + combat, demo)"


def test_many_failures_are_counted_after_the_first_three():
    line = headline([made(fm=f"fm{number}") for number in range(5)])
    assert "fm2" in line
    assert "fm3" not in line
    assert line.endswith(", and 2 more")


ORDER = {
    "FAIL": made(),
    "ERROR": unmeasured(),
    "INCONCLUSIVE": made(verdict=Verdict.INCONCLUSIVE),
    "PARTIAL": unmeasured(Verdict.SKIPPED, required=False),
    "PASS": passing(),
}


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_gravest_outcome_leads_the_line(first):
    words = list(ORDER)[first:]
    checks = [ORDER[word] for word in reversed(words)]
    summary = summarize(checks, completeness_of(checks))
    assert summary.sentence.split(":")[0] == words[0]
    assert summary.outcome == words[0].lower()


def test_a_failed_integrity_check_fails_a_run_whose_criteria_are_met():
    checks = [passing(), passing(cohort="tcga")]
    integrity = [
        IntegrityCheck(id=f"suites/test_x.py::test_{name}[fm-demo]", name=name, fm="fm", cohort="demo",
                       verdict=verdict)
        for name, verdict in (("collapsed", "fail"), ("order", "pass"), ("threads", "error"))
    ]  # fmt: skip
    summary = summarize(checks, completeness_of(checks), integrity=integrity)
    assert summary.outcome is Outcome.FAIL
    assert summary.sentence == ("FAIL: test_collapsed[fm-demo] and 1 more test failed; 2 of 2 criteria met")
    skipped = [one.model_copy(update={"verdict": Verdict.SKIPPED}) for one in integrity]
    assert summarize(checks, completeness_of(checks), integrity=skipped).outcome is Outcome.PASS


@given(
    checks=st.lists(st.sampled_from(list(ORDER.values())), max_size=5),
    planned=st.none() | st.integers(0, 8),
    crashed=st.booleans(),
)
def test_nothing_unmeasured_or_unmet_ever_reads_as_pass(checks, planned, crashed):
    line = headline(checks, planned, crashed)
    everything_met = bool(checks) and all(one.verdict is Verdict.PASS for one in checks)
    whole = not crashed and (planned or 0) <= len(checks)
    assert line.startswith("PASS") == (everything_met and whole)
    assert "\n" not in line


def test_what_was_deselected_makes_the_run_partial_and_what_never_ran_an_error():
    two = [passing()] * 2
    assert headline(two, 4, deselected=2) == "PARTIAL: 2 of 4 criteria measured, 2 met; 2 deselected"
    assert headline(two, 4) == "ERROR: 2 of 4 criteria measured; 2 never ran"
    assert headline(two, 4, True) == "ERROR: 2 of 4 criteria measured; 2 never ran; a worker crashed"
    assert headline([], 0) == "ERROR: no criterion was checked"
    assert headline([made()], 4, deselected=3).endswith("; 3 deselected")


def test_a_required_criterion_that_was_skipped_is_an_error():
    assert headline([unmeasured(Verdict.SKIPPED)]) == "ERROR: 0 of 1 criterion measured; 1 skipped"


def test_a_part_is_an_error_where_all_is_required():
    checks = [passing()] * 2
    required = completeness_of(checks, 4, deselected=2)
    summary = summarize(checks, required, require_complete=True)
    assert summary.outcome is Outcome.ERROR
    assert summary.sentence == (
        "ERROR: 2 of 4 criteria measured; 2 deselected, but the run requires all of them"
    )
    optional = required.model_copy(update={"absent": 0})
    assert summarize(checks, optional, require_complete=True).outcome is Outcome.PARTIAL


def test_a_failure_does_not_hide_what_could_not_be_measured():
    line = headline([made(), unmeasured()], 3, False)
    assert line.startswith("FAIL: 1 of 3")
    assert line.endswith("; 1 could not be measured; 1 never ran")


def test_an_undecided_run_with_a_part_left_out_says_both():
    undecided = made(interval=(0.3, 0.7), value=0.6)
    assert undecided.verdict is Verdict.INCONCLUSIVE
    whole = summarize([undecided], completeness_of([undecided]))
    partial = summarize([undecided], completeness_of([undecided], planned=3, deselected=2))
    assert whole.outcome is partial.outcome is Outcome.INCONCLUSIVE
    assert "PARTIAL" not in whole.sentence
    assert partial.sentence.endswith("; the run is also PARTIAL; 2 deselected")
