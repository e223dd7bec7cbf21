"""The interface of a foundation model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from PIL import Image


class FoundationModel(Protocol):
    """A loaded encoder, ready to embed on its device.

    Attributes
    ----------
    identity : JSON-like description of everything in the model that decides an embedding's bytes
        (weights' digest, revision, architecture, preprocessing, pooling, precision).
    dimension : number of columns of an embedding.
    batch_size : patches per batch that suit the device.
    device : where `embed` computes; it accepts batches that are there or on the CPU.
    """

    identity: Mapping[str, object]
    dimension: int
    batch_size: int
    device: torch.device

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB image of any size -> (C, H, W) float32 tensor on the CPU."""
        ...

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, `dimension`) float32 tensor on the CPU."""
        ...
