"""Embeddings that this package writes in PathoROB's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from embedding_folders import COHORT, KEYS, PATCHES, VALUES

from pathorob_checks.embeddings.pathorob_layout import write_pathorob_layout
from pathorob_checks.embeddings.precomputed import read
from pathorob_checks.errors import CacheError, EmbeddingError


def test_numpy_reads_our_files(tmp_path: Path) -> None:
    write_pathorob_layout(tmp_path, COHORT, PATCHES, VALUES)
    with np.load(tmp_path / COHORT / "Greater_Poland_Cancer_Center.npz", allow_pickle=False) as archive:
        assert archive.files == [KEYS[4], KEYS[5]]
        np.testing.assert_array_equal(archive[KEYS[4]], VALUES[4])


def test_writing_again_replaces_the_files(tmp_path: Path) -> None:
    write_pathorob_layout(tmp_path, COHORT, PATCHES, VALUES)
    write_pathorob_layout(tmp_path, COHORT, PATCHES, -VALUES)
    np.testing.assert_array_equal(read(tmp_path, COHORT, PATCHES).values, -VALUES)


def test_nothing_is_written_that_could_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="all zeros"):
        write_pathorob_layout(tmp_path, COHORT, PATCHES, np.zeros_like(VALUES))
    outside = PATCHES.assign(medical_center="../elsewhere")
    with pytest.raises(EmbeddingError, match="cannot be the name of a file"):
        write_pathorob_layout(tmp_path / "in", COHORT, outside, VALUES)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheError, match="cannot be written"):
        write_pathorob_layout(tmp_path / "file", COHORT, PATCHES, VALUES)
