"""The medical center of a patch should be hard to read off its embedding."""

import pytest


@pytest.mark.fm_metric("center_prediction")
def test_center_prediction(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("center_prediction_knn")
def test_center_prediction_knn(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
