"""The weights of a recipe: those of its commit and digest, and no others unsaid."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from loopback_hub import LoopbackHub, loopback_hub, write_tiny_vit
from prepared_models import prepare_spec
from safetensors.torch import load_file
from terminal import surroundings
from tiny_models import hub_of_folders, shard

from pathorob_checks.errors import ModelError
from pathorob_checks.models import weights
from pathorob_checks.models.recipes import Recipe, recipes

REPO = recipes()["dinov2-l"].repo
Pin = Callable[[str, str], Recipe]
Connect = Callable[..., AbstractContextManager[object]]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_vit(tmp_path / "vit", dynamic_img_size=True)


@pytest.fixture
def pin(monkeypatch: pytest.MonkeyPatch) -> Pin:
    """Give the recipe of `REPO` another commit and digest."""

    def change(revision: str, digest: str) -> Recipe:
        pinned = {"revision": revision, "weights_sha256": digest}
        recipe = recipes()["dinov2-l"].model_copy(update=pinned)
        monkeypatch.setitem(recipes(), "dinov2-l", recipe)
        return recipe

    return change


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with loopback_hub() as running:
        yield running


@pytest.fixture
def connected(hub: LoopbackHub, tmp_path: Path) -> Connect:
    return lambda **more: surroundings(tmp_path, hub.settings(tmp_path / "home", **more))


def downloads(hub: LoopbackHub) -> set[str]:
    """Names of the files of weights that were downloaded."""
    ends = (".safetensors", ".bin")
    got = (request for request in hub.requests if request.startswith("GET") and request.endswith(ends))
    return {request.rpartition("/")[2] for request in got}


def test_the_weights_of_the_recipe_are_taken_without_a_note(
    hub: LoopbackHub, model: Path, pin: Pin, connected: Connect
) -> None:
    recipe = pin(hub.add(REPO, model), sha256(model / "model.safetensors"))
    with connected():
        prepared = prepare_spec("dinov2-l")
    assert prepared.identity["weights_sha256"] == recipe.weights_sha256
    assert prepared.notes == recipe.notes


def test_the_digest_names_the_file_among_several(
    hub: LoopbackHub, model: Path, pin: Pin, connected: Connect
) -> None:
    """By name alone it would be model.safetensors; the cache knows digests as well as the hub."""
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    recipe = pin(hub.add(REPO, model), sha256(model / "pytorch_model.bin"))
    for offline in ({}, {"HF_HUB_OFFLINE": "1"}):
        with connected(**offline):
            assert prepare_spec("dinov2-l").identity["weights_sha256"] == recipe.weights_sha256
    assert downloads(hub) == {"pytorch_model.bin"}


def test_other_weights_are_refused_before_they_are_downloaded(
    hub: LoopbackHub, model: Path, pin: Pin, connected: Connect
) -> None:
    pin(hub.add(REPO, model), "0123456789ab" + "0" * 52)
    actual = sha256(model / "model.safetensors")[:12]
    with connected(), pytest.raises(ModelError) as caught:
        prepare_spec("dinov2-l")
    assert str(caught.value) == (
        f"model.safetensors of {REPO} has the SHA-256 {actual}, but the weights that the recipe dinov2-l is "
        "about have 0123456789ab; delete the file from the cache and check HF_ENDPOINT and the proxy, or "
        "give the revision that you mean after the @."
    )
    assert downloads(hub) == set()


def test_other_weights_are_refused_where_the_hub_states_no_digest(
    model: Path, pin: Pin, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_of_folders(monkeypatch, {REPO: model})
    pin("1" * 40, "0" * 64)
    for text in ("dinov2-l", f"hf-hub:{REPO}", f"dinov2-l@{'1' * 40}"):
        with pytest.raises(
            ModelError, match=r"model\.safetensors of .* but the weights .* have 000000000000"
        ):
            prepare_spec(text)


def test_weights_in_several_files_are_not_the_one_of_the_recipe(
    model: Path, pin: Pin, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sha256(model / "model.safetensors")
    shard(model)
    hub_of_folders(monkeypatch, {REPO: model})
    pin("1" * 40, digest)
    with pytest.raises(
        ModelError, match=r"the checkpoint of 2 files .* but the weights that the recipe dinov2-l"
    ):
        prepare_spec("dinov2-l")


def test_at_another_revision_the_digest_is_not_compared_and_a_note_says_so(
    model: Path, pin: Pin, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_of_folders(monkeypatch, {REPO: model})
    recipe = pin("1" * 40, "0" * 64)
    prepared = prepare_spec(f"dinov2-l@{'2' * 40}")
    assert prepared.notes == (
        *recipe.notes,
        "dinov2-l is used at commit 222222222222, and not at its recipe's 111111111111, so that the digest "
        "of its weights is not compared.",
    )
    assert prepared.load().dimension == 96


def test_the_weights_are_read_for_their_digest_once(
    model: Path, pin: Pin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest that is compared is that of the identity: gigabytes are not read twice."""
    hub_of_folders(monkeypatch, {REPO: model})
    pin("1" * 40, sha256(model / "model.safetensors"))
    read: list[str] = []
    digest = weights._sha256
    monkeypatch.setattr(weights, "_sha256", lambda path: read.append(path.name) or digest(path))
    prepare_spec("dinov2-l")
    assert read.count("model.safetensors") == 1
