"""Metrics that other packages add have criteria like those of this package."""

import pytest


@pytest.mark.fm_metric
def test_further_metrics(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
