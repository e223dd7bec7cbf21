"""Encoders of timm: pooling, preprocessing and precision."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import timm
import torch
from loopback_hub import write_tiny_vit
from PIL import Image
from prepared_models import load_timm
from safetensors.torch import load_file, save_file

from pathorob_checks.errors import ModelError
from pathorob_checks.models import timm_model
from pathorob_checks.models.pooling import TokenLayout

REGISTERS: dict[str, Any] = {"architecture": "vit_small_patch14_reg4_dinov2", "img_size": 56}
SWIN: dict[str, Any] = {
    "architecture": "swin_tiny_patch4_window7_224",
    "img_size": 64,
    "depths": (1, 1),
    "num_heads": (2, 2),
    "embed_dim": 24,
    "window_size": 4,
}
FINER = pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="this torch has no such setting"
)
RESNET: dict[str, Any] = {"architecture": "resnet10t", "num_classes": 2}


def tokens_by_hand(folder: Path, images: torch.Tensor) -> torch.Tensor:
    """What timm's own model gives for the saved weights: (B, tokens, D)."""
    config = json.loads((folder / "config.json").read_text())
    model: Any = timm.create_model(config["architecture"], pretrained=False, **config["model_args"])
    model.load_state_dict(load_file(folder / "model.safetensors"))
    with torch.inference_mode():
        tokens: torch.Tensor = model.eval().forward_features(images)
    return tokens


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return write_tiny_vit(tmp_path / "vit")


def test_a_class_token_is_concatenated_with_the_mean_of_the_patches(vit: Path, images: torch.Tensor) -> None:
    tokens = tokens_by_hand(vit, images)
    assert tokens.shape == (3, 1 + 16, 48)
    model = load_timm(vit)
    torch.testing.assert_close(model.embed(images), torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1))
    assert (model.dimension, model.description["pooling"]) == (96, "clsmean")


def test_each_pooling_is_the_part_of_its_name(vit: Path, images: torch.Tensor) -> None:
    tokens = tokens_by_hand(vit, images)
    torch.testing.assert_close(load_timm(vit, pooling="cls").embed(images), tokens[:, 0])
    torch.testing.assert_close(load_timm(vit, pooling="mean").embed(images), tokens[:, 1:].mean(1))
    # This architecture's own pooling is its class token.
    torch.testing.assert_close(load_timm(vit, pooling="pooled").embed(images), tokens[:, 0])


