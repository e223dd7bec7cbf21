"""The integrity of embeddings is measured in every run, on patches that nobody can tell in advance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from color_models import Coupled, Prepared, no_index

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.embeddings import variations
from pathorob_checks.embeddings.extraction import Embeddings, obtain
from pathorob_checks.embeddings.integrity import integrity_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import EmbeddingError


def test_every_run_loads_the_model_and_draws_other_patches(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    prepared = Prepared()
    first = integrity_of(prepared, cohort, embeddings, store, no_index)
    again = integrity_of(prepared, cohort, embeddings, EmbeddingStore(store.root), no_index)
    assert prepared.loads == 2
    assert first.sample != again.sample
    assert (first.precision, first.tolerance, first.drift) == ("fp32", 1e-5, None)
    assert first.environment["torch"] == torch.__version__
    assert first.measured.startswith("20")
    assert {name: first.check(name) for name in variations.VARIATIONS}.keys() == first.differences.keys()


def test_more_patches_are_compared_where_the_store_had_embeddings(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    def compared(embeddings: Embeddings) -> int:
        return len(set(integrity_of(Prepared(), cohort, embeddings, store, no_index).sample))

    assert embeddings.extracted
    assert compared(embeddings) == variations.SAMPLE
    assert compared(obtain(Prepared(), cohort, store)) == variations.STORED_SAMPLE
    resumed = dataclasses.replace(embeddings, details={**embeddings.details, "resumed_patches": 3})
    assert compared(resumed) == variations.STORED_SAMPLE


def test_embeddings_that_the_model_does_not_give_are_refused(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    planted = np.array(embeddings.values)
    planted[np.random.default_rng(0).permutation(len(planted))[: len(planted) // 4]] += 0.1
    stored = dataclasses.replace(embeddings, values=planted, extracted=False)
    for _ in range(5):
        measured = integrity_of(Prepared(), cohort, stored, store, no_index)
        with pytest.raises(EmbeddingError, match="the stored embedding and the one that the model gives now"):
            measured.check("stored")


def test_a_defect_of_the_model_is_refused(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    measured = integrity_of(Prepared(Coupled()), cohort, embeddings, store, no_index)
    measured.check("order")
    with pytest.raises(EmbeddingError, match=r"embedded alone and in a batch .* fp32 on cpu"):
        measured.check("batch_size")
