"""On a GPU: the embeddings are those of the CPU, and too little memory is survived."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from cohort_folders import write_cohort
from timm.models import save_for_hf

from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings.extraction import obtain
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.models.devices import name_of, spread_over_gpus
from pathorob_checks.models.loading import PreparedModel, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec
from pathorob_checks.models.transfers import Arriving

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
_SMALL = {"img_size": 64, "dynamic_img_size": True}


def prepared(folder: Path, device: str, **settings: object) -> PreparedModel:
    weights = folder / "model"
    if not weights.exists():
        torch.manual_seed(0)
        model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **_SMALL)
        save_for_hf(model, str(weights), model_args=_SMALL)
    chosen = ModelSettings(device=device, **settings)  # type: ignore[arg-type]
    return prepare(resolve(parse_spec(f"local-dir:{weights}"), "vit"), chosen)


def test_embeddings_on_the_gpu_are_those_of_the_cpu(tmp_path: Path) -> None:
    cohort = load_folder(write_cohort(tmp_path / "c"))
    cpu = obtain(prepared(tmp_path, "cpu"), cohort, EmbeddingStore(tmp_path / "cpu"))
    gpu = obtain(prepared(tmp_path, "cuda"), cohort, EmbeddingStore(tmp_path / "gpu"))
    assert gpu.key != cpu.key  # the device belongs to the identity
    np.testing.assert_allclose(gpu.values, cpu.values, rtol=1e-3, atol=1e-4)


def test_the_batch_size_does_not_matter(tmp_path: Path) -> None:
    cohort = load_folder(write_cohort(tmp_path / "c"))
    small, large = (
        obtain(
            prepared(tmp_path, "cuda", batch_size=size), cohort, EmbeddingStore(tmp_path / f"cache{size}")
        ).values
        for size in (7, 64)
    )
    np.testing.assert_allclose(small, large, rtol=1e-3, atol=1e-4)


def test_too_little_memory_on_the_gpu_halves_the_batch(tmp_path: Path) -> None:
    cohort = load_folder(write_cohort(tmp_path / "c"))
    model = prepared(tmp_path, "cuda", batch_size=96)
    plenty = obtain(model, cohort, EmbeddingStore(tmp_path / "plenty"))
    loaded = model.load()
    real = loaded.begin  # type: ignore[attr-defined]

    def greedy(batch: torch.Tensor) -> Arriving:
        # A real failure of the allocator, for all batches of more than ten patches.
        size = 2**50 if len(batch) > 10 else 1
        torch.empty(size, dtype=torch.uint8, device="cuda")
        return real(batch)

    loaded.begin = greedy  # type: ignore[attr-defined]
    small = PreparedModel(model.name, model.identity, lambda: loaded, device="cuda")
    halved = obtain(small, cohort, EmbeddingStore(tmp_path / "small"))
    assert halved.details["batch_size"] == 6
    np.testing.assert_allclose(halved.values, plenty.values, rtol=1e-3, atol=1e-4)


def test_a_gpu_has_one_name_however_it_is_numbered() -> None:
    assert name_of("cuda") == name_of("cuda:0") != "cuda"
    assert spread_over_gpus("cuda:0", 3) == "cuda:0"
    assert spread_over_gpus("cpu", 3) == "cpu"
