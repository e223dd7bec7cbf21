"""Models of recipes as a user gets them: by name, from a hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from loopback_hub import write_tiny_vit
from PIL import Image
from prepared_models import prepare_spec
from safetensors.torch import save_file
from tiny_models import SMALL, edit_json, hub_of_folders, shard, write_tiny_transformers
from tiny_recipes import write_recipe_model

from pathorob_checks.errors import ModelError
from pathorob_checks.models import requirements
from pathorob_checks.models.loading import (
    ModelSettings,
    ResolvedModel,
    files_of,
    is_pinned,
    license_of,
    prepare,
    resolve,
)
from pathorob_checks.models.recipes import Recipe, recipes
from pathorob_checks.models.spec import parse_spec

COMMIT = "a" * 40
OLD_TRANSFORMERS = "4.57.1"
REMOTE = [recipe for recipe in recipes().values() if recipe.remote_code]
PACKAGES = [recipe for recipe in recipes().values() if recipe.library == "package"]


def by_name(recipe: Recipe) -> str:
    return recipe.name


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
    by_recipe, by_repository = (
        prepare_spec(f"virchow2@{COMMIT}"),
        prepare_spec(f"hf-hub:paige-ai/Virchow2@{COMMIT}"),
    )
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
        prepare_spec(f"local-dir:{folder}").load()


def test_a_disagreement_about_preprocessing_is_a_note_and_the_recipe_overrides(virchow2: list[str]) -> None:
    model: Any = prepare_spec(f"virchow2@{COMMIT}").load()
    notes = [note for note in model.description["notes"] if "preprocessing" in note]
    assert [re.search(r"preprocessing has (\w+)", note)[1] for note in notes] == [  # type: ignore[index]
        "interpolation",
        "mean",
    ]
    assert "0.5/0.5/0.5; the recipe's 0.485/0.456/0.406 is used" in notes[1]
    tensor = model.preprocess(Image.new("RGB", (256, 256), (255, 255, 255)))
    assert tensor.shape == (3, 224, 224)
    torch.testing.assert_close(
        tensor[:, 0, 0], (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    )


def test_a_revision_is_pinned_once_and_kept(virchow2: list[str]) -> None:
    ours = recipes()["virchow2"].revision
    for text in ("virchow2", "hf-hub:paige-ai/Virchow2"):
        resolved = resolve(parse_spec(text), "virchow2")
        assert resolved.revision == ours
        assert ResolvedModel.from_dict(json.loads(json.dumps(resolved.to_dict()))) == resolved
    newest = resolve(parse_spec("virchow2@main"), "virchow2").revision
    assert newest is not None
    assert re.fullmatch(r"[0-9a-f]{40}", newest)
    assert newest != ours
    assert resolve(parse_spec(f"virchow2@{COMMIT}"), "virchow2").revision == COMMIT


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("virchow2", True),
        ("hf-hub:paige-ai/virchow2", True),
        (f"phaet@{COMMIT}", True),
        ("phaet", False),
        ("virchow2@main", False),
        ("hf-hub:lab/vit", False),
        ("local-dir:vit", False),
    ],
)
def test_a_model_is_pinned_by_the_user_or_by_its_recipe(text: str, pinned: bool) -> None:
    assert is_pinned(parse_spec(text)) is pinned


def test_the_files_to_be_downloaded_are_known_before(virchow2: list[str]) -> None:
    resolved = resolve(parse_spec("virchow2@main"), "virchow2")
    names = files_of(resolved, ModelSettings(device="cpu"))
    assert (names, virchow2) == (["config.json", "model.safetensors"], ["config.json"])
    virchow2.clear()
    prepare(resolved, ModelSettings(device="cpu"))
    assert set(virchow2) == set(names)


def test_the_files_of_a_sharded_transformers_model_are_known_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_transformers(tmp_path / "phikon", "vit")
    shard(folder)
    (folder / "modeling_unused.py").write_text("")
    fetched = hub_of_folders(monkeypatch, {"owkin/phikon": folder})
    resolved = resolve(parse_spec("phikon@main"), "phikon")
    names = files_of(resolved, ModelSettings(device="cpu"))
    assert set(names) == {path.name for path in folder.iterdir()} - {"modeling_unused.py"}
    fetched.clear()
    prepare(resolved, ModelSettings(device="cpu"))
    assert set(fetched) == set(names)


def test_only_models_of_files_have_files_to_read(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "vit")
    settings = ModelSettings(device="cpu")
    for text in (f"embeddings:{folder}", "demo:stain-invariant"):
        assert files_of(resolve(parse_spec(text), "fm"), settings) == []
    resolved = resolve(parse_spec(f"local-dir:{folder}"), "fm")
    assert files_of(resolved, settings) == ["config.json", "model.safetensors"]


def test_a_transformers_recipe_is_loaded_with_its_own_preprocessing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_transformers(
        tmp_path / "phikon-v2", "dinov2", **{**SMALL, "image_size": 224, "patch_size": 16}
    )
    hub_of_folders(monkeypatch, {"owkin/phikon-v2": folder})
    model: Any = prepare_spec("phikon-v2@main").load()
    assert (model.dimension, model.description["preprocessing"]["size"]) == (96, [224, 224])
    assert any("has size 56; the recipe's 224 is used" in note for note in model.description["notes"])
    # Where the repository has none, the recipe's is complete.
    (folder / "preprocessor_config.json").unlink()
    model = prepare_spec("phikon-v2@main").load()
    assert not any("preprocessing" in note for note in model.description["notes"])
    assert model.preprocess(Image.new("RGB", (256, 256))).shape == (3, 224, 224)


def test_a_recipe_without_preprocessing_needs_the_repositorys() -> None:
    from pathorob_checks.models import preprocessing

    missing = "neither the files of taejoon89/openpath nor its recipe give the preprocessing's size, resize, "
    with pytest.raises(ModelError, match=f"{missing}crop, interpolation, mean, std"):
        preprocessing.merge(recipes()["openpath"].preprocessing, {}, "taejoon89/openpath")


@pytest.mark.parametrize("recipe", REMOTE, ids=by_name)
def test_code_of_a_repository_needs_both_trust_and_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: Recipe
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr(requirements, "version", lambda distribution: OLD_TRANSFORMERS)
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


OWN_CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

class OwnConfig(PretrainedConfig):
    model_type = "own"
    def __init__(self, width=8, patch_size=16, **more):
        self.width, self.patch_size = width, patch_size
        super().__init__(**more)

class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    main_input_name = "pixel_values"
    def __init__(self, config):
        super().__init__(config)
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, config.width))
        self.patches = torch.nn.Conv2d(3, config.width, config.patch_size, config.patch_size)
        self.post_init()
    def forward(self, pixel_values):
        patches = self.patches(pixel_values).flatten(2).mT
        first = patches.mean(1, keepdim=True) + self.cls_token
        tokens = torch.cat([first, patches], 1)
        pooled = torch.nn.functional.normalize(tokens[:, 0], dim=1)
        return BaseModelOutputWithPooling(last_hidden_state=tokens, pooler_output=pooled)
"""


