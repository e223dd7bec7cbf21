"""The table of recipes: it is sound, it builds, and a model gets what its recipe says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
import timm
import torch
from loopback_hub import write_tiny_vit
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file
from tiny_models import SMALL, edit_json, hub_of_folders, shard, write_tiny_transformers

from pathorob_checks.errors import ModelError
from pathorob_checks.models import timm_model
from pathorob_checks.models.layers import ConvStem, with_layers
from pathorob_checks.models.loading import (
    ModelSettings,
    PreparedModel,
    ResolvedModel,
    files_of,
    license_of,
    prepare,
    resolve,
)
from pathorob_checks.models.recipes import Recipe, recipe_for_repository, recipes
from pathorob_checks.models.repository import ModelFiles
from pathorob_checks.models.spec import parse_spec, recipe_repositories
from pathorob_checks.models.timm_model import TimmModel

COMMIT = "a" * 40
TIMM = [recipe for recipe in recipes().values() if recipe.library == "timm"]
TRANSFORMERS = [recipe for recipe in recipes().values() if recipe.library == "transformers"]
REMOTE = [recipe for recipe in recipes().values() if recipe.remote_code]
PACKAGES = [recipe for recipe in recipes().values() if recipe.library == "package"]


def by_name(recipe: Recipe) -> str:
    return recipe.name


def make_recipe(**values: Any) -> Recipe:
    """A recipe of a tiny timm model."""
    row: dict[str, Any] = {
        "name": "tiny",
        "repo": "lab/tiny",
        "library": "timm",
        "architecture": "vit_tiny_patch16_224",
        "model_args": {"img_size": 64, "depth": 1, "embed_dim": 48, "num_heads": 3, "num_classes": 0},
        "preprocessing": {
            "size": 64,
            "resize": 80,
            "crop": "center",
            "interpolation": "bicubic",
            "mean": (0.5, 0.5, 0.5),
            "std": (0.25, 0.25, 0.25),
        },
        "pooling": "clsmean",
        "class_tokens": 1,
        "native_dimension": 48,
        "dimension": 96,
        "license": "MIT",
        "commercial": True,
        "gated": False,
        "source": "this test",
    }
    return Recipe.model_validate({**row, **values})


def test_there_are_the_fields_foundation_models_and_a_control() -> None:
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
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    make_recipe()
    with pytest.raises(ValidationError):
        make_recipe(**wrong)


def check_tokens(recipe: Recipe, tokens: torch.Tensor, layout: Any) -> None:
    size = recipe.preprocessing.size
    assert size is not None
    assert layout.class_token
    assert layout.prefix_tokens == recipe.prefix_tokens
    rows, columns = layout.grid(size, size)
    assert tuple(tokens.shape) == (1, recipe.prefix_tokens + rows * columns, recipe.native_dimension)


@pytest.mark.parametrize("recipe", TIMM, ids=by_name)
def test_timm_builds_what_the_recipe_describes(recipe: Recipe) -> None:
    """On torch's meta device: shapes without memory."""
    size = recipe.preprocessing.size
    assert size is not None
    with torch.device("meta"):
        model = timm_model.build(None, recipe, recipe.repo).eval()
        features = model.forward_features(torch.zeros(1, 3, size, size))
    if recipe.pooling == "pooled":
        pooled = model.forward_head(features, pre_logits=True)
        assert tuple(pooled.shape) == (1, recipe.dimension)
        assert recipe.prefix_tokens == 0
    else:
        check_tokens(recipe, features, timm_model.layout_of(model))


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
            check_tokens(recipe, tokens, transformers_model.layout_of(model, config, recipe))


def test_the_layers_that_recipes_name_exist() -> None:
    arguments = with_layers({"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU", "depth": 3})
    assert arguments["act_layer"] is torch.nn.SiLU
    assert arguments["depth"] == 3
    with pytest.raises(ModelError, match="names the layer Sigmoidal"):
        with_layers({"act_layer": "Sigmoidal"})


