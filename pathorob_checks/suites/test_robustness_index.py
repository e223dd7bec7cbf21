"""Neighbors of a patch should share its biology, not its medical center."""

import pytest


@pytest.mark.fm_metric("robustness_index")
def test_robustness_index(measure, check, criterion):
    check(measure(criterion), criterion)
