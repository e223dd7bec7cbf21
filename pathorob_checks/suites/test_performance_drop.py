"""A classifier trained on slides whose class and center correlate should keep its accuracy, in every cell."""

import pytest


@pytest.mark.fm_metric("performance_drop_id")
def test_performance_drop_id(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("performance_drop_ood")
def test_performance_drop_ood(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("nipd_id")
def test_nipd_id(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("nipd_ood")
def test_nipd_ood(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("diagnostic_errors_id")
def test_diagnostic_errors_id(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("diagnostic_errors_ood")
def test_diagnostic_errors_ood(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("error_asymmetry")
def test_error_asymmetry(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
