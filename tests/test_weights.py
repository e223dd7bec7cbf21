"""Files of weights: which is taken, what is read from it without running code, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from loopback_hub import write_tiny_vit
from safetensors.torch import load_file, save_file
from tiny_models import shard

from pathorob_checks.errors import ModelError
from pathorob_checks.models.loading import ModelSettings, prepare, resolve
from pathorob_checks.models.spec import parse_spec
from pathorob_checks.models.weights import choose_weights, misfits, read_weights, shards_of, unwrapped


def embedding_of(folder: Path) -> torch.Tensor:
    resolved = resolve(parse_spec(f"local-dir:{folder}"), "fm")
    model = prepare(resolved, ModelSettings(device="cpu")).load()
    return model.embed(torch.ones(1, 3, 64, 64))


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return write_tiny_vit(tmp_path / "vit")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["config.json", "pytorch_model.bin", "model.safetensors"], "model.safetensors"),
        (["pytorch_model.bin", "model.safetensors.index.json"], "model.safetensors.index.json"),
        (["slide_encoder.pth", "pytorch_model.bin"], "pytorch_model.bin"),
        (["GPFM.pth"], "GPFM.pth"),
        (["a.pth", "weights.safetensors"], "weights.safetensors"),
        (["old/a.pth", "b.pth"], "b.pth"),
    ],
)
def test_standard_names_come_first_and_safetensors_before_pickles(names: list[str], chosen: str) -> None:
    assert choose_weights(names, "lab/model") == chosen


def test_a_file_that_a_recipe_names_comes_before_all() -> None:
    assert choose_weights(["model.safetensors", "best.pth"], "lab/model", "best.pth") == "best.pth"
    assert choose_weights(["model.safetensors"], "lab/model", "best.pth") == "model.safetensors"


def test_without_a_single_candidate_there_is_no_choice() -> None:
    with pytest.raises(ModelError, match="has no weights"):
        choose_weights(["config.json", "README.md"], "lab/model")
    with pytest.raises(ModelError, match=r"several files of weights \(a.pth, b.pth\)"):
        choose_weights(["b.pth", "a.pth"], "lab/model")


def test_shards_hold_what_the_whole_file_held(vit: Path) -> None:
    before = embedding_of(vit)
    whole = load_file(vit / "model.safetensors")
    paths = shard(vit)
    assert shards_of(vit / "model.safetensors.index.json", "vit") == [path.name for path in paths]
    parts = read_weights(paths, "vit")
    assert parts.keys() == whole.keys()
    assert torch.equal(embedding_of(vit), before)


def test_a_missing_shard_is_named(vit: Path) -> None:
    shard(vit)[1].unlink()
    with pytest.raises(ModelError, match=r"has no model-00002-of-00002\.safetensors"):
        embedding_of(vit)


def test_a_tensor_in_two_shards_is_refused(vit: Path) -> None:
    first, second = shard(vit)
    save_file({**load_file(second), **load_file(first)}, second)
    with pytest.raises(ModelError, match="twice"):
        embedding_of(vit)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "/etc/secret.safetensors",
        "a/../../secret.safetensors",
        "..\\secret.safetensors",
        "C:secret.safetensors",
    ],
)
def test_an_index_cannot_name_a_file_elsewhere(vit: Path, name: str) -> None:
    save_file(load_file(vit / "model.safetensors"), vit.parent / "secret.safetensors")
    (vit / "model.safetensors").unlink()
    (vit / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"norm.weight": name}}))
    with pytest.raises(ModelError, match="lies outside of the model's folder"):
        embedding_of(vit)


@pytest.mark.parametrize("content", ["<html>", "[]", '{"weight_map": {}}', '{"weight_map": {"a": 1}}'])
def test_an_invalid_index_is_refused(vit: Path, content: str) -> None:
    (vit / "model.safetensors").unlink()
    (vit / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelError, match="is not an index of weights"):
        embedding_of(vit)


def test_an_index_of_safetensors_cannot_bring_in_a_pickle(vit: Path) -> None:
    (vit / "model.safetensors").unlink()
    (vit / "model.safetensors.index.json").write_text('{"weight_map": {"norm.weight": "own.bin"}}')
    with pytest.raises(ModelError, match=r"'own\.bin', which is not a safetensors file"):
        embedding_of(vit)


@pytest.mark.parametrize("key", [None, "state_dict", "model", "teacher"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_a_checkpoint_of_training_gives_its_network(vit: Path, key: str | None, prefix: str) -> None:
    before = embedding_of(vit)
    weights = {prefix + name: tensor for name, tensor in load_file(vit / "model.safetensors").items()}
    torch.save({key: weights, "epoch": 3} if key else weights, vit / "checkpoint.pth")
    (vit / "model.safetensors").unlink()
    assert torch.equal(embedding_of(vit), before)


def test_the_heads_of_training_are_left_behind_with_the_wrapper() -> None:
    one = torch.ones(1)
    training = {"module.backbone.norm.weight": one, "module.dino_head.mlp.0.weight": one}
    assert unwrapped(training, {"norm.weight"}).keys() == {"norm.weight"}
    # Something of the network outside of the wrapper: no guess is made.
    odd = {"backbone.norm.weight": one, "neck.weight": one}
    assert unwrapped(odd, {"norm.weight"}) == odd
    # A network whose own names start like that keeps them.
    assert unwrapped(training, {"backbone.norm.weight"}).keys() == {
        "backbone.norm.weight",
        "dino_head.mlp.0.weight",
    }


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_a_pickle_with_code_is_refused_and_does_not_run(vit: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    torch.save({"state_dict": {}, "extra": Malicious(witness)}, vit / "pytorch_model.bin")
    torch.load(vit / "pytorch_model.bin", weights_only=False)
    assert witness.is_dir(), "the pickle is harmless: nothing would be proven"
    witness.rmdir()
    (vit / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"could run code; .* convert it to model\.safetensors"):
        embedding_of(vit)
    assert not witness.exists()


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"PK\x03\x04 cut"])
def test_a_damaged_pickle_is_refused(vit: Path, content: bytes) -> None:
    (vit / "pytorch_model.bin").write_bytes(content)
    (vit / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="is damaged"):
        embedding_of(vit)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(1)], {"model": {"a": 1}}])
def test_a_pickle_without_a_state_dict_is_refused(vit: Path, content: Any) -> None:
    torch.save(content, vit / "pytorch_model.bin")
    (vit / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no state dict"):
        embedding_of(vit)


def test_names_of_the_original_code_are_translated_by_timm(tmp_path: Path) -> None:
    """DINOv2's own names for registers and its mask token, as in checkpoints that were never converted."""
    folder = write_tiny_vit(
        tmp_path / "registers", architecture="vit_small_patch14_reg4_dinov2", img_size=56, num_classes=0
    )
    resolved = resolve(parse_spec(f"local-dir:{folder}"), "fm")
    blank = torch.ones(1, 3, 56, 56)
    before = prepare(resolved, ModelSettings(device="cpu")).load().embed(blank)
    weights = load_file(folder / "model.safetensors")
    width = weights["cls_token"].shape[-1]
    positions = torch.cat([torch.zeros(1, 1, width), weights.pop("pos_embed")], 1)
    # The original adds a position to the class token, which timm's architecture has no place for.
    weights |= {"register_tokens": weights.pop("reg_token"), "mask_token": torch.zeros(1, width)}
    weights["pos_embed"] = positions
    save_file(weights, folder / "model.safetensors")
    after = prepare(resolved, ModelSettings(device="cpu")).load().embed(blank)
    torch.testing.assert_close(after, before)


def test_left_over_weights_of_a_head_are_a_difference_only_where_there_is_a_head() -> None:
    network, more = {"norm.weight": torch.ones(2)}, {"head.weight": torch.ones(3)}
    assert misfits(network, {**network, **more}, headless=True) is None
    assert misfits(network, {**network, **more}) == "has unexpected head.weight"
    assert misfits(network, {**network, "neck.weight": torch.ones(1)}, headless=True) is not None
    many = {f"blocks.{number}.bias": torch.ones(1) for number in range(9)}
    assert misfits(many, {}) == "lacks blocks.0.bias, blocks.1.bias, blocks.2.bias and 6 more"


def test_a_model_of_another_size_is_not_resampled_to_fit(tmp_path: Path) -> None:
    """timm would stretch the positions; an embedding of such a model is not the benchmark's."""
    folder, other = write_tiny_vit(tmp_path / "a"), write_tiny_vit(tmp_path / "b", img_size=96)
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="has other shapes for pos_embed"):
        embedding_of(folder)