def write_recipe_model(folder: Path, recipe: Recipe, **more: Any) -> torch.nn.Module:
    """Random weights of a recipe's network, without a config.json."""
    torch.manual_seed(0)
    arguments = with_layers({**recipe.model_args, **more})
    model: torch.nn.Module = timm.create_model(
        cast("str", recipe.architecture), pretrained=False, **arguments
    )
    folder.mkdir(exist_ok=True)
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    return model.eval()


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


def test_the_recipes_pooling_is_no_matter_of_guessing(tmp_path: Path) -> None:
    """A recipe whose model has other tokens than it says is an error, not a note."""
    recipe = make_recipe(architecture="resnet10t", model_args={"num_classes": 0})
    write_recipe_model(tmp_path, recipe)
    with pytest.raises(ModelError, match="no class or patch tokens for pooling clsmean"):
        built(tmp_path, recipe)


def test_without_a_config_what_the_recipe_leaves_open_is_not_made_up(tmp_path: Path) -> None:
    values = make_recipe().preprocessing.model_dump()
    recipe = make_recipe(preprocessing={**values, "interpolation": None})
    write_recipe_model(tmp_path, recipe)
    with pytest.raises(ModelError, match="give the preprocessing's interpolation"):
        built(tmp_path, recipe)


def test_a_model_that_is_not_what_its_recipe_says_is_told(tmp_path: Path) -> None:
    write_recipe_model(tmp_path, make_recipe())
    notes = cast("list[str]", built(tmp_path, make_recipe(registers=4)).description["notes"])
    assert any("1 prefix token, but its recipe tiny expects 5" in note for note in notes)
    wide = make_recipe(native_dimension=64, dimension=128)
    notes = cast("list[str]", built(tmp_path, wide).description["notes"])
    assert any("96 columns, but its recipe tiny expects 128" in note for note in notes)
    assert built(tmp_path, wide, pooling="cls").description["notes"] == []


# -- as the user meets them: by name, from a hub -----------------------------------------------------------


def prepared(text: str, **settings: Any) -> PreparedModel:
    return prepare(resolve(parse_spec(text), "fm"), ModelSettings(**{"device": "cpu", **settings}))


