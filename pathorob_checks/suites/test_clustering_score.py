"""Clusters of embeddings should follow biology, not medical centers."""

import pytest


@pytest.mark.fm_metric("clustering_score")
def test_clustering_score(measure, check, criterion):
    check(measure(criterion), criterion)
