"""A new FM should not be less robust than the one it replaces."""

import pytest


@pytest.mark.fm_criteria("difference")
def test_not_worse_than_baseline(measure, check, criterion):
    check(measure(criterion), criterion)
