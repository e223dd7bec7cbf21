"""Twelve patches of one color each, and a model that counts its loads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from color_extraction import Prepared, write_colors

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings.store import EmbeddingStore


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colors(tmp_path_factory.mktemp("cohort") / "colors")


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "colors"))


@pytest.fixture
def cohort(folder: Path) -> Cohort:
    return load_folder(folder)


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "cache")


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    return Prepared(tmp_path / "loads")
