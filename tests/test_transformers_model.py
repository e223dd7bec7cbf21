"""Encoders of transformers: pooling, preprocessing and weights, without any request."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from prepared_models import load_transformers
from safetensors.torch import load_file, save_file
from tiny_models import MEAN, SMALL, STD, edit_json, shard, write_tiny_transformers

from pathorob_checks.errors import ModelError

transformers: Any = pytest.importorskip("transformers")

CLIP: dict[str, Any] = {
    "projection_dim": 24,
    "vision_config": {**SMALL, "patch_size": 28, "projection_dim": 24},
    "text_config": {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 64,
        "max_position_embeddings": 8,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "projection_dim": 24,
    },
}
SWIN: dict[str, Any] = {
    "image_size": 56,
    "patch_size": 4,
    "embed_dim": 24,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 7,
}
RESNET: dict[str, Any] = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1]}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return write_tiny_transformers(tmp_path / "vit", "vit")


def output_by_hand(folder: Path, images: torch.Tensor) -> Any:
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.inference_mode():
        return model(pixel_values=images)


@pytest.mark.parametrize("model_type", ["dinov2", "vit"])
def test_a_class_token_is_concatenated_with_the_mean_of_the_patches(
    tmp_path: Path, images: torch.Tensor, model_type: str
) -> None:
    folder = write_tiny_transformers(tmp_path / "model", model_type)
    tokens = output_by_hand(folder, images).last_hidden_state
    assert tokens.shape == (3, 1 + 16, 48)
    model = load_transformers(folder)
    torch.testing.assert_close(model.embed(images), torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1))
    assert (model.dimension, model.description["pooling"], model.description["notes"]) == (96, "clsmean", [])
    torch.testing.assert_close(load_transformers(folder, pooling="cls").embed(images), tokens[:, 0])
    torch.testing.assert_close(load_transformers(folder, pooling="mean").embed(images), tokens[:, 1:].mean(1))


def test_registers_stay_out_of_the_mean(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_transformers(tmp_path / "model", "dinov2_with_registers", num_register_tokens=4)
    tokens = output_by_hand(folder, images).last_hidden_state
    assert tokens.shape == (3, 1 + 4 + 16, 48)
    right, leaking = tokens[:, 5:].mean(1), tokens[:, 1:].mean(1)
    model = load_transformers(folder)
    torch.testing.assert_close(model.embed(images), torch.cat([tokens[:, 0], right], 1))
    assert model.description["prefix_tokens"] == 5
    assert not torch.allclose(right, leaking, atol=1e-3), "the test could not have seen a leak"


@pytest.mark.parametrize("token", ["embeddings.register_tokens", "embeddings.cls_token"])
def test_a_changed_token_reaches_the_mean_of_the_patches_only_through_attention(
    tmp_path: Path, images: torch.Tensor, token: str
) -> None:
    """Without layers no token sees another, so it could reach the mean by a leak alone."""
    folder = write_tiny_transformers(
        tmp_path / "model", "dinov2_with_registers", num_register_tokens=4, num_hidden_layers=0
    )
    before = load_transformers(folder, pooling="mean").embed(images)
    weights = load_file(folder / "model.safetensors")
    weights[token] += 7.0 * torch.randn_like(weights[token])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    torch.testing.assert_close(
        load_transformers(folder, pooling="mean").embed(images), before, rtol=0, atol=0
    )


def test_a_wrong_number_of_registers_is_an_error(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_transformers(tmp_path / "model", "dinov2_with_registers", num_register_tokens=4)
    # 21 tokens are not 5 + 2 x 2, which would be patches of 28 px.
    own = output_by_hand(folder, images).pooler_output
    model = load_transformers(folder)
    model._layout = type(model._layout)(5, True, lambda height, width: (2, 2))
    with pytest.raises(ModelError, match=r"\(21, 48\) per image where 5 prefix tokens and 2 x 2 patches"):
        model.embed(images)
    torch.testing.assert_close(load_transformers(folder, pooling="pooled").embed(images), own)


@pytest.mark.parametrize(
    ("model_type", "config", "dimension"),
    [("swin", SWIN, 48), ("resnet", RESNET, 32)],
    ids=["swin", "resnet"],
)
def test_without_a_class_token_the_models_own_pooling_is_taken(
    tmp_path: Path, images: torch.Tensor, model_type: str, config: dict[str, Any], dimension: int
) -> None:
    folder = write_tiny_transformers(tmp_path / "model", model_type, **config)
    model = load_transformers(folder)
    own = output_by_hand(folder, images).pooler_output.flatten(1)
    torch.testing.assert_close(model.embed(images), own)
    assert (model.dimension, model.description["pooling"]) == (dimension, "pooled")
    with pytest.raises(ModelError, match="no class"):
        load_transformers(folder, pooling="clsmean")
    with pytest.raises(ModelError, match="pooled"):
        load_transformers(folder, pooling="mean")


def test_an_image_and_text_model_gives_its_image_features(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_transformers(tmp_path / "clip", "clip", **CLIP)
    by_hand = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.inference_mode():
        features = by_hand.get_image_features(pixel_values=images)
    expected = getattr(features, "pooler_output", features)
    model = load_transformers(folder)
    torch.testing.assert_close(model.embed(images), expected)
    assert (model.dimension, model.description["pooling"]) == (24, "pooled")
    with pytest.raises(ModelError, match="for this model choose --fm-pooling=pooled"):
        load_transformers(folder, pooling="cls")


def test_the_tokens_of_clips_image_part_are_not_pooled(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_transformers(tmp_path / "clip", "clip_vision_model", **SMALL)
    model = load_transformers(folder)
    torch.testing.assert_close(model.embed(images), output_by_hand(folder, images).pooler_output)
    (note,) = cast("list[str]", model.description["notes"])
    assert "own pooled output" in note


def test_preprocessing_is_the_repositorys_by_pillow(vit: Path) -> None:
    image = Image.effect_noise((100, 80), 60).convert("RGB")
    by_hand = torch.tensor(np.array(image.resize((56, 56), Image.Resampling.BILINEAR))).float() / 255
    expected = ((by_hand - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)
    tensor = load_transformers(vit).preprocess(image)
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor, expected)


def test_weights_of_half_precision_compute_in_float32(vit: Path, images: torch.Tensor) -> None:
    weights = {key: value.half() for key, value in load_file(vit / "model.safetensors").items()}
    save_file(weights, vit / "model.safetensors", metadata={"format": "pt"})
    edit_json(vit / "config.json", dtype="float16", torch_dtype="float16")
    model = load_transformers(vit)
    assert {parameter.dtype for parameter in model._model.parameters()} == {torch.float32}
    half = load_transformers(vit, precision="bf16").embed(images)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, model.embed(images), rtol=0.1, atol=0.1)


def test_a_missing_pooler_matters_only_for_pooled(vit: Path, images: torch.Tensor) -> None:
    weights = load_file(vit / "model.safetensors")
    kept = {key: value for key, value in weights.items() if not key.startswith("pooler.")}
    assert len(kept) == len(weights) - 2
    before = load_transformers(vit).embed(images)
    save_file(kept, vit / "model.safetensors", metadata={"format": "pt"})
    torch.testing.assert_close(load_transformers(vit).embed(images), before)
    with pytest.raises(ModelError, match="no pooled output, as the weights of its pooler are missing"):
        load_transformers(vit, pooling="pooled")


def test_a_classifier_on_top_is_left_out(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_transformers(tmp_path / "head", "vit", model_class="ViTForImageClassification")
    assert any(key.startswith("classifier") for key in load_file(folder / "model.safetensors"))
    assert load_transformers(folder).embed(images).shape == (3, 96)


def test_shards_are_read_by_their_index(vit: Path, images: torch.Tensor) -> None:
    before = load_transformers(vit).embed(images)
    assert len(shard(vit)) == 2
    torch.testing.assert_close(load_transformers(vit).embed(images), before, rtol=0, atol=0)


def test_a_pickle_of_tensors_is_read(vit: Path, images: torch.Tensor) -> None:
    before = load_transformers(vit).embed(images)
    weights = {f"module.{key}": value for key, value in load_file(vit / "model.safetensors").items()}
    torch.save({"state_dict": weights}, vit / "pytorch_model.bin")
    (vit / "model.safetensors").unlink()
    torch.testing.assert_close(load_transformers(vit).embed(images), before, rtol=0, atol=0)
