"""Checkpoints whose recipe or user states where the network is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from loopback_hub import write_tiny_vit
from prepared_models import prepare_folder
from safetensors.torch import load_file, save_file
from tiny_models import hub_of_folders, write_tiny_transformers
from tiny_recipes import make_recipe

from pathorob_checks.errors import ModelError, SettingsError
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.models import recipes as table
from pathorob_checks.models.loading import prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec

Weights = dict[str, torch.Tensor]
IMAGE = torch.ones(1, 3, 56, 56)


def write_transformers(folder: Path) -> Path:
    pytest.importorskip("transformers")
    return write_tiny_transformers(folder, "vit")


@pytest.fixture(
    params=[lambda folder: write_tiny_vit(folder, img_size=56, patch_size=14), write_transformers],
    ids=["timm", "hf"],
)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model of either library."""
    write: Callable[[Path], Path] = request.param
    return write(tmp_path / "model")


def embedding_of(folder: Path, **settings: Any) -> torch.Tensor:
    return prepare_folder(folder, **settings).load().embed(IMAGE)


def notes_of(folder: Path, **settings: Any) -> list[str]:
    model: Any = prepare_folder(folder, **settings).load()
    notes: list[str] = model.description["notes"]
    return [note for note in notes if "as stated" in note]


