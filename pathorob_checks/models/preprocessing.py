"""From an image to the tensor that a network takes: resize, crop, scale, normalize."""

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
_MOST_PIXELS = 8_192
_TOLERANCE = 5e-4  # on mean and std: some publish three digits, some six
_STATISTICS = (("pixel_mean", "pixel_std"), ("image_mean", "image_std"))


@dataclass(frozen=True)
class Preprocessing:
    """The steps, as `recipes.RecipePreprocessing` describes them, with every value set."""

    size: int
    resize: int
    crop: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def transform(self) -> Transform:
        """PIL image of any size -> (3, size, size) float32; Pillow resizes, alike on every machine."""
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
    """timm's data config as the fields of `Preprocessing`; values that do not fit into them are left out."""
    _, height, width = config["input_size"]
    values: dict[str, Any] = {
        "interpolation": config.get("interpolation"),
        "mean": _triple(config.get("mean")),
        "std": _triple(config.get("std")),
    }
    if height == width:
        values["size"] = int(height)
        values["resize"] = int(height / (config.get("crop_pct") or 1.0))
    if config.get("crop_mode") in ("center", "squash"):
        values["crop"] = config["crop_mode"]
    return {key: value for key, value in values.items() if value is not None}


def from_processor(processor: Any) -> dict[str, Any]:
    """An image processor as the fields of `Preprocessing`; values that do not fit into them are left out."""
    from PIL import Image

    values: dict[str, Any] = {}
    size = _sizes(getattr(processor, "size", None))
    crops = bool(getattr(processor, "do_center_crop", False))
    crop_size = _sizes(getattr(processor, "crop_size", None)) if crops else {}
    if "shortest_edge" in size:
        values |= {"resize": size["shortest_edge"], "crop": "center"}
    elif size.get("height") and size.get("height") == size.get("width"):
        values |= {"resize": size["height"], "crop": "squash"}
    target = crop_size.get("height") or crop_size.get("shortest_edge") or values.get("resize")
    if target:
        values["size"] = target
    resample = getattr(processor, "resample", None)
    if resample is not None:
        values["interpolation"] = Image.Resampling(int(getattr(resample, "value", resample))).name.lower()
    values |= {"mean": _triple(getattr(processor, "image_mean", None))}
    values |= {"std": _triple(getattr(processor, "image_std", None))}
    return {key: value for key, value in values.items() if value is not None}


def from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Mean and std in a `config.json`, where some authors of models with code of their own keep them.

    Values that are not those of channels in 0..1 are left out.
    """
    for mean, std in _STATISTICS:
        try:
            values = {"mean": _triple(config.get(mean)), "std": _triple(config.get(std))}
        except (TypeError, ValueError):
            continue
        if all(triple and all(0 < number <= 1 for number in triple) for triple in values.values()):
            return values
    return {}


def merge(
    recipe: RecipePreprocessing, repository: Mapping[str, Any], origin: str
) -> tuple[Preprocessing, list[str]]:
    """The recipe's values, the repository's where it has none, and a note on every disagreement.

    Raises
    ------
    ModelError : when neither has a value.
    """
    values: dict[str, Any] = {}
    notes: list[str] = []
    for field in FIELDS:
        ours, theirs = getattr(recipe, field), repository.get(field)
        values[field] = theirs if ours is None else ours
        if ours is not None and theirs is not None and not _same(ours, theirs):
            notes.append(
                f"{origin}: the repository's preprocessing has {field} {_text(theirs)}; the recipe's "
                f"{_text(ours)} is used, as in the benchmark."
            )
    missing = [field for field in FIELDS if values[field] is None]
    if missing:
        raise ModelError(
            f"neither the files of {origin} nor its recipe give the preprocessing's {', '.join(missing)}",
            remedy="load it with your own python:module:factory",
        )
    refuse_sizes(values, origin)
    return Preprocessing(**values), notes


def refuse_sizes(values: Mapping[str, Any], origin: str) -> None:
    """Raise ModelError where images would become larger than any memory, or nothing."""
    for field in ("size", "resize"):
        if not 0 < values.get(field, 1) <= _MOST_PIXELS:
            raise ModelError(
                f"the preprocessing of {origin} has {field} {values[field]}, but images have at most "
                f"{_MOST_PIXELS} px a side",
                remedy="save the model again, or load it with your own python:module:factory",
            )


def _sizes(value: Any) -> dict[str, int]:
    """A processor's size, which is an object, a dict or a number, depending on its version."""
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
