"""Networks at other sizes of images than 224 px, and at other sizes than that of their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from loopback_hub import write_tiny_vit
from prepared_models import load_timm, load_transformers
from safetensors.torch import load_file
from tiny_models import SMALL, edit_json, write_tiny_transformers

from pathorob_checks.errors import ModelError


def change_timm(folder: Path, arguments: dict[str, Any], **preprocessing: Any) -> None:
    """Change a timm config's arguments, and its preprocessing; None takes an argument away."""
    config = json.loads((folder / "config.json").read_text())
    given = {**config["model_args"], **arguments}
    edit_json(
        folder / "config.json",
        model_args={key: value for key, value in given.items() if value is not None},
        pretrained_cfg={**config["pretrained_cfg"], **preprocessing},
    )


@pytest.fixture
def vit_518(tmp_path: Path) -> Path:
    return write_tiny_vit(
        tmp_path / "vit", architecture="vit_base_patch14_dinov2", img_size=518, patch_size=14
    )


@pytest.mark.parametrize("size", [256, 384, 448, 518])
def test_a_timm_model_embeds_at_the_size_of_its_weights(tmp_path: Path, size: int) -> None:
    patch = 14 if size % 14 == 0 else 16
    folder = write_tiny_vit(tmp_path / "vit", img_size=size, patch_size=patch)
    model = load_timm(folder)
    assert (model.dimension, model.description["notes"]) == (96, [])
    assert model.description["preprocessing"]["size"] == [size, size]  # type: ignore[index]


def test_weights_of_518_px_embed_224_px_where_the_config_makes_the_size_dynamic(vit_518: Path) -> None:
    import timm
    from timm.models.vision_transformer import checkpoint_filter_fn

    change_timm(vit_518, {"dynamic_img_size": True}, input_size=[3, 224, 224])
    model = load_timm(vit_518)
    assert model.description["preprocessing"]["size"] == [224, 224]  # type: ignore[index]
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    # timm resamples the position embeddings when it loads them into a network of the smaller size.
    config = json.loads((vit_518 / "config.json").read_text())
    fixed: Any = timm.create_model(
        config["architecture"], **{**config["model_args"], "img_size": 224, "dynamic_img_size": False}
    ).eval()
    fixed.load_state_dict(checkpoint_filter_fn(load_file(vit_518 / "model.safetensors"), fixed))
    assert fixed.pos_embed.shape[1] == 1 + 16 * 16
    with torch.inference_mode():
        tokens = fixed.forward_features(images)
    expected = torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)
    torch.testing.assert_close(model.embed(images), expected)


@pytest.mark.parametrize(
    ("arguments", "preprocessing"),
    [
        ({"img_size": 224}, {}),
        ({"img_size": 224, "dynamic_img_size": True}, {"input_size": [3, 224, 224]}),
        ({"img_size": None}, {"input_size": [3, 224, 224], "fixed_input_size": True}),
    ],
)
def test_position_embeddings_of_another_size_are_refused_with_what_to_state(
    vit_518: Path, arguments: dict[str, Any], preprocessing: dict[str, Any]
) -> None:
    change_timm(vit_518, arguments, **preprocessing)
    message = (
        r"other shapes for pos_embed; give model_args the img_size of the weights, and dynamic_img_size for "
        r"images of another size\."
    )
    with pytest.raises(ModelError, match=message):
        load_timm(vit_518)


def test_other_misfits_beside_them_have_the_usual_remedy(vit_518: Path) -> None:
    change_timm(vit_518, {"img_size": 224, "reg_tokens": 2})
    with pytest.raises(ModelError, match=r"save weights and config\.json from the same model"):
        load_timm(vit_518)


@pytest.mark.parametrize("model_type", ["vit", "dinov2", "clip"])
def test_a_transformers_model_embeds_at_the_size_of_its_processor_and_says_so(
    tmp_path: Path, model_type: str
) -> None:
    """Its position embeddings are resampled by transformers, as with `interpolate_pos_encoding`."""
    transformers: Any = pytest.importorskip("transformers")
    from test_transformers_model import CLIP

    large: dict[str, Any] = {"image_size": 112}
    config = {**CLIP, "vision_config": {**CLIP["vision_config"], **large}} if model_type == "clip" else large
    folder = write_tiny_transformers(tmp_path / "model", model_type, **config)
    model = load_transformers(folder)
    assert model.description["preprocessing"]["size"] == [56, 56]  # type: ignore[index]
    (note,) = model.description["notes"]  # type: ignore[misc]
    assert "has position embeddings for images of 112 px, which are resampled for 56 px" in note
    images = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(2))
    by_hand = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    more = {} if model_type == "dinov2" else {"interpolate_pos_encoding": True}
    with torch.inference_mode():
        if model_type == "clip":
            expected = by_hand.get_image_features(pixel_values=images, **more).pooler_output
        else:
            tokens = by_hand(pixel_values=images, **more).last_hidden_state
            expected = torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)
    torch.testing.assert_close(model.embed(images), expected)


def test_nothing_is_said_where_the_sizes_are_one(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_transformers(tmp_path / "model", "vit", **SMALL)
    assert load_transformers(folder).description["notes"] == []
