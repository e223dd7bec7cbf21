"""The biological class of a patch should be easy to read off its embedding."""

import pytest


@pytest.mark.fm_metric("class_prediction")
def test_class_prediction(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("class_prediction_within")
def test_class_prediction_within(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
