"""Encoders of the transformers library: what is pooled, what is refused, and that no network is asked."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from loopback_hub import loopback_hub
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_models import MEAN, SMALL, STD, edit_json, shard, write_tiny_transformers

from pathorob_checks.errors import ModelError
from pathorob_checks.models.loading import ModelSettings, PreparedModel, prepare, resolve
from pathorob_checks.models.spec import parse_spec

transformers: Any = pytest.importorskip("transformers")
from pathorob_checks.models.transformers_model import TransformersModel  # noqa: E402

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
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return write_tiny_transformers(tmp_path / "vit", "vit")


def prepared(folder: Path, **settings: Any) -> PreparedModel:
    spec = parse_spec(f"local-dir:{folder}")
    return prepare(resolve(spec, "fm"), ModelSettings(**{"device": "cpu", **settings}))


def loaded(folder: Path, **settings: Any) -> TransformersModel:
    model = prepared(folder, **settings).load()
    assert isinstance(model, TransformersModel)
    return model


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
    model = loaded(folder)
    torch.testing.assert_close(model.embed(images), torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1))
    assert (model.dimension, model.description["pooling"], model.description["notes"]) == (96, "clsmean", [])
    torch.testing.assert_close(loaded(folder, pooling="cls").embed(images), tokens[:, 0])
    torch.testing.assert_close(loaded(folder, pooling="mean").embed(images), tokens[:, 1:].mean(1))


def test_registers_stay_out_of_the_mean(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_transformers(tmp_path / "model", "dinov2_with_registers", num_register_tokens=4)
    tokens = output_by_hand(folder, images).last_hidden_state
    assert tokens.shape == (3, 1 + 4 + 16, 48)
    right, leaking = tokens[:, 5:].mean(1), tokens[:, 1:].mean(1)
    model = loaded(folder)
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
    before = loaded(folder, pooling="mean").embed(images)
    weights = load_file(folder / "model.safetensors")
    weights[token] += 7.0 * torch.randn_like(weights[token])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    torch.testing.assert_close(loaded(folder, pooling="mean").embed(images), before, rtol=0, atol=0)


def test_a_count_of_registers_that_is_wrong_is_no_reason_to_guess(
    tmp_path: Path, images: torch.Tensor
) -> None:
    folder = write_tiny_transformers(tmp_path / "model", "dinov2_with_registers", num_register_tokens=4)
    # 14 px patches said to be 28 px: 21 tokens are no 5 + 2 x 2.
    own = output_by_hand(folder, images).pooler_output
    model = loaded(folder)
    model._layout = type(model._layout)(5, True, lambda height, width: (2, 2))
    with pytest.raises(ModelError, match=r"\(21, 48\) per image where 5 prefix tokens and 2 x 2 patches"):
        model.embed(images)
    torch.testing.assert_close(loaded(folder, pooling="pooled").embed(images), own)


@pytest.mark.parametrize(
    ("model_type", "config", "dimension"),
    [("swin", SWIN, 48), ("resnet", RESNET, 32)],
    ids=["swin", "resnet"],
)
def test_without_a_class_token_the_models_own_pooling_is_taken(
    tmp_path: Path, images: torch.Tensor, model_type: str, config: dict[str, Any], dimension: int
) -> None:
    folder = write_tiny_transformers(tmp_path / "model", model_type, **config)
    model = loaded(folder)
    own = output_by_hand(folder, images).pooler_output.flatten(1)
    torch.testing.assert_close(model.embed(images), own)
    assert (model.dimension, model.description["pooling"]) == (dimension, "pooled")
    with pytest.raises(ModelError, match="no class"):
        loaded(folder, pooling="clsmean")
    with pytest.raises(ModelError, match="pooled"):
        loaded(folder, pooling="mean")


def test_of_an_image_and_text_model_the_image_features_are_taken(
    tmp_path: Path, images: torch.Tensor
) -> None:
    folder = write_tiny_transformers(tmp_path / "clip", "clip", **CLIP)
    by_hand = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.inference_mode():
        features = by_hand.get_image_features(pixel_values=images)
    expected = getattr(features, "pooler_output", features)
    model = loaded(folder)
    torch.testing.assert_close(model.embed(images), expected)
    assert (model.dimension, model.description["pooling"]) == (24, "pooled")
    with pytest.raises(ModelError, match="choose pooled"):
        loaded(folder, pooling="cls")


def test_of_clips_image_part_alone_the_tokens_are_no_finished_features(
    tmp_path: Path, images: torch.Tensor
) -> None:
    folder = write_tiny_transformers(tmp_path / "clip", "clip_vision_model", **SMALL)
    model = loaded(folder)
    torch.testing.assert_close(model.embed(images), output_by_hand(folder, images).pooler_output)
    (note,) = cast("list[str]", model.description["notes"])
    assert "own pooled output" in note


def test_preprocessing_is_the_repositorys_by_pillow(vit: Path) -> None:
    image = Image.effect_noise((100, 80), 60).convert("RGB")
    by_hand = torch.tensor(np.array(image.resize((56, 56), Image.Resampling.BILINEAR))).float() / 255
    expected = ((by_hand - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)
    tensor = loaded(vit).preprocess(image)
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor, expected)


def test_weights_of_half_precision_compute_in_float32(vit: Path, images: torch.Tensor) -> None:
    weights = {key: value.half() for key, value in load_file(vit / "model.safetensors").items()}
    save_file(weights, vit / "model.safetensors", metadata={"format": "pt"})
    edit_json(vit / "config.json", dtype="float16", torch_dtype="float16")
    model = loaded(vit)
    assert {parameter.dtype for parameter in model._model.parameters()} == {torch.float32}
    half = loaded(vit, precision="bf16").embed(images)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, model.embed(images), rtol=0.1, atol=0.1)


def test_a_missing_pooler_matters_only_to_those_who_ask_for_it(vit: Path, images: torch.Tensor) -> None:
    weights = load_file(vit / "model.safetensors")
    kept = {key: value for key, value in weights.items() if not key.startswith("pooler.")}
    assert len(kept) == len(weights) - 2
    before = loaded(vit).embed(images)
    save_file(kept, vit / "model.safetensors", metadata={"format": "pt"})
    torch.testing.assert_close(loaded(vit).embed(images), before)
    with pytest.raises(ModelError, match="no pooled output, as the weights of its pooler are missing"):
        loaded(vit, pooling="pooled")


def test_a_classifier_on_top_is_left_out(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_transformers(tmp_path / "head", "vit", model_class="ViTForImageClassification")
    assert any(key.startswith("classifier") for key in load_file(folder / "model.safetensors"))
    assert loaded(folder).embed(images).shape == (3, 96)


def test_shards_are_read_by_their_index(vit: Path, images: torch.Tensor) -> None:
    before = loaded(vit).embed(images)
    assert len(shard(vit)) == 2
    torch.testing.assert_close(loaded(vit).embed(images), before, rtol=0, atol=0)


def test_a_pickle_of_tensors_is_read(vit: Path, images: torch.Tensor) -> None:
    before = loaded(vit).embed(images)
    weights = {f"module.{key}": value for key, value in load_file(vit / "model.safetensors").items()}
    torch.save({"state_dict": weights}, vit / "pytorch_model.bin")
    (vit / "model.safetensors").unlink()
    torch.testing.assert_close(loaded(vit).embed(images), before, rtol=0, atol=0)


def damage_weights(folder: Path, change: Any) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: damage_weights(
                folder, lambda w: w.update({"layernorm.gain": w.pop("layernorm.weight")})
            ),
            r"lacks layernorm\.weight and has unexpected layernorm\.gain",
        ),
        (
            lambda folder: damage_weights(folder, lambda w: w.update({"layernorm.weight": torch.ones(7)})),
            r"has other shapes for layernorm\.weight",
        ),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"not tensors"), "damaged"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "no preprocessor_config.json"),
        (lambda folder: (folder / "preprocessor_config.json").write_text("{"), "cannot be used"),
        (lambda folder: (folder / "config.json").write_text("\n<!DOCTYPE html>"), "is a web page"),
        (
            lambda folder: edit_json(folder / "config.json", model_type="vit_of_tomorrow"),
            "upgrade transformers",
        ),
        (lambda folder: edit_json(folder / "config.json", hidden_act="wave"), "cannot build"),
        (
            lambda folder: edit_json(
                folder / "config.json", model_type="own", auto_map={"AutoModel": "modeling.Own"}
            ),
            "--fm-trust-remote-code and the full commit",
        ),
    ],
    ids=["keys", "shape", "garbage", "no-weights", "no-prep", "prep", "page", "future", "args", "code"],
)
def test_files_that_make_no_model_are_an_error_of_one_sentence(vit: Path, damage: Any, message: str) -> None:
    damage(vit)
    with pytest.raises(ModelError, match=message) as caught:
        loaded(vit)
    assert "\n" not in str(caught.value)


def test_a_text_model_cannot_embed_images(tmp_path: Path) -> None:
    small: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 40,
    }
    folder = write_tiny_transformers(tmp_path / "bert", "bert", **small)
    with pytest.raises(ModelError, match="cannot embed a blank image"):
        loaded(folder)


def test_without_the_library_the_extra_is_named(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'pathorob-checks\[transformers\]'"):
        prepared(vit)


@pytest.mark.parametrize("change", ["weight", "config", "preprocessing", "pooling"])
def test_whatever_changes_the_embedding_changes_the_identity(vit: Path, change: str) -> None:
    before, settings = prepared(vit).identity, {}
    assert cast("dict[str, str]", before["versions"])["transformers"] == transformers.__version__
    assert json.loads(json.dumps(before)) == before
    if change == "weight":
        damage_weights(vit, lambda weights: weights["layernorm.bias"].add_(1e-3))
    elif change == "config":
        edit_json(vit / "config.json", layer_norm_eps=1e-3)
    elif change == "preprocessing":
        edit_json(vit / "preprocessor_config.json", resample=3)
    else:
        settings = {"pooling": "cls"}
    assert prepared(vit, **settings).identity != before


def test_the_library_is_as_talkative_afterwards_as_before(
    vit: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    loaded(vit)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert "Loading weights" not in "".join(capfd.readouterr())


REMOTE_CONFIG = """
from transformers import PretrainedConfig

