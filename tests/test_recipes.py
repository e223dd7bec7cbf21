"""The table of recipes: it is consistent, and its models can be built as described."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError
from tiny_recipes import make_recipe, write_recipe_model

from pathorob_checks.errors import ModelError
from pathorob_checks.models import timm_model
from pathorob_checks.models.layers import ConvStem, with_layers
from pathorob_checks.models.recipes import Recipe, recipe_for_repository, recipes
from pathorob_checks.models.repository import ModelFiles
from pathorob_checks.models.spec import parse_spec, recipe_repositories
from pathorob_checks.models.timm_model import TimmModel

TIMM = [recipe for recipe in recipes().values() if recipe.library == "timm"]
TRANSFORMERS = [recipe for recipe in recipes().values() if recipe.library == "transformers"]
PACKAGES = [recipe for recipe in recipes().values() if recipe.library == "package"]


def by_name(recipe: Recipe) -> str:
    return recipe.name


def test_the_table_has_the_fields_foundation_models_and_a_control() -> None:
    assert len(recipes()) >= 30
    for name in ("virchow2", "uni2-h", "h-optimus-0", "phikon-v2", "midnight-12k", "conch-v1.5", "dinov2-b"):
        assert name in recipes()
    assert len({recipe.repo for recipe in recipes().values()}) == len(recipes())


def test_the_parser_of_specs_knows_exactly_the_recipes() -> None:
    expected = {recipe.name: (recipe.repo, recipe.revision) for recipe in recipes().values()}
    assert recipe_repositories() == expected
    for recipe in recipes().values():
        assert parse_spec(recipe.name).kind == "recipe"
        assert parse_spec(f"hf-hub:{recipe.repo}").target == recipe.repo
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", recipe.name)


@pytest.mark.parametrize("recipe", recipes().values(), ids=by_name)
def test_a_recipe_cannot_be_changed_and_has_a_json_like_identity(recipe: Recipe) -> None:
    with pytest.raises(ValidationError):
        recipe.pooling = "mean"
    identity = recipe.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert "license" not in identity


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "red"},
        {"dimension": 48},
        {"class_tokens": 0},
        {"architecture": None},
        {"package": "conch"},
        {"pooling": "max"},
        {"revision": "main"},
        {"revision": "0" * 40},
        {"weights_sha256": "0" * 64},
        {"mirrors": ["lab/tiny-mirror"]},
        {"requirements": ["transformers <> 5"]},
        {"choices": {"colour": "it is red"}},
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    make_recipe()
    with pytest.raises(ValidationError):
        make_recipe(**wrong)


def check_tokens(recipe: Recipe, tokens: torch.Tensor, layout: Any, size: int) -> None:
    assert layout.class_token
    assert layout.prefix_tokens == recipe.prefix_tokens
    rows, columns = layout.grid(size, size)
    assert tuple(tokens.shape) == (1, recipe.prefix_tokens + rows * columns, recipe.native_dimension)


@pytest.mark.parametrize("recipe", TIMM, ids=by_name)
def test_timm_builds_what_the_recipe_describes(recipe: Recipe) -> None:
    """On torch's meta device: shapes without memory."""
    with torch.device("meta"):
        model = timm_model.build(None, recipe, recipe.repo).eval()
        size = recipe.preprocessing.size or model.pretrained_cfg["input_size"][-1]
        features = model.forward_features(torch.zeros(1, 3, size, size))
    if recipe.pooling == "pooled":
        pooled = model.forward_head(features, pre_logits=True)
        assert tuple(pooled.shape) == (1, recipe.dimension)
        assert recipe.prefix_tokens == 0
    else:
        check_tokens(recipe, features, timm_model.layout_of(model), size)


@pytest.mark.parametrize("recipe", [r for r in TRANSFORMERS if not r.remote_code], ids=by_name)
def test_transformers_builds_what_the_recipe_describes(recipe: Recipe) -> None:
    transformers = pytest.importorskip("transformers")
    from pathorob_checks.models import transformers_model

    size = recipe.preprocessing.size
    assert size is not None
    assert recipe.model_type is not None
    with torch.device("meta"):
        config = transformers_model.build_config(recipe.model_type, recipe.config_args, recipe.repo)
        model = transformers.MODEL_MAPPING[type(config)](config)
        images = torch.zeros(1, 3, size, size)
        if recipe.pooling == "pooled":
            features = model.get_image_features(pixel_values=images)
            pooled = getattr(features, "pooler_output", features)
            assert tuple(pooled.shape) == (1, recipe.dimension)
        else:
            tokens = model(pixel_values=images).last_hidden_state
            check_tokens(recipe, tokens, transformers_model.layout_of(model, config, recipe), size)


def test_the_layers_that_recipes_name_exist() -> None:
    arguments = with_layers({"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU", "depth": 3})
    assert arguments["act_layer"] is torch.nn.SiLU
    assert arguments["depth"] == 3
    with pytest.raises(ModelError, match="uses the unknown layer Sigmoidal"):
        with_layers({"act_layer": "Sigmoidal"})


