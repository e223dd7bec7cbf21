"""Every recipe of the table from a hub to an embedding, on repositories as their authors publish them.

The networks are tiny and random (`recipe_repositories`). Preprocessing and pooling are compared with what is
written here by hand, with Pillow and torch alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loopback_hub import LoopbackHub, Repository, loopback_hub
from PIL import Image
from prepared_models import prepare_spec
from recipe_repositories import Published, publish, shrunken
from terminal import surroundings

from pathorob_checks.models.recipes import Recipe, recipes

LOADED = [recipe for recipe in recipes().values() if recipe.library != "package"]
RESAMPLING = {name.lower(): value for name, value in Image.Resampling.__members__.items()}


@dataclass
class Served:
    """A recipe whose repository is on the hub of this process."""

    published: Published
    commit: str

    @property
    def recipe(self) -> Recipe:
        return self.published.recipe

    def load(self, **settings: Any) -> Any:
        """The model by the recipe's name; code in a repository needs trust and the commit."""
        at = f"@{self.commit}" if self.recipe.remote_code else ""
        trusted = {"trust_remote_code": True} if at else {}
        return prepare_spec(f"{self.recipe.name}{at}", **trusted, **settings).load()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    home = tmp_path_factory.mktemp("hub")
    with loopback_hub() as running, surroundings(home, running.settings(home / "home")):
        yield running


@pytest.fixture(params=LOADED, ids=lambda recipe: recipe.name)
def served(
    request: pytest.FixtureRequest,
    hub: LoopbackHub,
    code_of_repositories: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Served:
    recipe: Recipe = request.param
    if importlib.util.find_spec(recipe.library) is None:
        pytest.skip(f"{recipe.library} is not installed")
    published = publish(shrunken(recipe), tmp_path / "repository")
    monkeypatch.setitem(recipes(), recipe.name, published.recipe)
    commit = hub.add(recipe.repo, tmp_path / "repository")
    if recipe.revision is not None:
        # The pinned commit is the one that is read, and main has moved on since.
        files = hub.repositories[recipe.repo].commits[commit]
        hub.repositories[recipe.repo] = Repository({recipe.revision: files}, {"main": "f" * 40})
    return Served(published, recipe.revision or commit)


def patches() -> list[Image.Image]:
    """Two images that are neither square nor of the network's size."""
    rng = np.random.default_rng(7)
    blurred = [rng.integers(0, 256, (9, 11, 3), dtype=np.uint8) for _ in range(2)]
    return [Image.fromarray(small).resize((311, 270), Image.Resampling.BICUBIC) for small in blurred]


def prepared_by_hand(image: Image.Image, values: dict[str, Any]) -> torch.Tensor:
    """Resize, crop, scale to 0..1, normalize: with Pillow and numpy alone."""
    resize, size = values["resize"], values["size"]
    width, height = image.size
    if values["crop"] == "squash":
        target = (resize, resize)
    else:
        short = min(width, height)
        target = tuple(resize if side == short else int(resize * side / short) for side in (width, height))
    image = image.resize(target, RESAMPLING[values["interpolation"]])
    left, top = (round((side - size) / 2) for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.float64) / 255
    normalized = (pixels - np.array(values["mean"])) / np.array(values["std"])
    return torch.from_numpy(normalized.transpose(2, 0, 1).astype(np.float32))


def in_force(served: Served) -> dict[str, Any]:
    """The recipe's preprocessing, and the repository's where the recipe has no value."""
    ours = {
        key: value for key, value in served.recipe.preprocessing.model_dump().items() if value is not None
    }
    return {**served.published.stated, **ours}


def embedded_by_hand(served: Served, images: torch.Tensor) -> torch.Tensor:
    """The recipe's pooling of the tokens that the library computes."""
    recipe, published = served.recipe, served.published
    with torch.inference_mode():
        if recipe.pooling == "pooled":
            return published.pooled(images)
        assert published.tokens is not None
        tokens = published.tokens(images)
    first, rest = tokens[:, 0], tokens[:, recipe.class_tokens + recipe.registers :]
    assert round(rest.shape[1] ** 0.5) ** 2 == rest.shape[1], "tokens beside those of the square grid"
    return {
        "cls": first,
        "mean": rest.mean(1),
        "clsmean": torch.cat([first, rest.mean(1)], 1),
    }[recipe.pooling]


def test_a_recipe_embeds_as_it_says(served: Served) -> None:
    recipe = served.recipe
    model = served.load()
    images = torch.stack([model.preprocess(image) for image in patches()])
    by_hand = torch.stack([prepared_by_hand(image, in_force(served)) for image in patches()])
    torch.testing.assert_close(images, by_hand, rtol=0, atol=1e-5)
    embeddings = model.embed(images)
    assert embeddings.shape == (2, recipe.dimension) == (2, model.dimension)
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings, embedded_by_hand(served, images), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(embeddings[0], embeddings[1])
    assert torch.equal(model.embed(images), embeddings)
    assert torch.equal(served.load().embed(images), embeddings)
    description = model.description
    assert (description["recipe"], description["pooling"]) == (recipe.name, recipe.pooling)
    if recipe.pooling != "pooled":
        assert description["prefix_tokens"] == recipe.class_tokens + recipe.registers
    assert not [note for note in description["notes"] if "its recipe" in note or "instead of clsmean" in note]
