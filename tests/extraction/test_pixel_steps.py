"""Preprocessing in two parts gives, to the bit, what the transform in one part gives."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loopback_hub import write_tiny_vit
from PIL import Image
from prepared_models import load_timm
from timm.data.transforms_factory import create_transform
from torchvision import transforms

from pathorob_checks.models.pixel_steps import VALUES, split
from pathorob_checks.models.preprocessing import Preprocessing
from pathorob_checks.models.processor_transform import ProcessorTransform

CPU = torch.device("cpu")
MEAN, STD = (0.7071, 0.5788, 0.7036), (0.2117, 0.23, 0.1775)


def of_timm(**settings: Any) -> Any:
    return create_transform(input_size=(3, 56, 56), is_training=False, mean=MEAN, std=STD, **settings)


def of_open_clip(mode: str) -> Any:
    open_clip = pytest.importorskip("open_clip")
    return open_clip.image_transform(56, is_train=False, mean=MEAN, std=STD, resize_mode=mode)


def of_transformers(kind: str, **settings: Any) -> Any:
    pytest.importorskip("transformers")
    module = importlib.import_module(
        f"transformers.models.{kind.lower()}.image_processing_pil_{kind.lower()}"
    )
    return ProcessorTransform(getattr(module, f"{kind}ImageProcessorPil")(**settings))


TRANSFORMS: dict[str, Callable[[], Any]] = {
    "recipe": lambda: Preprocessing(56, 64, "center", "bicubic", MEAN, STD).transform(),
    "timm": lambda: of_timm(crop_pct=0.9, interpolation="bicubic"),
    "timm-squash": lambda: of_timm(crop_pct=1.0, crop_mode="squash"),
    "timm-border": lambda: of_timm(crop_pct=1.0, crop_mode="border"),
    "open_clip": lambda: of_open_clip("shortest"),
    "open_clip-longest": lambda: of_open_clip("longest"),
    "ViT": lambda: of_transformers("ViT", size={"height": 56, "width": 56}, image_mean=MEAN, image_std=STD),
    "Bit": lambda: of_transformers("Bit", size={"shortest_edge": 64}, crop_size={"height": 56, "width": 56}),
    "Siglip": lambda: of_transformers("Siglip", size={"height": 56, "width": 56}),
    "CLIP-unscaled": lambda: of_transformers("CLIP", do_rescale=False, do_normalize=False),
    "CLIP-0..1": lambda: of_transformers("CLIP", do_normalize=False, rescale_factor=1 / 127.5),
}


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def in_two_parts(transform: Any, image: Image.Image) -> torch.Tensor:
    steps = split(transform, CPU)
    assert steps is not None
    pixels = torch.from_numpy(steps.pixels(image).copy())
    return steps.scaled(pixels[None].permute(0, 3, 1, 2))[0]


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("size", [(56, 56), (64, 64), (256, 256), (93, 71), (20, 30)])
def test_the_two_parts_give_what_the_whole_gives(name: str, size: tuple[int, int]) -> None:
    transform, image = TRANSFORMS[name](), noise(*size)
    assert torch.equal(in_two_parts(transform, image), transform(image))


@pytest.mark.parametrize("name", ["recipe", "timm", "open_clip", "ViT", "Bit"])
@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_the_table_is_right_for_each_channel_alone(name: str, value: int) -> None:
    """Every value meets another in each of the other channels: a table of the wrong channel shows."""
    ramp = np.stack([np.roll(np.arange(VALUES), shift) for shift in (0, 85, value)], axis=1).astype(np.uint8)
    image = Image.fromarray(np.repeat(ramp[:, None], VALUES, axis=1))
    transform = TRANSFORMS[name]()
    assert torch.equal(in_two_parts(transform, image), transform(image))


class Own(transforms.ToTensor):
    """May scale as it likes."""


class Mirroring(transforms.Normalize):
    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        return super().forward(tensor).flip(-1)


@pytest.mark.parametrize(
    "transform",
    [
        lambda image: torch.zeros(3, 4, 4),
        transforms.Compose([transforms.ToTensor()]),
        transforms.Compose([Own(), transforms.Normalize(MEAN, STD)]),
        transforms.Compose([transforms.ToTensor(), Mirroring(MEAN, STD)]),
        transforms.Compose([transforms.Normalize(MEAN, STD), transforms.ToTensor()]),
        transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD), torch.nn.Identity()]),
        transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 4, (0.5,) * 4)]),
        transforms.Compose([]),
    ],
)
def test_what_is_not_certain_stays_in_one_part(transform: Any) -> None:
    assert split(transform, CPU) is None


def test_a_processor_with_a_step_of_its_own_or_with_padding_stays_in_one_part() -> None:
    library = pytest.importorskip("transformers.models.vit.image_processing_pil_vit")

    class Inverting(library.ViTImageProcessorPil):  # type: ignore[misc, name-defined]
        def normalize(self, image: Any, **keywords: Any) -> Any:
            return -super().normalize(image, **keywords)

    assert split(ProcessorTransform(Inverting()), CPU) is None
    padding = library.ViTImageProcessorPil(do_pad=True, pad_size={"height": 256, "width": 256})
    assert split(ProcessorTransform(padding), CPU) is None
    assert split(ProcessorTransform(lambda images, **keywords: {"pixel_values": []}), CPU) is None


def test_pixels_that_are_not_8_bits_are_an_error() -> None:
    steps = split(TRANSFORMS["recipe"](), CPU)
    assert steps is not None
    with pytest.raises(TypeError, match=r"uint8 of the shape \(56, 56\), not 8-bit RGB"):
        steps.pixels(Image.new("L", (64, 64)))


def test_a_model_embeds_pixels_as_it_embeds_what_preprocessing_gives(tmp_path: Path) -> None:
    model = load_timm(write_tiny_vit(tmp_path / "vit"))
    images = [noise(64, 64), noise(256, 256), noise(93, 71)]
    whole = model.embed(torch.stack([model.preprocess(image) for image in images]))
    assert model.pixels is not None
    pixels = torch.from_numpy(np.stack([model.pixels.pixels(image) for image in images]))
    assert torch.equal(model.embed(pixels.permute(0, 3, 1, 2)), whole)
