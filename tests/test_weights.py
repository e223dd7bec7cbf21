"""Files of weights: which is taken, what is read from it without running code, what is refused."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from loopback_hub import write_tiny_vit
from safetensors.torch import load_file, save_file
from tiny_models import shard

from pathorob_checks.errors import ModelError
from pathorob_checks.models.checkpoints import Checkpoint, read_checkpoint
from pathorob_checks.models.loading import prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec
from pathorob_checks.models.tensor_names import unwrapped
from pathorob_checks.models.weights import choose_weights, misfits, shards_of


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
    parts = read_checkpoint(paths, "vit").weights
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
@pytest.mark.parametrize("prefix", ["", "module.", "module.backbone."])
def test_a_checkpoint_of_training_gives_its_network(vit: Path, key: str | None, prefix: str) -> None:
    before = embedding_of(vit)
    weights = {prefix + name: tensor for name, tensor in load_file(vit / "model.safetensors").items()}
    torch.save({key: weights, "epoch": 3} if key else weights, vit / "checkpoint.pth")
    (vit / "model.safetensors").unlink()
    assert torch.equal(embedding_of(vit), before)


def test_the_heads_of_training_are_left_behind_with_the_wrapper() -> None:
    one = torch.ones(1)
    training = {"module.backbone.norm.weight": one, "module.dino_head.mlp.0.weight": one}
    assert names_of(training, {"norm.weight"}) == {"norm.weight"}
    # Something of the network outside of the wrapper: no guess is made.
    odd = {"backbone.norm.weight": one, "neck.weight": one}
    assert names_of(odd, {"norm.weight"}) == odd.keys()
    # A network whose own names start like that keeps them.
    assert names_of(training, {"backbone.norm.weight"}) == {"backbone.norm.weight", "dino_head.mlp.0.weight"}


@pytest.mark.parametrize(
    "prefix",
    [
        "model.",
        "_orig_mod.module.",
        "teacher.backbone.",
        "base_model.model.",
        "a.module.b.encoder.",
        "trunk.",
    ],
)
@pytest.mark.parametrize("old", ["", "old_"])
def test_one_prefix_of_all_names_is_stripped_and_said(prefix: str, old: str) -> None:
    network = {"cls_token", *(f"{old}blocks.{number}.weight" for number in range(9))}
    wrapped = {prefix + name: torch.ones(1) for name in network}
    heads = {"x.dino_head.weight": torch.ones(1), "head.bias": torch.ones(1)}
    expected = {name.removeprefix("old_") for name in network}
    checkpoint = unwrapped(Checkpoint({**wrapped, **heads}), expected, "lab/model")
    assert checkpoint.weights.keys() == network
    assert checkpoint.notes == (f"lab/model: '{prefix}' was stripped from the names in the checkpoint.",)


def test_of_several_networks_the_average_is_used_and_said() -> None:
    expected = [f"blocks.{number}.weight" for number in range(9)]

    def of(*prefixes: str) -> Checkpoint:
        weights = {p + name: torch.tensor(i) for i, p in enumerate(prefixes) for name in expected}
        return unwrapped(Checkpoint(weights), expected, "lab/model")

    for prefixes in (
        ("student.", "teacher."),
        ("student.backbone.", "teacher.backbone."),
        ("", "ema_model."),
    ):
        checkpoint = of(*prefixes)
        assert all(tensor == 1 for tensor in checkpoint.weights.values())
        assert f"'{prefixes[1]}', an average, is used" in checkpoint.notes[0]
    with pytest.raises(ModelError, match=r"several networks \('a\.', 'b\.'\)"):
        of("a.", "b.")


@pytest.mark.parametrize(
    ("raw", "average"), [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("model", "teacher")]
)
def test_averaged_weights_come_before_raw_ones_and_it_is_said(tmp_path: Path, raw: str, average: str) -> None:
    content = {raw: {"w": torch.zeros(1)}, average: {"w": torch.ones(1)}}
    torch.save(content, tmp_path / "a.pth")
    checkpoint = read_checkpoint([tmp_path / "a.pth"], "lab/model")
    assert checkpoint.weights["w"] == 1
    assert checkpoint.notes == (f"a.pth of lab/model holds '{average}', '{raw}': '{average}' is used.",)


@pytest.mark.parametrize(
    "name",
    [
        "adapter_config.json",
        "adapter_model.safetensors",
        "adapter_model.bin",
        "lora.pth",
        "model-lora.safetensors",
    ],
)
def test_an_adapter_beside_the_weights_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=rf"has an adapter \({name}\), which would be left out; merge it"):
        choose_weights(["config.json", "model.safetensors", name], "lab/model")


def test_other_files_of_weights_are_a_note(vit: Path) -> None:
    (vit / "tuned").mkdir()
    for name in ("pytorch_model.bin", "optimizer.pt", "tuned/adapter_model.safetensors"):
        (vit / name).write_bytes(b"")
    prepared = prepare(resolve(parse_spec(f"local-dir:{vit}"), "fm"), ModelSettings(device="cpu"))
    (note,) = prepared.notes
    assert note.endswith(
        "model.safetensors is used, and not pytorch_model.bin, tuned/adapter_model.safetensors."
    )


def names_of(weights: dict[str, torch.Tensor], expected: set[str]) -> set[str]:
    return set(unwrapped(Checkpoint(weights), expected, "lab/model").weights)


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


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused_before(vit: Path) -> None:
    torch.save({"w": torch.zeros(1 << 22)}, vit / "stored.pth")
    with (
        zipfile.ZipFile(vit / "stored.pth") as stored,
        zipfile.ZipFile(vit / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in stored.namelist():
            packed.writestr(entry, stored.read(entry))
    (vit / "stored.pth").unlink()
    (vit / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="declares 17 MB in a file of 0 MB"):
        embedding_of(vit)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("odd", ["stretched", "sparse", "meta", "quantized"])
def test_tensors_that_are_not_in_the_file_are_refused(tmp_path: Path, odd: str) -> None:
    tensor = {
        "stretched": torch.ones(1).expand(1 << 20, 1 << 20),
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.ones(9, device="meta"),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    }[odd]
    torch.save({"w": tensor}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"numbers of their own \(w\)|damaged"):
        read_checkpoint([tmp_path / "a.pth"], "lab/model")


@pytest.mark.parametrize(
    "header",
    [
        b'{"w":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}',
        b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,4]}}',
        b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b'{"w":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}',
        b'{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"w":' + b"[" * 100_000,
        b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    ],
    ids=["size", "offsets", "overlap", "type", "negative", "deep", "twice"],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ModelError, match=r"damaged|twice"):
        read_checkpoint([path], "lab/model")
    path.write_bytes((1 << 62).to_bytes(8, "little") + header)
    with pytest.raises(ModelError, match="damaged"):
        read_checkpoint([path], "lab/model")


def test_names_of_tensors_cannot_steer_a_terminal() -> None:
    message = misfits({}, {"\x1b]0;owned\x07" + "a" * 1000: torch.ones(1)})
    assert message is not None
    assert message.isprintable()
    assert len(message) < 200


def test_whole_numbers_are_no_weights() -> None:
    network, quantized = {"w": torch.ones(2)}, {"w": torch.ones(2, dtype=torch.int8)}
    assert misfits(network, quantized) == "has no floating-point numbers for w"


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
