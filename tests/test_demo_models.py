"""The two controls embed every patch by itself, whatever it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from pathorob_checks.cohorts import demo as demo_cohort
from pathorob_checks.models.demo import DEMO_MODELS, separate_stains

SIDE = 112


@pytest.fixture(scope="module")
def tissue() -> list[Image.Image]:
    cohort = demo_cohort.load()
    return [cohort.read_image(row) for row in range(0, len(cohort), 90)]


def painted(image: Image.Image, place: tuple[slice, ...], color: int | tuple[int, int, int]) -> Image.Image:
    pixels = np.asarray(image.resize((SIDE, SIDE))).copy()
    pixels[place] = color
    return Image.fromarray(pixels)


def noise(low: float, high: float, side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).uniform(low, high, (side, side, 3)).astype(np.uint8))


# What a cohort may hold beside tissue: edges of slides, places outside the scan, pen, glass, other modes.
FROM_TISSUE: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "tissue": lambda image: image,
    "half black": lambda image: painted(image, (slice(None), slice(56, None)), 0),
    "half white": lambda image: painted(image, (slice(None), slice(56, None)), 255),
    "black corner": lambda image: painted(image, (slice(80, None), slice(80, None)), 0),
    "white corner": lambda image: painted(image, (slice(80, None), slice(80, None)), 255),
    "pen": lambda image: painted(image, (slice(20),), (20, 60, 20)),
    "gray": lambda image: image.convert("L"),
    "out of focus": lambda image: image.filter(ImageFilter.GaussianBlur(6)),
    "four colors": lambda image: image.quantize(4),
    "transparent": lambda image: Image.merge("RGBA", (*image.split(), image.convert("L"))),
}
ALONE: Mapping[str, Callable[[], Image.Image]] = {
    "black": lambda: Image.new("RGB", (224, 224)),
    "white": lambda: Image.new("RGB", (224, 224), "white"),
    "one color": lambda: Image.new("RGB", (224, 224), (200, 100, 150)),
    "one color, half transparent": lambda: Image.new("RGBA", (224, 224), (200, 100, 150, 127)),
    "glass": lambda: noise(240, 247, SIDE),
    "one pixel": lambda: Image.new("RGB", (1, 1), (9, 200, 3)),
    "a column": lambda: Image.new("RGB", (1, 500), (9, 200, 3)),
    "huge": lambda: noise(0, 255, 2500),
    "1 bit": lambda: Image.new("1", (8, 8)),
}


@pytest.mark.parametrize("name", DEMO_MODELS)
@pytest.mark.parametrize("kind", [*FROM_TISSUE, *ALONE])
def test_a_patch_has_one_embedding_alone_and_in_a_batch(name, kind, tissue):
    model = DEMO_MODELS[name]()
    made = ALONE.get(kind)
    images = [made(), *tissue] if made else [FROM_TISSUE[kind](image) for image in tissue]
    batch = torch.stack([model.preprocess(image) for image in images])
    whole = model.embed(batch)
    assert torch.isfinite(whole).all()
    assert whole.dtype == torch.float32
    assert torch.equal(whole, torch.cat([model.embed(one[None]) for one in batch]))
    assert torch.equal(whole, model.embed(batch.flip(0)).flip(0))


@pytest.mark.parametrize("kind", ["half black", "white corner", "out of focus", "gray"])
def test_rounding_does_not_grow_on_flat_areas(kind, tissue):
    """Another machine rounds elsewhere: what float64 loses by rounding must stay small in float32."""
    model = DEMO_MODELS["stain-invariant"]()
    batch = torch.stack([model.preprocess(FROM_TISSUE[kind](image)) for image in tissue]).double()
    noise = torch.randn(batch.shape, dtype=torch.float64, generator=torch.manual_seed(0))
    nudged = batch * (1 + 1e-15 * noise)
    one, other = model.describe(batch), model.describe(nudged)
    for feature, values in one.items():
        assert torch.allclose(values, other[feature], rtol=1e-6, atol=1e-6), feature


def test_stains_of_a_patch_of_one_color_are_finite():
    for color in (0.0, 0.3, 1.0):
        for stain in separate_stains(torch.full((1, 3, SIDE, SIDE), color, dtype=torch.float64)):
            assert torch.isfinite(stain).all()
