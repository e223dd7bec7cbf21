"""The last line of a run."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_records import covering, headline, passing, record, unmeasured

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.report.terminal import summary_line


def test_everything_measured_and_met_is_a_pass():
    records = [passing(), passing(cohort="tcga")]
    assert headline(records, 2, False) == "PASS: 2 of 2 criteria met (1 FM, 2 cohorts)"
    assert headline(records[:1]) == "PASS: 1 of 1 criterion met (1 FM, 1 cohort)"


def test_a_failure_is_named():
    assert headline([record(), passing(cohort="tcga")], 2, False) == (
        "FAIL: 1 of 2 criteria not met: robustness index 0.310 < 0.500 (demo:color-sensitive, demo)"
    )


def test_many_failures_are_counted_after_the_first_three():
    line = headline([record(fm=f"fm{number}") for number in range(5)])
    assert "fm2" in line
    assert "fm3" not in line
    assert line.endswith(", and 2 more")


ORDER = {
    "FAIL": record(),
    "ERROR": unmeasured(),
    "INCONCLUSIVE": record(verdict=Verdict.INCONCLUSIVE),
    "PARTIAL": unmeasured(Verdict.SKIPPED, required=False),
    "PASS": passing(),
}


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_gravest_outcome_leads_the_line(first):
    words = list(ORDER)[first:]
    line = headline([ORDER[word] for word in reversed(words)])
    assert line.split(":")[0] == words[0]


@given(
    records=st.lists(st.sampled_from(list(ORDER.values())), max_size=5),
    planned=st.none() | st.integers(0, 8),
    crashed=st.booleans(),
)
def test_nothing_unmeasured_or_unmet_ever_reads_as_pass(records, planned, crashed):
    line = headline(records, planned, crashed)
    everything_met = bool(records) and all(one.verdict is Verdict.PASS for one in records)
    whole = not crashed and (planned or 0) <= len(records)
    assert line.startswith("PASS") == (everything_met and whole)
    assert "\n" not in line


def test_what_was_left_out_makes_the_run_partial_and_what_never_ran_an_error():
    two = [passing()] * 2
    assert headline(two, 4, left_out=2) == "PARTIAL: 2 of 4 criteria measured, 2 met; 2 left out"
    assert headline(two, 4) == "ERROR: 2 of 4 criteria measured; 2 never ran"
    assert headline(two, 4, True) == "ERROR: 2 of 4 criteria measured; 2 never ran; a worker crashed"
    assert headline([], 0) == "ERROR: no criterion was checked"
    assert headline([record()], 4, left_out=3).endswith("; PARTIAL: 3 left out")


def test_a_required_criterion_that_was_skipped_is_an_error():
    assert headline([unmeasured(Verdict.SKIPPED)]) == "ERROR: 0 of 1 criterion measured; 1 skipped"


def test_a_part_is_an_error_where_all_is_demanded():
    records = [passing()] * 2
    required = covering(records, 4, left_out=2)
    assert summary_line(records, required, demanded=True).startswith("ERROR: 2 of 4 criteria measured")
    optional = dataclasses.replace(required, absent=0)
    assert summary_line(records, optional, demanded=True).startswith("PARTIAL: 2 of 4")


def test_a_failure_does_not_hide_what_could_not_be_measured():
    line = headline([record(), unmeasured()], 3, False)
    assert line.startswith("FAIL: 1 of 3")
    assert line.endswith("; 1 could not be measured; 1 never ran")
