"""A search for similar slides should find the biological class, wherever its database comes from."""

import pytest


@pytest.mark.fm_metric("retrieval_accuracy")
def test_retrieval_accuracy(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("retrieval_drop")
def test_retrieval_drop(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("retrieval_same_center")
def test_retrieval_same_center(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
