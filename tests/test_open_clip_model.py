"""The image part of open_clip's models: from files alone, with the library's own numbers."""

from __future__ import annotations

import importlib.util
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from prepared_models import prepare_folder, prepare_spec
from safetensors.torch import load_file, save_file
from tiny_models import edit_json, hub_of_folders, write_tiny_transformers
from tiny_open_clip import PREPROCESSING, RESNET, TIMM, VIT, write_open_clip
from tiny_recipes import make_recipe

from pathorob_checks.errors import ModelError
from pathorob_checks.models import recipes as table
from pathorob_checks.models.loading import files_of, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec

installed = pytest.mark.skipif(
    importlib.util.find_spec("open_clip") is None,
    reason="open_clip is not installed: pip install 'open-clip-torch>=3.0'",
)
pytestmark = installed

WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_open_clip(tmp_path / "clip")
    return tmp_path / "clip"


def load(folder: Path, **settings: Any) -> Any:
    return prepare_folder(folder, **settings).load()


@pytest.mark.parametrize(
    ("vision", "model"),
    [
        (VIT, {}),
        (VIT, {"quick_gelu": True}),
        (VIT, {"custom_text": True}),
        (
            {**VIT, "output_tokens": True, "attentional_pool": True, "attn_pooler_heads": 2},
            {"custom_text": True},
        ),
        (RESNET, {}),
        (TIMM, {"custom_text": True}),
    ],
    ids=["vit", "quick-gelu", "own-text", "tokens", "resnet", "timm"],
)
@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickle"])
def test_the_embedding_is_encode_image_without_normalization(
    tmp_path: Path, vision: dict[str, Any], model: dict[str, Any], pickled: bool
) -> None:
    by_hand = write_open_clip(tmp_path / "clip", vision, pickled=pickled, **model)
    side = vision["image_size"]
    images = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = by_hand.visual(images)
    expected = expected[0] if isinstance(expected, tuple) else expected
    ours = load(tmp_path / "clip")
    torch.testing.assert_close(ours.embed(images), expected)
    assert (ours.dimension, ours.description["pooling"], ours.description["notes"]) == (24, "pooled", [])
    assert ours.description["library"] == "open_clip"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resize_mode": "squash"},
        {"resize_mode": "longest", "fill_color": 255},
        {"interpolation": "bilinear"},
    ],
)
def test_preprocessing_is_the_librarys(tmp_path: Path, changes: dict[str, Any]) -> None:
    import open_clip

    write_open_clip(tmp_path / "clip", preprocessing={**PREPROCESSING, **changes})
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    theirs: Any = open_clip.image_transform(
        64,
        is_train=False,
        mean=tuple(PREPROCESSING["mean"]),
        std=tuple(PREPROCESSING["std"]),
        resize_mode=changes.get("resize_mode", "shortest"),
        interpolation=changes.get("interpolation", "bicubic"),
        fill_color=changes.get("fill_color", 0),
    )
    assert torch.equal(load(tmp_path / "clip").preprocess(image), theirs(image))


def test_what_a_config_leaves_to_the_library_is_a_note(tmp_path: Path) -> None:
    write_open_clip(tmp_path / "clip", preprocessing={"mean": [0.5, 0.5, 0.5]})
    (note,) = load(tmp_path / "clip").description["notes"]
    assert "does not give its std, interpolation, resize_mode: the defaults of open_clip are used" in note


def test_the_text_part_decides_nothing(clip: Path) -> None:
    before = load(clip).embed(torch.ones(1, 3, 64, 64))
    weights = load_file(clip / WEIGHTS)
    save_file({name: held for name, held in weights.items() if name.startswith("visual.")}, clip / WEIGHTS)
    assert torch.equal(load(clip).embed(torch.ones(1, 3, 64, 64)), before)


def test_a_checkpoint_of_training_is_read_by_its_key_and_prefix(clip: Path) -> None:
    before = load(clip).embed(torch.ones(1, 3, 64, 64))
    weights = load_file(clip / WEIGHTS)
    (clip / WEIGHTS).unlink()
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": held for name, held in weights.items()}},
        clip / "epoch_3.pt",
    )
    for stated in ({}, {"checkpoint_key": "state_dict", "checkpoint_prefixes": ("module.",)}):
        assert torch.equal(load(clip, **stated).embed(torch.ones(1, 3, 64, 64)), before)


