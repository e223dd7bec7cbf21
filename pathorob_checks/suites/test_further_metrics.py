"""Metrics that other packages add have criteria like those of this package."""

import pytest


@pytest.mark.fm_metric
def test_further_metrics(measure, check, criterion):
    check(measure(criterion), criterion)