def rewrite(folder: Path, content: Callable[[Weights], Any], name: str = "model.pth") -> Weights:
    """Replace the weights by what `content` makes of them."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    made = content(weights)
    if name.endswith(".safetensors"):
        save_file({key: value.clone() for key, value in made.items()}, folder / name)
    else:
        torch.save(made, folder / name)
    return weights


def named(prefix: str, weights: Weights, factor: float = 1) -> Weights:
    return {prefix + name: tensor * factor for name, tensor in weights.items()}


def test_of_two_networks_the_stated_one_is_read(folder: Path) -> None:
    before = embedding_of(folder)
    rewrite(folder, lambda w: {"model": named("student.", w) | named("teacher.", w, 0.5)})
    assert torch.equal(embedding_of(folder, checkpoint_prefixes=("student.",)), before)
    assert not torch.equal(embedding_of(folder, checkpoint_prefixes=("teacher.",)), before)


@pytest.mark.parametrize("inner", ["", "backbone."])
def test_where_nothing_is_stated_the_teacher_is_read_and_it_is_said(folder: Path, inner: str) -> None:
    """Also where the file has the names of an older version of the library."""
    before = embedding_of(folder)
    head = {"teacher.dino_head.mlp.0.weight": torch.ones(2)} if inner else {}
    rewrite(
        folder, lambda w: {"model": named(f"student.{inner}", w, 0.5) | named(f"teacher.{inner}", w) | head}
    )
    model: Any = prepare_folder(folder).load()
    assert torch.equal(model.embed(IMAGE), before)
    (note,) = model.description["notes"]
    assert "holds several networks ('teacher." in note
    assert "an average, is used" in note


def test_what_is_stated_comes_before_the_rule(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "vit", img_size=56, patch_size=14)
    before = embedding_of(folder)
    rewrite(folder, lambda w: named("a.", w) | named("b.", w, 2) | named("teacher.", w, 0.5))
    assert not torch.equal(embedding_of(folder), before)
    assert torch.equal(embedding_of(folder, checkpoint_prefixes=("a.",)), before)


def test_the_stated_dictionary_is_read_and_not_the_average(folder: Path) -> None:
    before = embedding_of(folder)
    rewrite(
        folder, lambda w: {"state_dict": w, "state_dict_ema": named("", w, 0.5), "encoder_q": named("", w, 2)}
    )
    assert torch.equal(embedding_of(folder, checkpoint_key="state_dict"), before)
    assert torch.equal(embedding_of(folder, checkpoint_key="state_dict_ema"), embedding_of(folder))
    assert not torch.equal(embedding_of(folder, checkpoint_key="encoder_q"), before)
    assert "model.pth" in notes_of(folder, checkpoint_key="state_dict")[0]


def test_several_prefixes_are_removed_one_after_the_other(folder: Path) -> None:
    before = embedding_of(folder)
    other = {"module.neck.weight": torch.ones(2), "module.head.mlp.0.weight": torch.ones(2)}
    rewrite(folder, lambda w: {"teacher": named("module.backbone.", w) | other})
    stated = {"checkpoint_key": "teacher", "checkpoint_prefixes": ("module.", "backbone.")}
    assert torch.equal(embedding_of(folder, **stated), before)
    key, prefixes = notes_of(folder, **stated)
    assert "'teacher' is used, as stated" in key
    assert "'module.backbone.' was stripped" in prefixes
    assert "1 other tensor is left out (module.neck.weight)" in prefixes


def test_a_prefix_is_removed_from_safetensors_too(folder: Path) -> None:
    before = embedding_of(folder)
    rewrite(folder, lambda w: named("net.", w) | named("other.", w, 2), "model.safetensors")
    assert torch.equal(embedding_of(folder, checkpoint_prefixes=("net.",)), before)


@pytest.mark.parametrize(
    ("content", "stated", "message"),
    [
        (
            lambda w: named("encoder.", w),
            {"checkpoint_prefixes": ("backbone.",)},
            r"no tensor in the weights of .* has a name that begins with 'backbone\.', only with "
            r"'encoder\.'; give what their names begin with as --fm-checkpoint-prefix, or leave that out\.",
        ),
        (
            lambda w: named("module.encoder.", w),
            {"checkpoint_prefixes": ("module.", "backbone.")},
            r"begins with 'backbone\.' after 'module\.', only with 'encoder\.'",
        ),
        (
            lambda w: {"student": w, "epoch": 3},
            {"checkpoint_key": "teacher"},
            r"model\.pth of .* has no dictionary 'teacher', only 'student'; give one that it has as "
            r"--fm-checkpoint-key, or leave that out\.",
        ),
        (
            lambda w: named("a.", w) | named("b.", w),
            {"checkpoint_prefixes": ("c.",)},
            r"only with 'a\.', 'b\.'",
        ),
        (lambda w: w, {"checkpoint_key": "teacher"}, "'teacher', tensors without any dictionary"),
        (lambda w: {"model": w}, {"checkpoint_key": "x\x1b[31m"}, r"has no dictionary 'x\\x1b"),
        (
            lambda w: {"teacher": {"a": {"b": 1}}},
            {"checkpoint_key": "teacher"},
            r"'teacher' in model\.pth of .* holds no state dict",
        ),
    ],
)
def test_what_is_stated_and_not_there_is_refused_with_what_is_there(
    folder: Path, content: Callable[[Weights], Any], stated: dict[str, Any], message: str
) -> None:
    rewrite(folder, content)
    with pytest.raises(ModelError, match=message) as caught:
        embedding_of(folder, **stated)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_dictionary_cannot_be_stated_for_safetensors(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors of .* has no dictionary 'teacher'"):
        embedding_of(folder, checkpoint_key="teacher")


def test_what_lies_outside_of_the_stated_prefix_cannot_fill_the_network(folder: Path) -> None:
    """A part of the network that the prefix leaves out is missing, and not taken from elsewhere."""

    def half(weights: Weights) -> Weights:
        first, *others = sorted(weights)
        return {first: weights[first], **named("encoder.", {name: weights[name] for name in others})}

    rewrite(folder, half)
    with pytest.raises(ModelError, match="lacks"):
        embedding_of(folder, checkpoint_prefixes=("encoder.",))


@pytest.mark.parametrize("stated", [{"checkpoint_key": "teacher"}, {"checkpoint_prefixes": ("student.",)}])
def test_what_is_stated_changes_the_identity_of_the_embeddings(folder: Path, stated: dict[str, Any]) -> None:
    assert prepare_folder(folder).identity != prepare_folder(folder, **stated).identity


def test_a_recipe_states_it_and_the_user_may_state_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(sub_dictionary="teacher", prefixes=("module.", "backbone."))
    folder = write_tiny_vit(tmp_path / "tiny", depth=1)
    rewrite(
        folder,
        lambda w: {
            key: named("module.backbone.", w, factor) for key, factor in (("teacher", 1), ("student", 2))
        },
    )
    hub_of_folders(monkeypatch, {recipe.repo: folder})
    monkeypatch.setattr(table, "recipe_for_repository", lambda repo: recipe)

    def prepared(**settings: Any) -> Any:
        return prepare(
            resolve(parse_spec(f"hf-hub:{recipe.repo}"), "fm"), ModelSettings(device="cpu", **settings)
        )

    image = torch.ones(1, 3, 64, 64)
    ours, users = prepared(), prepared(checkpoint_key="student")
    assert ours.identity["checkpoint"] == {"key": "teacher", "prefixes": ["module.", "backbone."]}
    assert users.identity["checkpoint"] == {"key": "student", "prefixes": ["module.", "backbone."]}
    assert not torch.equal(ours.load().embed(image), users.load().embed(image))


@pytest.mark.parametrize("option", ["checkpoint-key", "checkpoint-prefix"])
def test_a_model_that_is_read_from_no_checkpoint_refuses_them(option: str) -> None:
    values = {
        "checkpoint-key": {"checkpoint_key": "a"},
        "checkpoint-prefix": {"checkpoint_prefixes": ("a.",)},
    }
    resolved = resolve(parse_spec("demo:stain-invariant"), "fm")
    with pytest.raises(ModelError, match=f"--fm-{option} cannot be applied to demo:stain-invariant"):
        prepare(resolved, ModelSettings(device="cpu", **values[option]))  # type: ignore[arg-type]


@pytest.mark.parametrize("empty", [{"checkpoint_key": ""}, {"checkpoint_prefixes": ("a.", "")}])
def test_an_empty_key_or_prefix_is_refused(empty: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="the key or a prefix of the checkpoint is empty"):
        Settings(fms=("demo:stain-invariant",), **empty)
