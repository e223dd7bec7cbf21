"""Clusters of embeddings should follow biology, not medical centers."""

import pytest


@pytest.mark.fm_metric("clustering_score")
def test_clustering_score(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)


@pytest.mark.fm_metric("class_ari")
def test_class_ari(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
