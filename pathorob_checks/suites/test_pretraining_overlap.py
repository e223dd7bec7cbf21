"""An FM should not have been pretrained on the data that it is judged on."""

import pytest


@pytest.mark.fm_metric("pretraining_overlap")
def test_pretraining_overlap(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
