"""Criteria about the mean over several cohorts."""

import pytest


@pytest.mark.fm_criteria("mean")
def test_mean_over_cohorts(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