def write_tiny_virchow2(folder: Path) -> Path:
    """Virchow2 with a tiny architecture in its config; without the recipe's layers its weights do not fit."""
    recipe = recipes()["virchow2"]
    small = {"depth": 1, "embed_dim": 48, "num_heads": 3, "patch_size": 16}
    folder.mkdir()
    write_recipe_model(folder, recipe, **small)
    config = {
        "architecture": recipe.architecture,
        "model_args": {**small, "reg_tokens": 4, "img_size": 224, "mlp_ratio": 5.3375, "init_values": 1e-5},
        "pretrained_cfg": {
            "input_size": [3, 224, 224],
            "crop_pct": 0.875,
            "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.229, 0.224, 0.225],
        },
        "num_classes": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def virchow2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    folder = write_tiny_virchow2(tmp_path / "virchow2")
    return hub_of_folders(monkeypatch, {recipes()["virchow2"].repo: folder})


def test_a_recipe_and_its_repository_are_one_model(virchow2: list[str]) -> None:
    by_recipe, by_repository = prepared(f"virchow2@{COMMIT}"), prepared(f"hf-hub:paige-ai/Virchow2@{COMMIT}")
    assert by_recipe.identity == by_repository.identity
    assert json.loads(json.dumps(by_recipe.identity)) == by_recipe.identity
    assert by_recipe.identity["revision"] == COMMIT
    assert (by_recipe.license, by_recipe.commercial) == ("CC-BY-NC-ND-4.0", False)
    model = by_repository.load()
    assert model.dimension == 96
    assert model.description["prefix_tokens"] == 5  # type: ignore[attr-defined]


def test_without_the_recipe_the_same_files_do_not_fit(tmp_path: Path) -> None:
    folder = write_tiny_virchow2(tmp_path / "virchow2")
    with pytest.raises(ModelError, match="does not fit"):
        prepared(f"local-dir:{folder}").load()


def test_a_disagreement_about_preprocessing_is_told_and_the_recipe_wins(virchow2: list[str]) -> None:
    model: Any = prepared("virchow2").load()
    notes = [note for note in model.description["notes"] if "preprocessing" in note]
    assert [re.search(r"preprocessing has (\w+)", note)[1] for note in notes] == [  # type: ignore[index]
        "resize",
        "interpolation",
        "mean",
    ]
    assert "0.5/0.5/0.5; the recipe's 0.485/0.456/0.406 is used" in notes[2]
    tensor = model.preprocess(Image.new("RGB", (256, 256), (255, 255, 255)))
    assert tensor.shape == (3, 224, 224)
    torch.testing.assert_close(
        tensor[:, 0, 0], (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    )


def test_a_revision_is_pinned_once_and_kept(virchow2: list[str]) -> None:
    resolved = resolve(parse_spec("virchow2"), "virchow2")
    assert resolved.revision is not None
    assert re.fullmatch(r"[0-9a-f]{40}", resolved.revision)
    assert ResolvedModel.from_dict(json.loads(json.dumps(resolved.to_dict()))) == resolved
    assert resolve(parse_spec(f"virchow2@{COMMIT}"), "virchow2").revision == COMMIT


def test_the_files_to_be_fetched_are_told_before(virchow2: list[str]) -> None:
    resolved = resolve(parse_spec("virchow2"), "virchow2")
    names = files_of(resolved)
    assert (names, virchow2) == (["config.json", "model.safetensors"], ["config.json"])
    virchow2.clear()
    prepare(resolved, ModelSettings(device="cpu"))
    assert set(virchow2) == set(names)


def test_the_files_of_a_sharded_transformers_model_are_told_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_transformers(tmp_path / "phikon", "vit")
    shard(folder)
    (folder / "modeling_unused.py").write_text("")
    fetched = hub_of_folders(monkeypatch, {"owkin/phikon": folder})
    resolved = resolve(parse_spec("phikon"), "phikon")
    names = files_of(resolved)
    assert set(names) == {path.name for path in folder.iterdir()} - {"modeling_unused.py"}
    fetched.clear()
    prepare(resolved, ModelSettings(device="cpu"))
    assert set(fetched) == set(names)


def test_only_models_on_the_hub_have_files_to_fetch(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "vit")
    for text in (f"local-dir:{folder}", f"embeddings:{folder}", "demo:stain-invariant"):
        assert files_of(resolve(parse_spec(text), "fm")) == []


def test_a_transformers_recipe_is_loaded_with_its_own_preprocessing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_transformers(
        tmp_path / "phikon", "vit", **{**SMALL, "image_size": 224, "patch_size": 16}
    )
    hub_of_folders(monkeypatch, {"owkin/phikon": folder})
    model: Any = prepared("phikon").load()
    assert (model.dimension, model.description["preprocessing"]["size"]) == (96, [224, 224])
    assert any("has size 56; the recipe's 224 is used" in note for note in model.description["notes"])
    # Where the repository has none, the recipe's is complete.
    (folder / "preprocessor_config.json").unlink()
    model = prepared("phikon").load()
    assert not any("preprocessing" in note for note in model.description["notes"])
    assert model.preprocess(Image.new("RGB", (256, 256))).shape == (3, 224, 224)


def test_a_recipe_without_a_word_on_preprocessing_needs_the_repositorys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathorob_checks.models import preprocessing

    with pytest.raises(
        ModelError, match="give the preprocessing's size, resize, crop, interpolation, mean, std"
    ):
        preprocessing.merge(recipes()["phaet"].preprocessing, {}, "wearewaiv/phaet")


@pytest.mark.parametrize("recipe", REMOTE, ids=by_name)
def test_code_of_a_repository_needs_both_trust_and_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: Recipe
) -> None:
    pytest.importorskip("transformers")
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "own", "auto_map": {"AutoModel": "modeling.Own"}}')
    (folder / "modeling.py").write_text("raise SystemExit('the code ran')")
    hub_of_folders(monkeypatch, {recipe.repo: folder})
    both = "give both --fm-trust-remote-code and the full commit of 40 digits"
    for text in (recipe.name, f"{recipe.name}@main", f"hf-hub:{recipe.repo}"):
        with pytest.raises(ModelError, match=both):
            resolve(parse_spec(text), "fm")
    resolved = resolve(parse_spec(f"{recipe.name}@{COMMIT}"), "fm")
    with pytest.raises(ModelError, match=both):
        prepare(resolved, ModelSettings(device="cpu"))
    with pytest.raises(ModelError, match="has no weights"):
        prepare(resolved, ModelSettings(device="cpu", trust_remote_code=True))