def test_registers_stay_out_of_the_mean(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_vit(tmp_path / "registers", **REGISTERS)
    images = images[..., :56, :56]
    tokens = tokens_by_hand(folder, images)
    assert tokens.shape == (3, 1 + 4 + 16, 48)
    right, leaking = tokens[:, 5:].mean(1), tokens[:, 1:].mean(1)
    model = load_timm(folder)
    torch.testing.assert_close(model.embed(images), torch.cat([tokens[:, 0], right], 1))
    assert model.description["prefix_tokens"] == 5
    assert not torch.allclose(right, leaking, atol=1e-3), "the test could not have seen a leak"


def test_a_changed_register_is_seen_only_through_the_patches_that_attend_to_it(tmp_path: Path) -> None:
    """Without blocks no token sees another, so a register can reach the embedding by a leak alone."""
    folder = write_tiny_vit(tmp_path / "a", **REGISTERS, depth=0)
    images = torch.randn(2, 3, 56, 56)
    before = load_timm(folder).embed(images)
    weights = load_file(folder / "model.safetensors")
    weights["reg_token"] += 7.0 * torch.randn_like(weights["reg_token"])
    save_file(weights, folder / "model.safetensors")
    torch.testing.assert_close(load_timm(folder).embed(images), before, rtol=0, atol=0)


def test_a_model_that_normalizes_after_pooling_does_so_here(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_vit(tmp_path / "gap", global_pool="avg")
    own = load_timm(folder, pooling="pooled").embed(images)
    torch.testing.assert_close(load_timm(folder, pooling="mean").embed(images), own)
    assert load_timm(folder).dimension == 96


@pytest.mark.parametrize("arguments", [SWIN, RESNET], ids=["swin", "resnet"])
def test_without_a_class_token_the_models_own_pooling_is_taken(
    tmp_path: Path, images: torch.Tensor, arguments: dict[str, Any]
) -> None:
    folder = write_tiny_vit(tmp_path / "model", **arguments)
    features = tokens_by_hand(folder, images)
    by_hand = features.mean((1, 2)) if "swin" in arguments["architecture"] else features.mean((2, 3))
    model = load_timm(folder)
    torch.testing.assert_close(model.embed(images), by_hand)
    assert model.description["pooling"] == "pooled"
    for impossible in ("cls", "mean", "clsmean"):
        with pytest.raises(ModelError, match="for this model choose --fm-pooling=pooled"):
            load_timm(folder, pooling=impossible)


def test_a_transformer_without_class_token_supports_mean_and_pooled_only(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "gap", class_token=False, global_pool="avg")
    assert load_timm(folder).description["pooling"] == "pooled"
    assert load_timm(folder, pooling="mean").dimension == 48
    with pytest.raises(ModelError, match="no class token"):
        load_timm(folder, pooling="clsmean")


def test_a_class_token_without_a_countable_grid_falls_back_to_pooled(
    vit: Path, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = load_timm(vit, pooling="pooled").embed(images)
    monkeypatch.setattr(timm_model, "layout_of", lambda model: TokenLayout(1, True, None))
    model = load_timm(vit)
    torch.testing.assert_close(model.embed(images), own)
    assert model.description["pooling"] == "pooled"
    (note,) = cast("list[str]", model.description["notes"])
    assert "own pooled output is used instead of clsmean" in note
    with pytest.raises(ModelError, match="for this model choose --fm-pooling=pooled"):
        load_timm(vit, pooling="clsmean")


def test_tokens_that_do_not_fit_the_grid_fall_back_to_pooled(
    vit: Path, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = load_timm(vit, pooling="pooled").embed(images)
    # As if the model's layout lacked three registers.
    monkeypatch.setattr(timm_model, "layout_of", lambda model: TokenLayout(4, True, lambda h, w: (4, 4)))
    model = load_timm(vit)
    torch.testing.assert_close(model.embed(images), own)
    (note,) = cast("list[str]", model.description["notes"])
    assert "4 prefix tokens and 4 x 4 patches were expected" in note
    with pytest.raises(ModelError, match="4 prefix tokens"):
        load_timm(vit, pooling="mean")


def test_a_model_that_does_not_pool_does_not_support_pooled(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "tokens", global_pool="")
    assert load_timm(folder).dimension == 96
    with pytest.raises(ModelError, match="does not pool"):
        load_timm(folder, pooling="pooled")


def test_a_model_of_flexible_size_counts_its_patches_by_the_image(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "dynamic", dynamic_img_size=True)
    assert load_timm(folder).embed(torch.zeros(2, 3, 96, 48)).shape == (2, 96)


def test_preprocessing_is_the_configs(vit: Path) -> None:
    pixels = np.full((100, 64, 3), (200, 100, 50), dtype=np.uint8)
    tensor = load_timm(vit).preprocess(Image.fromarray(pixels))
    assert (tensor.shape, tensor.dtype) == ((3, 64, 64), torch.float32)
    expected = (torch.tensor([200, 100, 50]) / 255 - torch.tensor([0.7, 0.6, 0.7])) / torch.tensor(
        [0.2, 0.25, 0.2]
    )
    torch.testing.assert_close(tensor[:, 10, 10], expected)


def test_a_config_of_older_timm_without_pretrained_cfg_is_read(vit: Path, images: torch.Tensor) -> None:
    expected = load_timm(vit).embed(images)
    config = json.loads((vit / "config.json").read_text())
    flat = {**config["pretrained_cfg"], "architecture": config["architecture"], "num_features": 48}
    (vit / "config.json").write_text(json.dumps({**flat, "model_args": config["model_args"]}))
    assert torch.equal(load_timm(vit).embed(images), expected)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_comes_near_and_returns_float32(
    vit: Path, images: torch.Tensor, precision: str
) -> None:
    full, half = load_timm(vit).embed(images), load_timm(vit, precision=precision).embed(images)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    "choice",
    [
        "torch.set_float32_matmul_precision('high')",
        "backends.cudnn.benchmark = True",
        pytest.param("backends.fp32_precision = 'tf32'", marks=FINER),
    ],
)
def test_kernels_are_reproducible_while_embedding_and_the_processs_own_choice_comes_back(
    choice: str,
) -> None:
    # In a process of its own, as torch cannot forget a setting once made.
    code = f"""if True:
        import torch
        from torch import backends
        from pathorob_checks.models.precision import reproducible_kernels

        def state():
            places = [backends.cuda.matmul, getattr(backends.cudnn, "conv", None)]
            finer = [getattr(place, "fp32_precision", None) for place in places]
            kernels = [backends.cudnn.benchmark, not backends.cudnn.deterministic]
            try:
                return [*finer, *kernels, backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32]
            except RuntimeError:
                return [*finer, *kernels]

        {choice}
        before = state()
        with reproducible_kernels():
            inside = state()
        assert "tf32" not in inside and True not in inside, inside
        assert state() == before, (before, state())
    """
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 5e-2)])
def test_a_gpu_gives_the_cpus_embedding(
    vit: Path, images: torch.Tensor, precision: str, tolerance: float
) -> None:
    model = load_timm(vit, device="cuda", precision=precision)
    embedding = model.embed(images)
    assert (embedding.device.type, model.batch_size) == ("cpu", 128)
    torch.testing.assert_close(embedding, load_timm(vit).embed(images), rtol=tolerance, atol=tolerance)
