"""Criteria about the mean over several cohorts."""

import pytest


@pytest.mark.fm_criteria("mean")
def test_mean_over_cohorts(measure, check, criterion):
    check(measure(criterion), criterion)
