"""A preprocessing in two parts: images keep 8 bits per value until they are on the model's device.

Resizing and cropping give 8-bit pixels. Scaling and normalizing map each value of a channel for itself, so
that they are a table of 256 values per channel. The transform itself fills it, on the CPU: what is looked up
on any device is equal, to the bit, to what the transform gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

if TYPE_CHECKING:
    from pathorob_checks.models.preprocessing import Transform

Uint8 = npt.NDArray[np.uint8]
# From an RGB image to what `np.asarray` makes (H, W, 3) uint8 of.
Geometry = Callable[["Image.Image"], Any]

VALUES = 256
# The two steps that torchvision's `Compose` must end with: they map every value of a channel for itself.
_POINTWISE = (
    (
        "torchvision.transforms.transforms.ToTensor",
        "timm.data.transforms.MaybeToTensor",
        "open_clip.transform.MaybeToTensor",
    ),
    ("torchvision.transforms.transforms.Normalize",),
)


class InTwoParts(Protocol):
    """A transform that knows its two parts: one to 8-bit pixels, and one that maps each value for itself."""

    geometry: Geometry
    pointwise: Transform


@dataclass(frozen=True)
class ToPixels:
    """The first part: RGB image of any size -> (H, W, 3) uint8. It can be sent to another process."""

    geometry: Geometry

    def __call__(self, image: Image.Image) -> Uint8:
        """The resized and cropped pixels.

        Raises
        ------
        TypeError : the geometry gives anything else.
        """
        values = np.asarray(self.geometry(image))
        if values.dtype != np.uint8 or values.ndim != 3 or values.shape[2] != 3:
            raise TypeError(f"resizing gave {values.dtype} of the shape {values.shape}, not 8-bit RGB pixels")
        return values


@dataclass(frozen=True)
class PixelSteps:
    """The two parts of a preprocessing.

    Attributes
    ----------
    pixels : the first part.
    table : (3, 256) float32 on the model's device; what each value of each channel becomes.
    """

    pixels: ToPixels
    table: torch.Tensor

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) uint8 in any layout, on the table's device -> (B, 3, H, W) float32, contiguous."""
        offsets = VALUES * torch.arange(len(self.table), dtype=torch.int32, device=pixels.device)
        places = pixels.contiguous().int().add_(offsets[:, None, None])
        return self.table.flatten().index_select(0, places.flatten()).view(places.shape)


def split(transform: Any, device: torch.device) -> PixelSteps | None:
    """The two parts of a transform, for a model on `device`; None where they are not certain.

    They are certain if it is torchvision's `Compose` and ends with scaling and normalizing, or if it names
    them itself (`InTwoParts`).
    """
    from torchvision import transforms

    geometry: Geometry | None = getattr(transform, "geometry", None)
    pointwise: Transform | None = getattr(transform, "pointwise", None)
    if type(transform) is transforms.Compose:
        first, last = transform.transforms[:-2], transform.transforms[-2:]
        if [_name(step) in known for step, known in zip(last, _POINTWISE, strict=False)] == [True, True]:
            geometry, pointwise = transforms.Compose(first), transforms.Compose(last)
    if geometry is None or pointwise is None:
        return None
    try:
        table = pointwise(_every_value()).flatten(1)
    except Exception:  # it comes from a file; the first image shows what is wrong with it
        return None
    if table.shape != (3, VALUES) or table.dtype != torch.float32:
        return None
    return PixelSteps(ToPixels(geometry), table.contiguous().to(device))


def _every_value() -> Image.Image:
    """An RGB image of 16 x 16 pixels: row by row, every value, the same in each channel."""
    values = np.arange(VALUES, dtype=np.uint8).reshape(16, 16, 1)
    return Image.fromarray(np.repeat(values, 3, axis=2))


def _name(step: object) -> str:
    return f"{type(step).__module__}.{type(step).__qualname__}"
