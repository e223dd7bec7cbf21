"""A new FM should not be less robust than the one it replaces."""

import pytest


@pytest.mark.fm_criteria("difference")
def test_not_worse_than_baseline(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
