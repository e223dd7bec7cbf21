"""The robustness index should hold when near neighbors weigh more than far ones."""

import pytest


@pytest.mark.fm_metric("mari")
def test_mari(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
