"""Patches should lie nearer to their own class in other centers than to other classes in their own center."""

import pytest


@pytest.mark.fm_metric("croma_median")
def test_croma_median(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("croma_f0")
def test_croma_f0(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("croma_ltm10")
def test_croma_ltm10(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
