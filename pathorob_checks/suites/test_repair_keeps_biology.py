"""What makes embeddings robust may not erase the biology in them."""

import pytest


@pytest.mark.fm_criteria("repair")
def test_repair_keeps_biology(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
