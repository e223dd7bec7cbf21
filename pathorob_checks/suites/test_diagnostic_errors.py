"""A classifier trained on slides whose class and center correlate should not misread a class of a center."""

import pytest


@pytest.mark.fm_metric("diagnostic_errors_id")
def test_diagnostic_errors_id(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("diagnostic_errors_ood")
def test_diagnostic_errors_ood(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("error_asymmetry")
def test_error_asymmetry(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
