"""Slides should be told apart by their class even if class and center correlate in the training slides."""

import pytest


@pytest.mark.fm_metric("slide_prediction_id")
def test_slide_prediction_id(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("slide_prediction_ood")
def test_slide_prediction_ood(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
