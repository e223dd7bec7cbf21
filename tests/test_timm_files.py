"""The files of a timm model: errors in them, and the identity that they give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from loopback_hub import write_tiny_vit
from prepared_models import load_timm, prepare_folder
from safetensors.torch import load_file, save_file
from tiny_models import shard

from pathorob_checks.errors import ModelError
from pathorob_checks.models.repository import FolderSource
from pathorob_checks.models.timm_config import unstated


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return write_tiny_vit(tmp_path / "vit")


def damage_shape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["norm.weight"] = torch.ones(7)
    save_file(weights, folder / "model.safetensors")


def damage_keys(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["norm.gamma"] = weights.pop("norm.weight")
    save_file(weights, folder / "model.safetensors")


def damage_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_keys, r"lacks norm\.weight and has unexpected norm\.gamma"),
        (damage_shape, r"has other shapes for norm\.weight"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"not tensors"), "damaged"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(
                (folder / "model.safetensors").read_bytes()[:-100]
            ),
            "damaged",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json of .* cannot be read"),
        (lambda folder: (folder / "config.json").write_text('{"hidden_size": 48}'), "neither timm's"),
        (lambda folder: (folder / "config.json").write_text("<html>Sign in</html>"), "is a web page"),
        (lambda folder: damage_config(folder, architecture="vit_of_tomorrow"), "upgrade timm"),
        (lambda folder: damage_config(folder, model_args={"colour": "red"}), "is no argument of"),
        (lambda folder: damage_config(folder, model_args={"depth": 2, "embed_dim": "x"}), "cannot build"),
    ],
    ids=[
        "keys",
        "shape",
        "garbage",
        "cut",
        "no-weights",
        "no-config",
        "json",
        "neither",
        "page",
        "future",
        "arguments",
        "values",
    ],
)
def test_files_that_make_no_model_are_an_error_of_one_sentence(vit: Path, damage: Any, message: str) -> None:
    damage(vit)
    with pytest.raises(ModelError, match=message) as caught:
        load_timm(vit)
    assert "\n" not in str(caught.value)


def test_a_folder_of_many_files_is_not_searched_for_a_model(
    vit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathorob_checks.models.repository._MOST_FILES", 20)
    below = vit / "data"
    below.mkdir()
    for number in range(21):
        (below / str(number)).touch()
    with pytest.raises(ModelError, match=r"more than 20 files.*the folder with the model's config\.json"):
        load_timm(vit)


def test_a_link_that_leads_nowhere_is_no_file_of_a_model(vit: Path) -> None:
    (vit / "gone.safetensors").symlink_to("nowhere")
    load_timm(vit)
    assert "gone.safetensors" not in FolderSource("local-dir:vit", vit).names()


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        prepare_folder(tmp_path / "nowhere")


def test_the_same_files_elsewhere_have_the_same_identity(tmp_path: Path) -> None:
    here, there = write_tiny_vit(tmp_path / "here"), write_tiny_vit(tmp_path / "there")
    identity = prepare_folder(here).identity
    assert identity == prepare_folder(there).identity
    assert json.loads(json.dumps(identity)) == identity
    assert str(tmp_path) not in json.dumps(identity)


@pytest.mark.parametrize("change", ["weight", "config", "pooling", "precision"])
def test_whatever_changes_the_embedding_changes_the_identity(vit: Path, change: str) -> None:
    before, settings = prepare_folder(vit).identity, {}
    if change == "weight":
        weights = load_file(vit / "model.safetensors")
        weights["blocks.1.mlp.fc2.bias"][0] += 1e-3
        save_file(weights, vit / "model.safetensors")
    elif change == "config":
        damage_config(vit, note="other")
    else:
        settings = {"pooling": "cls"} if change == "pooling" else {"precision": "bf16"}
    assert prepare_folder(vit, **settings).identity != before


def test_a_changed_second_shard_changes_the_identity(vit: Path) -> None:
    shard(vit)
    before = prepare_folder(vit).identity
    second = vit / "model-00002-of-00002.safetensors"
    weights = load_file(second)
    weights["norm.bias"][0] += 1e-3
    save_file(weights, second)
    assert prepare_folder(vit).identity != before


def test_preparing_builds_no_network(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("a network was built")

    monkeypatch.setattr(timm, "create_model", refuse)
    model = prepare_folder(vit)
    with pytest.raises(ModelError, match="a network was built"):
        model.load()


@pytest.mark.parametrize("settings", [{"pooling": "max"}, {"precision": "fp8"}])
def test_settings_that_do_not_exist_are_refused_before_anything_is_built(
    vit: Path, settings: dict[str, str]
) -> None:
    with pytest.raises(ModelError, match="choose"):
        prepare_folder(vit, **settings)


def test_a_zero_leaves_a_value_to_timm_as_nothing_does() -> None:
    given = {"interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0}
    assert unstated({"pretrained_cfg": given}) == ("crop_pct",)
    assert unstated({"pretrained_cfg": {**given, "crop_pct": 0.9}}) == ()