def without(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        save_file({key: held for key, held in weights.items() if key != name}, folder / WEIGHTS)

    return change


def with_more(name: str, *shape: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        save_file({**load_file(folder / WEIGHTS), name: torch.zeros(shape)}, folder / WEIGHTS)

    return change


def with_model(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        edit_json(folder / CONFIG, model_cfg={**config["model_cfg"], **values})

    return change


def with_vision(**values: Any) -> Callable[[Path], None]:
    return with_model(vision_cfg={**VIT, **values})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("visual.proj"), "lacks visual.proj"),
        (with_more("visual.more", 2), "has unexpected visual.more"),
        (with_more("adapter.weight", 2), "has unexpected adapter.weight"),
        (with_more("visual.positional_embedding", 5, 48), "other shapes for visual.positional_embedding"),
        (with_vision(patch_size=8), "other shapes for"),
        (with_vision(layers=10_000), "larger network than its weights"),
        (with_vision(image_size=900_000), "larger network than its weights"),
        (with_vision(image_size=900_000, pos_embed_type="sin_cos_2d"), "larger network than its weights"),
        (with_vision(width="wide"), "open_clip cannot build the image part"),
        (with_vision(checkpoint="x"), r"has vision_cfg\.checkpoint 'x', which open_clip cannot use"),
        (
            with_vision(timm_model_name="hf-hub:lab/other"),
            r"has vision_cfg\.timm_model_name 'hf-hub:lab/other'",
        ),
        (with_vision(timm_model_name="no_such_network"), "open_clip cannot build the image part"),
        (with_model(embed_dim=None), "has embed_dim None"),
        (with_model(vision_cfg=[]), r"has vision_cfg \[\]"),
        (lambda folder: edit_json(folder / CONFIG, model_cfg=3), "has model_cfg 3"),
        (
            lambda folder: edit_json(folder / CONFIG, preprocess_cfg={"std": [0, 1, 1]}),
            r"preprocess_cfg\.std",
        ),
        (
            lambda folder: edit_json(folder / CONFIG, preprocess_cfg={"mean": 0.5}),
            r"preprocess_cfg\.mean 0\.5",
        ),
        (
            lambda folder: (folder / CONFIG).write_text("<html>"),
            r"open_clip_config\.json of .* is a web page",
        ),
        (lambda folder: (folder / CONFIG).write_text("[]"), "is not a JSON object"),
        (lambda folder: (folder / WEIGHTS).unlink(), r"has no weights \(open_clip_model\.safetensors"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"x"), "damaged"),
    ],
)
def test_files_that_make_no_model_are_an_error_of_one_sentence(
    clip: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(clip)
    with pytest.raises(ModelError, match=message) as caught:
        load(clip)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pooling", ["clsmean", "cls", "mean"])
def test_there_is_no_pooling_of_tokens(clip: Path, pooling: str) -> None:
    with pytest.raises(ModelError, match="for this model choose --fm-pooling=pooled"):
        load(clip, pooling=pooling)


@pytest.mark.parametrize("change", [CONFIG, WEIGHTS])
def test_whatever_changes_the_embedding_changes_the_identity(clip: Path, change: str) -> None:
    before = prepare_folder(clip).identity
    assert before["library"] == "open_clip"
    assert "open-clip-torch" in before["versions"]  # type: ignore[operator]
    if change == CONFIG:
        edit_json(clip / CONFIG, preprocess_cfg={**PREPROCESSING, "interpolation": "bilinear"})
    else:
        with_more("visual.proj", 48, 24)(clip)
    assert prepare_folder(clip).identity != before


def test_a_repository_gives_its_config_and_weights_alone(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clip / "tokenizer.json").write_text("{}")
    (clip / "pytorch_model.bin").write_bytes(b"of another library")
    fetched = hub_of_folders(monkeypatch, {"lab/clip": clip})
    resolved = resolve(parse_spec("hf-hub:lab/clip"), "fm")
    assert files_of(resolved, ModelSettings()) == [CONFIG, WEIGHTS]
    fetched.clear()
    prepared = prepare_spec("hf-hub:lab/clip")
    assert set(fetched) == {CONFIG, WEIGHTS}
    assert any("pytorch_model.bin" in note for note in prepared.notes)


def test_config_json_decides_where_both_are_there(clip: Path) -> None:
    pytest.importorskip("transformers")
    write_tiny_transformers(clip, "vit")
    assert load(clip).description["library"] == "transformers"


def recipe_of_clip(**values: Any) -> table.Recipe:
    row: dict[str, Any] = {
        "library": "open_clip",
        "architecture": "ViT-B-32",
        "model_args": {},
        "pooling": "pooled",
        "class_tokens": 0,
        "native_dimension": 24,
        "dimension": 24,
    }
    return make_recipe(**{**row, **values})


@pytest.fixture
def served(clip: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[table.Recipe], Any]:
    def serve(recipe: table.Recipe) -> Any:
        hub_of_folders(monkeypatch, {recipe.repo: clip})
        monkeypatch.setattr(table, "recipe_for_repository", lambda repo: recipe)
        return prepare_spec(f"hf-hub:{recipe.repo}").load()

    return serve


def test_a_recipe_reads_open_clips_files_though_config_json_is_another_librarys(
    clip: Path, served: Callable[[table.Recipe], Any]
) -> None:
    (clip / "config.json").write_text('{"model_type": "clip"}')
    (clip / "model.safetensors").write_bytes(b"of another library")
    model = served(recipe_of_clip())
    assert model.description["library"] == "open_clip"
    assert model.preprocess(Image.new("RGB", (90, 120))).shape == (3, 64, 64)
    assert any(
        "has mean 0.48/0.45/0.4; the recipe's 0.5/0.5/0.5 is used" in note
        for note in model.description["notes"]
    )


def test_without_a_config_the_recipes_architecture_is_built(
    clip: Path, monkeypatch: pytest.MonkeyPatch, served: Callable[[table.Recipe], Any]
) -> None:
    from open_clip import factory

    config = json.loads((clip / CONFIG).read_text())["model_cfg"]
    (clip / CONFIG).unlink()
    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-tiny", config)
    model = served(recipe_of_clip(architecture="ViT-tiny"))
    assert (model.dimension, model.description["notes"]) == (24, [])
    with pytest.raises(ModelError, match="architecture 'ViT-none', which is not in open_clip"):
        served(recipe_of_clip(architecture="ViT-none"))


def test_a_missing_library_is_named_with_its_requirement(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "open_clip" else find(name))
    with pytest.raises(
        ModelError,
        match=r"open_clip, which is not installed; .*pip install 'open-clip-torch>=3\.0'",
    ):
        prepare_folder(clip)
