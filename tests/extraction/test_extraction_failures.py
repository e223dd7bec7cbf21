"""Extractions that fail: the error has a cause and a remedy, and nothing unusable is stored."""

from __future__ import annotations

import dataclasses
import errno
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from color_extraction import BrokenModel, ColorModel, NeverLoaded, Prepared
from PIL import Image

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings import extraction, files
from pathorob_checks.embeddings.extraction import obtain
from pathorob_checks.embeddings.shards import file_name, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import CacheError, CohortError, EmbeddingError, ModelError


def test_a_corrupt_image_is_named_and_nothing_is_stored(
    prepared: Prepared, folder: Path, store: EmbeddingStore
) -> None:
    for i in (7, 9):
        (folder / f"{i}.png").write_bytes(f"no image {i}".encode())
    for _ in range(3):  # always the first one in the order of the keys, in whichever order threads read
        with pytest.raises(CohortError, match=r"'7.png' \(manifest.csv line 9\).*cannot be decoded"):
            obtain(prepared, load_folder(folder), store)
    assert list(store.root.rglob("*.safetensors")) == []


def test_an_unusable_cache_is_an_error_before_the_model_is_loaded(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="--fm-cache"):
        obtain(NeverLoaded(tmp_path / "loads"), cohort, EmbeddingStore(tmp_path / "file"))


def test_patches_with_one_key_are_refused(cohort: Cohort, store: EmbeddingStore, tmp_path: Path) -> None:
    patches = cohort.patches.copy()
    patches.loc[:1, ["slide_id", "patch_id"]] = [["a", "b-c"], ["a-b", "c"]]
    collided = dataclasses.replace(cohort, patches=patches)
    with pytest.raises(EmbeddingError, match=r"more than one row for 1 patch \('a-b-c'\): patch 'b-c'"):
        obtain(NeverLoaded(tmp_path / "loads"), collided, store)


def failing(message: str) -> Callable[..., torch.Tensor]:
    def fail(*arguments: object) -> torch.Tensor:
        raise RuntimeError(message)

    return fail


def as_large_as_red(image: Image.Image) -> torch.Tensor:
    return torch.zeros(3, 1, image.getpixel((0, 0))[0] + 1)  # type: ignore[index]


@pytest.mark.parametrize(
    ("methods", "error", "words"),
    [
        ({"preprocess": failing("too\nsmall")}, ModelError, ["slide0-00", "8 x 8", "too small"]),
        ({"preprocess": as_large_as_red}, ModelError, ["different shapes", "resize"]),
        ({"embed": failing("bad layer")}, ModelError, ["batch that starts with", "slide0-00", "bad layer"]),
        ({"embed": lambda batch: [1.0]}, ModelError, ["returned list", "tensor"]),
        ({"embed": lambda batch: batch}, EmbeddingError, ["(5, 3, 8, 8)", "(5, 6)"]),
        ({"embed": lambda batch: torch.ones(len(batch) + 1, 6)}, EmbeddingError, ["(6, 6)", "(5, 6)"]),
        ({"embed": lambda batch: torch.ones(6).expand(len(batch), 6)}, EmbeddingError, ["same embedding"]),
        ({"embed": lambda batch: torch.eye(6)[: len(batch)].to_sparse()}, ModelError, ["cannot be read"]),
        ({"embed": lambda batch: torch.ones(len(batch), 6, device="meta")}, ModelError, ["cannot be read"]),
        (
            {"embed": lambda batch: sys.exit(0)},
            ModelError,
            ["batch that starts with", "have ended"],
        ),
        (
            {"preprocess": lambda image: sys.exit(0)},
            ModelError,
            ["slide0-00", "have ended"],
        ),
        ({"preprocess": lambda image: [1.0]}, ModelError, ["returned list", "(C, H, W)"]),
        ({"preprocess": lambda image: torch.ones(3, 4)}, ModelError, ["Tensor of the shape (3, 4)"]),
        ({"embed": lambda batch: torch.ones(len(batch), 6).half()}, EmbeddingError, ["float16"]),
        ({"dimension": 7}, EmbeddingError, ["(5, 6)", "(5, 7)"]),
        ({"embed": lambda batch: torch.full((len(batch), 6), torch.nan)}, EmbeddingError, ["NaN", "5 of 5"]),
        ({"embed": lambda batch: torch.zeros(len(batch), 6)}, EmbeddingError, ["all zeros"]),
        ({"embed": lambda batch: torch.ones(len(batch), 6)}, EmbeddingError, ["same embedding"]),
        (
            {"embed": lambda batch: torch.ones(len(batch), 6).double()},
            EmbeddingError,
            ["float64", ".float()"],
        ),
    ],
)
def test_a_model_that_fails_is_an_error_and_nothing_is_stored(
    prepared: Prepared,
    cohort: Cohort,
    store: EmbeddingStore,
    methods: dict[str, object],
    error: type[Exception],
    words: list[str],
) -> None:
    prepared.model = BrokenModel(**methods)
    with pytest.raises(error) as caught:
        obtain(prepared, cohort, store)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    assert list(store.root.rglob("*.safetensors")) == []


def test_an_error_of_this_package_is_not_changed(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    def refuse(*arguments: object) -> torch.Tensor:
        raise ModelError("the encoder is gated", remedy="accept its license")

    for methods in ({"preprocess": refuse}, {"embed": refuse}):
        prepared.model = BrokenModel(**methods)
        with pytest.raises(ModelError, match=r"^the encoder is gated; accept its license\.$"):
            obtain(prepared, cohort, store)


def test_a_full_disk_is_an_error_and_the_written_shards_are_kept(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "plan_of", lambda cohort, key: plan_of(cohort, key, size=5))
    put, written = store.put, []

    def full(*arguments: Any) -> None:
        if written:
            with files.cache_errors(store.root, "written to"):
                raise OSError(errno.ENOSPC, "No space left on device")
        written.append(arguments)
        put(*arguments)

    monkeypatch.setattr(store, "put", full)
    with pytest.raises(CacheError, match="No space left on device; free some space"):
        obtain(prepared, cohort, store)
    assert [path.name for path in store.root.rglob("*.safetensors")] == [file_name(0)]
    assert obtain(prepared, cohort, EmbeddingStore(store.root)).details["resumed_patches"] == 5


def test_threads_end_with_the_extraction(folder: Path, prepared: Prepared, store: EmbeddingStore) -> None:
    (folder / "0.png").write_bytes(b"no image")
    with pytest.raises(CohortError):
        obtain(prepared, load_folder(folder), store)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("preprocess")] == []


class Sloppy(ColorModel):
    """Fills the same tensor for every batch, changes its input, and once runs out of memory after that."""

    def __init__(self) -> None:
        self.filled = torch.empty(self.batch_size, self.dimension)
        self.failed = False

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        embedded = super().embed(batch)
        batch.zero_()
        if not self.failed:
            self.failed = True
            raise torch.OutOfMemoryError("out of memory")
        self.filled[: len(batch)] = embedded
        return self.filled[: len(batch)]


def test_neither_tensors_that_are_filled_again_nor_inputs_that_are_changed_change_embeddings(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, tmp_path: Path
) -> None:
    expected = obtain(prepared, cohort, store).values
    other = Prepared(tmp_path / "other", Sloppy())
    np.testing.assert_array_equal(obtain(other, cohort, EmbeddingStore(tmp_path / "sloppy")).values, expected)