def test_code_in_another_repository_is_not_pinned_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_transformers(tmp_path / "own", "vit")
    elsewhere = {"AutoConfig": "other/repo--configuration.Own", "AutoModel": "other/repo--modeling.Own"}
    edit_json(folder / "config.json", model_type="own", auto_map=elsewhere)
    hub_of_folders(monkeypatch, {"lab/own": folder})
    with pytest.raises(ModelError, match=r"code from another repository \(other/repo\)"):
        prepared(f"hf-hub:lab/own@{COMMIT}", trust_remote_code=True).load()


@pytest.mark.parametrize("recipe", PACKAGES, ids=by_name)
def test_a_model_of_a_package_tells_the_package_and_the_way(recipe: Recipe) -> None:
    for text in (recipe.name, f"hf-hub:{recipe.repo}"):
        with pytest.raises(ModelError) as caught:
            resolve(parse_spec(text), "fm")
        message = str(caught.value)
        assert str(recipe.package) in message
        assert "python:module:factory" in message
        assert "docs/models.md" in message


def test_a_hub_repository_without_any_config_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny_vit(tmp_path / "vit")
    hub_of_folders(monkeypatch, {"lab/vit": folder})
    assert prepared("hf-hub:lab/vit").load().dimension == 96
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"lab/vit has no config\.json"):
        prepared("hf-hub:lab/vit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("virchow", ("Apache-2.0", True)),
        ("hf-hub:mahmoodlab/uni2-h@v1", ("CC-BY-NC-ND-4.0", False)),
        ("gpfm", ("disputed", None)),
        ("hf-hub:lab/vit", ("unknown", None)),
        ("demo:stain-invariant", ("Apache-2.0", True)),
        ("local-dir:virchow", ("unknown", None)),
    ],
)
def test_the_license_is_known_from_the_spec_alone(text: str, expected: tuple[str, bool | None]) -> None:
    assert license_of(parse_spec(text)) == expected


def test_notes_of_a_recipe_are_known_before_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = recipes()["dinov2-b"].repo
    hub_of_folders(monkeypatch, {repo: write_tiny_vit(tmp_path / "vit", dynamic_img_size=True)})
    assert prepared("dinov2-b").notes == recipes()["dinov2-b"].notes


def test_a_repository_is_found_whatever_its_case() -> None:
    assert recipe_for_repository("mahmoodlab/UNI2-H") is recipes()["uni2-h"]
    assert recipe_for_repository("timm/vit_tiny") is None


def test_the_user_page_has_a_line_for_each_recipe() -> None:
    page = (Path(__file__).parent.parent / "docs" / "models.md").read_text()
    for recipe in recipes().values():
        gate = "yes" if recipe.gated else "no"
        row = [f"`{recipe.name}`", recipe.repo, recipe.pooling, f"{recipe.dimension:,}", recipe.license, gate]
        assert f"| {' | '.join(row)} |" in page, recipe.name
    for recipe in PACKAGES:
        assert f"### {recipe.name}" in page
