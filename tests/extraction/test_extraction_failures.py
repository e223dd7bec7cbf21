"""Extractions that fail: the error has a cause and a remedy, and nothing unusable is stored."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from color_extraction import BrokenModel, NeverLoaded, Prepared
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
