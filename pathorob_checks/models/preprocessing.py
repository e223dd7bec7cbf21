"""From an image to the tensor that a network takes: resize, crop, scale, normalise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pathorob_checks.errors import ModelError

if TYPE_CHECKING:
    from PIL import Image

    from pathorob_checks.models.recipes import RecipePreprocessing

Transform = Callable[["Image.Image"], torch.Tensor]
FIELDS = ("size", "resize", "crop", "interpolation", "mean", "std")
_TOLERANCE = 5e-4  # on mean and std: some publish three digits, some six


@dataclass(frozen=True)
class Preprocessing:
    """The steps, as `recipes.RecipePreprocessing` describes them, with nothing left open."""

    size: int
    resize: int
    crop: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def transform(self) -> Transform:
        """PIL image of any size -> (3, size, size) float32; Pillow resizes, so that every machine agrees."""
        from torchvision import transforms

        mode = transforms.InterpolationMode(self.interpolation)
        target: Any = (self.resize, self.resize) if self.crop == "squash" else self.resize
        steps: Transform = transforms.Compose(
            [
                transforms.Resize(target, interpolation=mode),
                transforms.CenterCrop(self.size),
                transforms.ToTensor(),
                transforms.Normalize(mean=self.mean, std=self.std),
            ]
        )
        return steps

    def describe(self) -> dict[str, object]:
        """Readable and JSON-like."""
        return {
            "size": [self.size, self.size],
            "resize": self.resize,
            "crop": self.crop,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }


def from_timm(config: Mapping[str, Any]) -> dict[str, Any]:
    """timm's data config in this module's words; what they cannot say is left out."""
    _, height, width = config["input_size"]
    found: dict[str, Any] = {
        "interpolation": config.get("interpolation"),
        "mean": _triple(config.get("mean")),
        "std": _triple(config.get("std")),
    }
    if height == width:
        found["size"] = int(height)
        found["resize"] = int(height / (config.get("crop_pct") or 1.0))
    if config.get("crop_mode") in ("center", "squash"):
        found["crop"] = config["crop_mode"]
    return {key: value for key, value in found.items() if value is not None}


def from_processor(processor: Any) -> dict[str, Any]:
    """A transformers image processor in this module's words; what they cannot say is left out."""
    from PIL import Image

    found: dict[str, Any] = {}
    size = _sizes(getattr(processor, "size", None))
    crops = bool(getattr(processor, "do_center_crop", False))
    crop_size = _sizes(getattr(processor, "crop_size", None)) if crops else {}
    if "shortest_edge" in size:
        found |= {"resize": size["shortest_edge"], "crop": "center"}
    elif size.get("height") and size.get("height") == size.get("width"):
        found |= {"resize": size["height"], "crop": "squash"}
    target = crop_size.get("height") or crop_size.get("shortest_edge") or found.get("resize")
    if target:
        found["size"] = target
    resample = getattr(processor, "resample", None)
    if resample is not None:
        found["interpolation"] = Image.Resampling(int(getattr(resample, "value", resample))).name.lower()
    found |= {"mean": _triple(getattr(processor, "image_mean", None))}
    found |= {"std": _triple(getattr(processor, "image_std", None))}
    return {key: value for key, value in found.items() if value is not None}


def merge(
    recipe: RecipePreprocessing, repository: Mapping[str, Any], origin: str
) -> tuple[Preprocessing, list[str]]:
    """The recipe's values, the repository's where it has none, and a note on every disagreement.

    Raises
    ------
    ModelError : when neither says what is needed.
    """
    values: dict[str, Any] = {}
    notes: list[str] = []
    for field in FIELDS:
        wanted, found = getattr(recipe, field), repository.get(field)
        values[field] = found if wanted is None else wanted
        if wanted is not None and found is not None and not _same(wanted, found):
            notes.append(
                f"{origin}: the repository's preprocessing has {field} {_text(found)}; the recipe's "
                f"{_text(wanted)} is used, as in the benchmark."
            )
    lacking = [field for field in FIELDS if values[field] is None]
    if lacking:
        raise ModelError(
            f"neither {origin} nor its recipe says the preprocessing's {', '.join(lacking)}",
            remedy="load it by code of your own with python:module:factory",
        )
    return Preprocessing(**values), notes


def _sizes(value: Any) -> dict[str, int]:
    """A processor's size, which is an object, a dict or a number by version and age."""
    if value is None:
        return {}
    if isinstance(value, int):
        return {"height": value, "width": value}
    items = value if isinstance(value, Mapping) else vars(value)
    return {str(key): int(number) for key, number in items.items() if isinstance(number, int)}


def _triple(value: Any) -> tuple[float, ...] | None:
    if value is None or isinstance(value, int | float):
        return None if value is None else (float(value),) * 3
    numbers = tuple(float(number) for number in value)
    return numbers if len(numbers) == 3 else None


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return all(abs(a - b) <= _TOLERANCE for a, b in zip(left, right, strict=True))
    return bool(left == right)


def _text(value: Any) -> str:
    return "/".join(f"{number:g}" for number in value) if isinstance(value, tuple) else str(value)
