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
from tiny_models import SMALL, edit_json, hub_of_folders, shard, write_tiny_transformers
from tiny_recipes import write_recipe_model

from pathorob_checks.errors import ModelError
from pathorob_checks.models.loading import (
    ModelSettings,
    ResolvedModel,
    files_of,
    license_of,
    prepare,
    resolve,
)
from pathorob_checks.models.recipes import Recipe, recipes
from pathorob_checks.models.spec import parse_spec

COMMIT = "a" * 40
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
    model: Any = prepare_spec("virchow2").load()
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


def test_the_files_to_be_downloaded_are_known_before(virchow2: list[str]) -> None:
    resolved = resolve(parse_spec("virchow2"), "virchow2")
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
    resolved = resolve(parse_spec("phikon"), "phikon")
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
        tmp_path / "phikon", "vit", **{**SMALL, "image_size": 224, "patch_size": 16}
    )
    hub_of_folders(monkeypatch, {"owkin/phikon": folder})
    model: Any = prepare_spec("phikon").load()
    assert (model.dimension, model.description["preprocessing"]["size"]) == (96, [224, 224])
    assert any("has size 56; the recipe's 224 is used" in note for note in model.description["notes"])
    # Where the repository has none, the recipe's is complete.
    (folder / "preprocessor_config.json").unlink()
    model = prepare_spec("phikon").load()
    assert not any("preprocessing" in note for note in model.description["notes"])
    assert model.preprocess(Image.new("RGB", (256, 256))).shape == (3, 224, 224)


def test_a_recipe_without_preprocessing_needs_the_repositorys(
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
        prepare_spec(f"hf-hub:lab/own@{COMMIT}", trust_remote_code=True).load()


@pytest.mark.parametrize("recipe", PACKAGES, ids=by_name)
def test_the_error_for_a_model_of_a_package_names_the_package_and_the_remedy(recipe: Recipe) -> None:
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
    assert prepare_spec("hf-hub:lab/vit").load().dimension == 96
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"lab/vit has no config\.json"):
        prepare_spec("hf-hub:lab/vit")


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
    assert prepare_spec("dinov2-b").notes == recipes()["dinov2-b"].notes
