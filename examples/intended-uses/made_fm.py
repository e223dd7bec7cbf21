"""An FM that is made for this example: it sees the tissue well, and it also sees the stain.

Its embedding is that of the built-in `demo:stain-invariant`, and beside it the mean red, green and blue of
the patch. We chose the weight of the color: classes stay apart, and patches of a class lie in the order of
their colors.
"""

import torch
from PIL import Image

from pathorob_checks.models.demo import StainInvariantEncoder

WEIGHT_OF_COLOR = 15.0
MIDDLE = 0.7  # brightness of a typical patch, 0..1


class TissueAndColor:
    """What `pytest --fm=python:made_fm:tissue_and_color` embeds patches with."""

    def __init__(self) -> None:
        self.tissue = StainInvariantEncoder()

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """A patch as (3, H, W) float32 in 0..1."""
        return self.tissue.preprocess(image)

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D) float32."""
        color = WEIGHT_OF_COLOR * (batch.mean(dim=(2, 3)) - MIDDLE)
        return torch.cat([self.tissue.embed(batch), color], dim=1)


def tissue_and_color() -> TissueAndColor:
    """The factory that `--fm` names."""
    return TissueAndColor()