def built(folder: Path, recipe: Recipe, **settings: Any) -> TimmModel:
    files = ModelFiles("lab/tiny", "timm", None, None, (folder / "model.safetensors",))
    return TimmModel(files, identity={}, recipe=recipe, **settings)


def test_the_recipe_alone_builds_a_model_whose_repository_has_no_config(tmp_path: Path) -> None:
    recipe = make_recipe(registers=2, model_args={**make_recipe().model_args, "reg_tokens": 2})
    by_hand: Any = write_recipe_model(tmp_path, recipe)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        tokens = by_hand.forward_features(images)
    model = built(tmp_path, recipe)
    expected = torch.cat([tokens[:, 0], tokens[:, 3:].mean(1)], 1)
    torch.testing.assert_close(model.embed(images), expected)
    assert model.description["recipe"] == "tiny"
    assert model.description["notes"] == []


def test_the_convolutional_stem_fits_timms_swin(tmp_path: Path) -> None:
    small = {"img_size": 64, "depths": (1, 1), "num_heads": (2, 2), "embed_dim": 24, "window_size": 4}
    recipe = make_recipe(
        architecture="swin_tiny_patch4_window7_224",
        model_args={**small, "num_classes": 0, "embed_layer": "ConvStem"},
        pooling="pooled",
        class_tokens=0,
        dimension=48,
    )
    by_hand: Any = write_recipe_model(tmp_path, recipe)
    assert isinstance(by_hand.patch_embed, ConvStem)
    stem = {key.removeprefix("patch_embed.") for key in by_hand.state_dict() if "patch_embed" in key}
    assert {key for key in stem if key.startswith("proj") and "num_batches" not in key} == {
        "proj.0.weight",
        *(f"proj.1.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
        "proj.3.weight",
        *(f"proj.4.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
        "proj.6.weight",
        "proj.6.bias",
    }
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = by_hand.forward_features(images).mean((1, 2))
    model = built(tmp_path, recipe)
    torch.testing.assert_close(model.embed(images), expected)
    assert model.description["pooling"] == "pooled"


def test_a_recipes_pooling_that_the_model_does_not_support_is_an_error(tmp_path: Path) -> None:
    """Unlike a default, it is not replaced by the model's own pooled output."""
    recipe = make_recipe(architecture="resnet10t", model_args={"num_classes": 0})
    write_recipe_model(tmp_path, recipe)
    with pytest.raises(ModelError, match="no class or patch tokens for pooling clsmean"):
        built(tmp_path, recipe)


def test_without_a_config_missing_preprocessing_is_an_error(tmp_path: Path) -> None:
    values = make_recipe().preprocessing.model_dump()
    recipe = make_recipe(preprocessing={**values, "interpolation": None})
    write_recipe_model(tmp_path, recipe)
    with pytest.raises(ModelError, match="give the preprocessing's interpolation"):
        built(tmp_path, recipe)


def test_a_model_that_differs_from_its_recipe_gets_a_note(tmp_path: Path) -> None:
    write_recipe_model(tmp_path, make_recipe())
    notes = cast("list[str]", built(tmp_path, make_recipe(registers=4)).description["notes"])
    assert any("1 prefix token, but its recipe tiny expects 5" in note for note in notes)
    wide = make_recipe(native_dimension=64, dimension=128)
    notes = cast("list[str]", built(tmp_path, wide).description["notes"])
    assert any("96 columns, but its recipe tiny expects 128" in note for note in notes)
    assert built(tmp_path, wide, pooling="cls").description["notes"] == []


def test_a_repository_is_recognized_in_any_case() -> None:
    assert recipe_for_repository("mahmoodlab/UNI2-H") is recipes()["uni2-h"]
    assert recipe_for_repository("mahmoodlab/CONCHv1_5") is recipes()["conch-v1.5"]
    assert recipe_for_repository("timm/vit_tiny") is None


COMMERCIAL = {True: "yes", False: "no", None: "uncertain"}


def page_row(recipe: Recipe) -> str:
    cells = (
        f"`{recipe.name}`",
        recipe.repo,
        recipe.revision[:12] if recipe.revision else "not pinned",
        recipe.pooling,
        f"{recipe.dimension:,}",
        recipe.license,
        COMMERCIAL[recipe.commercial],
        "yes" if recipe.gated else "no",
        recipe.library + (", remote code" if recipe.remote_code else ""),
    )
    return f"| {' | '.join(cells)} |"


def test_the_user_page_has_the_table_of_recipes() -> None:
    page = (Path(__file__).parent.parent / "docs" / "models.md").read_text(encoding="utf-8")
    lines = page.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| recipe | hub id |")) + 2
    end = next(number for number in range(start, len(lines)) if not lines[number])
    assert lines[start:end] == [page_row(recipe) for recipe in recipes().values()]
    for recipe in PACKAGES:
        assert f"### {recipe.name}" in page