def write_model_with_own_code(folder: Path, **config: Any) -> Path:
    """A repository with its network as code, its statistics in config.json and no processor."""
    torch.manual_seed(0)
    weights = {
        "cls_token": torch.randn(1, 1, 8),
        "patches.weight": torch.randn(8, 3, 16, 16),
        "patches.bias": torch.randn(8),
    }
    folder.mkdir()
    (folder / "own.py").write_text(OWN_CODE)
    save_file(weights, folder / "model.safetensors")
    auto_map = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    content = {"model_type": "own", "auto_map": auto_map, "width": 8, "patch_size": 16, **config}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.usefixtures("code_of_repositories")
@pytest.mark.parametrize(("name", "mean", "std"), [("mascaret", 0.5, 0.5), ("phaet", 0.4, 0.2)])
def test_statistics_in_a_config_are_used_where_there_is_no_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mean: float, std: float
) -> None:
    pytest.importorskip("transformers")
    statistics = {"pixel_mean": [mean] * 3, "pixel_std": [std] * 3}
    folder = write_model_with_own_code(tmp_path / name, **statistics)
    hub_of_folders(monkeypatch, {recipes()[name].repo: folder})
    model: Any = prepare_spec(f"{name}@{COMMIT}", trust_remote_code=True).load()
    tensor = model.preprocess(Image.new("RGB", (256, 256), (255, 255, 255)))
    torch.testing.assert_close(tensor, torch.full((3, 224, 224), (1 - mean) / std))
    embeddings = model.embed(torch.randn(2, 3, 224, 224))
    assert embeddings.shape == (2, 8)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    both: Any = prepare_spec(f"{name}@{COMMIT}", trust_remote_code=True, pooling="clsmean").load()
    assert both.dimension == 16
    assert both.description["prefix_tokens"] == 1


@pytest.mark.usefixtures("code_of_repositories")
@pytest.mark.parametrize(
    "statistics",
    [
        {},
        {"pixel_mean": [0.5] * 3},
        {"pixel_mean": [123.7, 116.3, 103.5], "pixel_std": [58.4, 57.1, 57.4]},
        {"pixel_mean": [0.5] * 3, "pixel_std": [0.5, 0.5]},
        {"pixel_mean": [0.5] * 3, "pixel_std": ["a", "b", "c"]},
        {"pixel_mean": [0.5] * 3, "pixel_std": [0.0] * 3},
    ],
)
def test_statistics_of_no_use_are_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statistics: dict[str, Any]
) -> None:
    pytest.importorskip("transformers")
    folder = write_model_with_own_code(tmp_path / "mascaret", **statistics)
    hub_of_folders(monkeypatch, {recipes()["mascaret"].repo: folder})
    with pytest.raises(ModelError, match="nor its recipe give the preprocessing's mean, std"):
        prepare_spec(f"mascaret@{COMMIT}", trust_remote_code=True).load()


@pytest.mark.usefixtures("code_of_repositories")
def test_code_in_another_repository_is_not_pinned_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_transformers(tmp_path / "own", "vit")
    elsewhere = {"AutoConfig": "other/repo--configuration.Own", "AutoModel": "other/repo--modeling.Own"}
    edit_json(folder / "config.json", model_type="own", auto_map=elsewhere)
    hub_of_folders(monkeypatch, {"lab/own": folder})
    with pytest.raises(ModelError, match=r"code from another repository \(other/repo\)"):
        prepare_spec(f"hf-hub:lab/own@{COMMIT}", trust_remote_code=True).load()


@pytest.mark.parametrize("recipe", PACKAGES, ids=by_name)
def test_the_error_for_a_model_of_a_package_names_the_package_and_the_remedy(recipe: Recipe) -> None:
    for text in (recipe.name, *(f"hf-hub:{repo}" for repo in (recipe.repo, *recipe.mirrors))):
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
    assert prepare_spec("hf-hub:lab/vit").load().dimension == 96
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"lab/vit has no config\.json"):
        prepare_spec("hf-hub:lab/vit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("virchow", ("Apache-2.0", True)),
        ("hf-hub:mahmoodlab/uni2-h@v1", ("CC-BY-NC-ND-4.0", False)),
        ("gpfm", ("MIT by its card; CC-BY-NC-ND-4.0 by its code", None)),
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
    assert prepare_spec("dinov2-b").notes == recipes()["dinov2-b"].notes
