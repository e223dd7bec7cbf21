"""A classifier trained on slides whose class and center correlate should keep its accuracy."""

import pytest


@pytest.mark.fm_metric("performance_drop_id")
def test_performance_drop_id(measure, check, criterion):
    check(measure(criterion), criterion)


@pytest.mark.fm_metric("performance_drop_ood")
def test_performance_drop_ood(measure, check, criterion):
    check(measure(criterion), criterion)
