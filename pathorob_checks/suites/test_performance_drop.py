"""A classifier trained on slides whose class and center correlate should keep its accuracy."""

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
