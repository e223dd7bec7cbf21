"""An image processor of transformers as a transform, in two parts where those are certain."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from PIL import Image

# What decides that images are resized and cropped first, and that each value is then scaled and normalized
# for itself. A processor with a method of its own among them may do anything in any order.
_DECIDING = (
    "__call__",
    "preprocess",
    "_preprocess_image_like_inputs",
    "_prepare_image_like_inputs",
    "process_image",
    "_preprocess",
    "resize",
    "center_crop",
    "rescale",
    "normalize",
)


class ProcessorTransform:
    """PIL image of any size -> (C, H, W) float32, by an image processor.

    Parameters
    ----------
    processor : of transformers, with Pillow as its backend.

    Attributes
    ----------
    geometry : RGB image -> (H, W, 3) uint8; None where the processor's order of steps is not certain.
    pointwise : RGB image -> (3, H, W) float32 of the same size, each value for itself; None as `geometry`.
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        certain = _has_known_order(processor)
        self.geometry = self._geometry if certain else None
        self.pointwise = self._pointwise if certain else None

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """The preprocessed image."""
        return self._tensor(image)

    def _tensor(self, image: Image.Image, **without: bool) -> torch.Tensor:
        pixels: torch.Tensor = self._processor(images=image, return_tensors="pt", **without)["pixel_values"][
            0
        ]
        return pixels.float()

    def _pointwise(self, image: Image.Image) -> torch.Tensor:
        return self._tensor(image, do_resize=False, do_center_crop=False)

    def _geometry(self, image: Image.Image) -> npt.NDArray[Any]:
        content = self._processor(images=image, return_tensors="np", do_rescale=False, do_normalize=False)
        return np.moveaxis(content["pixel_values"][0], 0, -1)


def _has_known_order(processor: Any) -> bool:
    try:
        known = importlib.import_module("transformers.image_processing_backends").PilBackend
    except (ImportError, AttributeError):  # an older version of the library
        return False
    if not isinstance(processor, known) or getattr(processor, "do_pad", None):
        return False  # what is padded at the end has values that are no pixels
    return all(getattr(type(processor), name, None) is getattr(known, name, None) for name in _DECIDING)
