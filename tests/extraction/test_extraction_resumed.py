"""Extractions that are interrupted, lose a shard, or run out of device memory."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from color_extraction import BrokenModel, ColorModel, Prepared

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.embeddings import extraction
from pathorob_checks.embeddings.extraction import obtain
from pathorob_checks.embeddings.shards import file_name, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import EmbeddingError, ModelError


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of 5, 5 and 2 patches."""
    monkeypatch.setattr(extraction, "plan_of", lambda cohort, key: plan_of(cohort, key, size=5))


class Interrupted(ColorModel):
    """Is interrupted after some batches, and records the size of each."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.embedded: list[int] = []

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        if len(self.embedded) == self.after:
            raise KeyboardInterrupt
        self.embedded.append(len(batch))
        return super().embed(batch)


@pytest.mark.usefixtures("small_shards")
def test_an_interrupted_extraction_continues_with_the_missing_shards(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    prepared.model = Interrupted(after=2)
    with pytest.raises(KeyboardInterrupt):
        obtain(prepared, cohort, store)
    prepared.model = model = Interrupted(after=9)
    resumed = obtain(prepared, cohort, store)
    assert model.embedded == [2]
    assert resumed.details["resumed_patches"] == 10
    assert "10 of 12 patches" in caplog.text
    whole = obtain(prepared, cohort, EmbeddingStore(store.root / "uninterrupted"))
    np.testing.assert_array_equal(resumed.values, whole.values)  # to the last bit


@pytest.mark.usefixtures("small_shards")
def test_only_a_damaged_shard_is_extracted_again(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    first = obtain(prepared, cohort, store)
    path = store.folder(first.key) / file_name(1)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    prepared.model = model = Interrupted(after=9)
    second = obtain(prepared, cohort, store)
    assert model.embedded == [5]
    np.testing.assert_array_equal(first.values, second.values)
    assert path.read_bytes() == content


@pytest.mark.usefixtures("small_shards")
def test_shards_of_refused_embeddings_are_deleted(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    prepared.model = BrokenModel(embed=lambda batch: torch.ones(len(batch), 6))
    with pytest.raises(EmbeddingError, match="same embedding"):
        obtain(prepared, cohort, store)
    prepared.model = ColorModel()
    assert obtain(prepared, cohort, store).details["resumed_patches"] == 0


class SmallMemory(ColorModel):
    """Has memory for `room` patches at a time."""

    batch_size = 8

    def __init__(self, room: int, error: BaseException | None = None) -> None:
        self.room = room
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")
        self.tried: list[int] = []

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        self.tried.append(len(batch))
        if len(batch) > self.room:
            raise self.error
        return super().embed(batch)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_too_little_memory_halves_the_batch_and_the_size_is_remembered(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, error: Exception
) -> None:
    plenty = obtain(prepared, cohort, EmbeddingStore(store.root / "plenty"))
    prepared.model = model = SmallMemory(3, error)
    halved = obtain(prepared, cohort, store)
    np.testing.assert_allclose(halved.values, plenty.values, rtol=1e-5)
    assert model.tried == [8, 4, 2, 2, 2, 2, 2, 2]
    assert halved.details["batch_size"] == 2
    prepared.model = again = SmallMemory(3, error)
    prepared.identity = {**prepared.identity}
    store.remove(halved.key)
    obtain(prepared, cohort, store)
    assert again.tried == [2] * 6
    other = Prepared(prepared.log, SmallMemory(8), identity=prepared.identity | {"revision": "2"})
    obtain(other, cohort, store)
    assert other.model.tried == [8, 4]  # the remembered size is for one model


def test_a_single_patch_that_does_not_fit_is_an_error(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    prepared.model = model = SmallMemory(0)
    with pytest.raises(ModelError, match=r"out of device memory with a single patch; .*--fm-precision=bf16"):
        obtain(prepared, cohort, store)
    assert model.tried == [8, 4, 2, 1]
