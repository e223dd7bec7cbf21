"""Neighbors of a patch should share its biology, not its medical center."""

import pytest


@pytest.mark.fm_metric("robustness_index")
def test_robustness_index(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