class OwnConfig(PretrainedConfig):
    model_type = "own"
    patch_size = 14
"""
REMOTE_MODEL = """
import os, pathlib
import torch
from transformers import PreTrainedModel
from .configuration_own import OwnConfig

pathlib.Path(os.environ["WITNESS"]).touch()

class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, 8))
        self.patches = torch.nn.Conv2d(3, 8, 14, 14)
        self.post_init()

    def forward(self, images):
        patches = self.patches(images).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(images), -1, -1), patches], 1)
"""
ASK = """
import json, sys, torch
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.models.loading import ModelSettings, files_of, prepare, resolve
from pathorob_checks.models.spec import parse_spec
text, trusted = json.loads(sys.argv[1])
try:
    resolved = resolve(parse_spec(text), "own")
    files = files_of(resolved)
    model = prepare(resolved, ModelSettings(device="cpu", trust_remote_code=trusted)).load()
    answer = {"files": files, "shape": list(model.embed(torch.zeros(2, 3, 56, 56)).shape)}
except PathorobChecksError as error:
    answer = {"error": str(error)}
print(json.dumps(answer))
"""


def test_code_of_a_repository_runs_only_if_trusted_and_pinned(tmp_path: Path) -> None:
    """In processes of their own, against a hub on this machine, as the code is imported from its cache."""
    folder = tmp_path / "own"
    folder.mkdir()
    weights = {"cls_token": torch.ones(1, 1, 8), "patches.weight": torch.ones(8, 3, 14, 14)}
    save_file({**weights, "patches.bias": torch.zeros(8)}, folder / "model.safetensors")
    (folder / "config.json").write_text(
        json.dumps(
            {
                "model_type": "own",
                "auto_map": {
                    "AutoConfig": "configuration_own.OwnConfig",
                    "AutoModel": "modeling_own.OwnModel",
                },
            }
        )
    )
    (folder / "configuration_own.py").write_text(REMOTE_CONFIG)
    (folder / "modeling_own.py").write_text(REMOTE_MODEL)
    donor = write_tiny_transformers(tmp_path / "donor", "vit")
    (folder / "preprocessor_config.json").write_bytes((donor / "preprocessor_config.json").read_bytes())
    witness = tmp_path / "witness"
    with loopback_hub() as hub:
        commit = hub.add("lab/own", folder)

        def ask(text: str, trusted: bool) -> Any:
            done = subprocess.run(
                [sys.executable, "-c", ASK, json.dumps([text, trusted])],
                env=hub.environment(tmp_path / "home", WITNESS=str(witness)),
                cwd=Path(__file__).parent.parent,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout.splitlines()[-1])

        for text, trusted in [(f"hf-hub:lab/own@{commit}", False), ("hf-hub:lab/own", True)]:
            error = ask(text, trusted)["error"]
            assert "--fm-trust-remote-code and the full commit" in error
        assert not witness.exists(), "the code ran"
        answer = ask(f"hf-hub:lab/own@{commit}", True)
    assert witness.exists()
    assert answer["shape"] == [2, 16]
    assert set(answer["files"]) == {path.name for path in folder.iterdir()}
