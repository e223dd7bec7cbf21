"""A small cohort, embedded by a stand-in for a model, and weights of a real network."""

from __future__ import annotations

from pathlib import Path

import pytest
from color_models import Prepared
from loopback_hub import write_tiny_vit

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings.extraction import Embeddings, obtain
from pathorob_checks.embeddings.store import EmbeddingStore


@pytest.fixture(scope="session")
def cohort(slides: Path) -> Cohort:
    return load_folder(slides)


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "cache")


@pytest.fixture
def embeddings(cohort: Cohort, store: EmbeddingStore) -> Embeddings:
    return obtain(Prepared(), cohort, store)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_vit(tmp_path_factory.mktemp("weights") / "tiny", seed=2)
