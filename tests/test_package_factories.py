"""The factories of docs/models.md for models with a package of their own, on stand-ins for the packages.

The packages are not installed here, and their weights are gated. What is tested is the page: that it has a
factory for each such recipe, that the factory works as `python:module:factory`, with which options it calls
the package, and that preprocessing and dimension are the recipe's.
"""

from __future__ import annotations

import importlib
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from prepared_models import prepare_spec
from test_recipes_end_to_end import patches, prepared_by_hand
from torch import nn
from torchvision import transforms

from pathorob_checks.models.recipes import Recipe, recipes

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
SECTION = "## Models with a package of their own"
PACKAGES = [recipe for recipe in recipes().values() if recipe.library == "package"]


class StandIn(nn.Module):
    """A network that notes how it is called, and returns one vector per image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(3, width)
        self.calls: list[dict[str, Any]] = []

    def _vector(self, images: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        self.calls.append({**options, "side": images.shape[-1]})
        vector: torch.Tensor = self.projection(images.mean((2, 3)))
        return vector


class Clip(StandIn):
    """As conch's model and KEEP's."""

    def encode_image(self, images: torch.Tensor, **options: Any) -> torch.Tensor:
        return self._vector(images, options)


class Titan(StandIn):
    """As the patch encoder of TITAN."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._vector(images, {})


class Musk(StandIn):
    """As musk's model."""

    def forward(self, image: torch.Tensor, **options: Any) -> tuple[torch.Tensor, None]:
        return self._vector(image, options), None


def own_transform(side: int) -> Callable[[Image.Image], torch.Tensor]:
    """The preprocessing that a package returns with its model."""
    return transforms.Compose([transforms.Resize((side, side)), transforms.ToTensor()])


def of_a_module(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """Let a module be imported; its parents become packages."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        module = ModuleType(".".join(parts[:depth]))
        module.__path__ = []
        monkeypatch.setitem(sys.modules, module.__name__, module)
        if depth > 1:
            setattr(sys.modules[".".join(parts[: depth - 1])], parts[depth - 1], module)
    for key, value in content.items():
        setattr(sys.modules[name], key, value)


def conch(monkeypatch: pytest.MonkeyPatch, network: StandIn, repositories: list[Any]) -> None:
    def create_model_from_pretrained(architecture: str, repository: str) -> tuple[Any, Any]:
        repositories.append(repository)
        return network, own_transform(448)

    of_a_module(
        monkeypatch, "conch.open_clip_custom", create_model_from_pretrained=create_model_from_pretrained
    )


def musk(monkeypatch: pytest.MonkeyPatch, network: StandIn, repositories: list[Any]) -> None:
    import timm

    def load(repository: str, model: Any, key: str, prefix: str) -> None:
        repositories.append(repository)

    of_a_module(monkeypatch, "musk", modeling=object(), utils=ModuleType("musk.utils"))
    monkeypatch.setattr(sys.modules["musk"].utils, "load_model_and_may_interpolate", load, raising=False)
    monkeypatch.setattr(timm, "create_model", lambda architecture: network)


def auto_model(answer: Callable[[StandIn], Any]) -> Callable[[pytest.MonkeyPatch, StandIn, list[Any]], None]:
    def stand_in(monkeypatch: pytest.MonkeyPatch, network: StandIn, repositories: list[Any]) -> None:
        transformers = importlib.import_module("transformers")

        def from_pretrained(repository: str, *, revision: str, trust_remote_code: bool) -> Any:
            pinned = {entry.repo: entry.revision for entry in PACKAGES}[repository]
            assert revision == (pinned or "...")
            repositories.append(repository)
            return answer(network)

        monkeypatch.setattr(transformers.AutoModel, "from_pretrained", from_pretrained)

    return stand_in


class _Titan:
    def __init__(self, network: StandIn) -> None:
        self._network = network

    def return_conch(self) -> tuple[StandIn, Any]:
        return self._network, own_transform(448)


# Per recipe: the network's form, what stands in for the package, and the options of the call that decide.
STAND_INS: dict[str, tuple[type[StandIn], Any, dict[str, Any]]] = {
    "conch": (Clip, conch, {"proj_contrast": False, "normalize": False}),
    "conch-v1.5": (Titan, auto_model(_Titan), {}),
    "keep": (Clip, auto_model(lambda network: network), {}),
    "musk": (
        Musk,
        musk,
        {"with_head": False, "out_norm": True, "ms_aug": False, "return_global": True},
    ),
}


def code_of_the_page() -> str:
    """The blocks of the section, one after the other, as a user copies them."""
    section = PAGE.read_text(encoding="utf-8").partition(SECTION)[2]
    blocks = re.findall(r"(?:^    .*\n|^\n)+", section, flags=re.MULTILINE)
    return "\n".join(textwrap.dedent(block) for block in blocks if block.strip())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", PACKAGES, ids=lambda recipe: recipe.name)
def test_the_factory_of_the_page_embeds_as_the_recipe_says(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    form, stand_in, options = STAND_INS[recipe.name]
    network, repositories = form(recipe.dimension), []  # type: ignore[var-annotated]
    stand_in(monkeypatch, network, repositories)
    (tmp_path / "encoders_of_the_page.py").write_text(code_of_the_page())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "encoders_of_the_page", raising=False)
    name = re.sub(r"\W", "_", recipe.name)
    model = prepare_spec(f"python:encoders_of_the_page:{name}").load()
    assert {repository.removeprefix("hf_hub:") for repository in repositories} == {recipe.repo}
    images = torch.stack([model.preprocess(image) for image in patches()])
    side = recipe.preprocessing.size
    assert images.shape == (2, 3, side, side)
    stated = recipe.preprocessing.model_dump(exclude_none=True)
    if "transforms" in sys.modules["encoders_of_the_page"].__dict__[name].__code__.co_varnames:
        by_hand = [prepared_by_hand(image, {"crop": "center", **stated}) for image in patches()]
        torch.testing.assert_close(images, torch.stack(by_hand), rtol=0, atol=1e-5)
    network.calls.clear()
    embeddings = model.embed(images)
    assert embeddings.shape == (2, recipe.dimension)
    assert network.calls == [{**options, "side": side}]
    assert not torch.allclose(embeddings[0], embeddings[1])
