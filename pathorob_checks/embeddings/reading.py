"""Rows of a cohort become batches on the model's device: read, preprocess, stack, send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.errors import ModelError, PathorobChecksError

if TYPE_CHECKING:
    import torch

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.models.foundation_model import FoundationModel

# sys.exit() in a model's code must not end the process, whose exit code is the gate's.
ENDS = (Exception, SystemExit)

# (C, H, W) tensor as `preprocess` of the model gives it, or (H, W, 3) uint8 array of its `pixels`.
Preprocessed = Any


class Reader:
    """Reads the patches of a cohort as a model takes them.

    A model that has its preprocessing in two parts (see `models.pixel_steps`) gets 8-bit pixels: a quarter of
    the bytes are stacked and sent, and its device scales and normalizes them.

    Parameters
    ----------
    name : the model's name for messages.
    """

    def __init__(self, name: str, model: FoundationModel, cohort: Cohort) -> None:
        from pathorob_checks.models.transfers import Transfers

        self._name = name
        self._cohort = cohort
        pixels = getattr(model, "pixels", None)
        self._preprocess = model.preprocess if pixels is None else pixels.pixels
        self._kind = "tensor" if pixels is None else "pixels"
        self._transfers = Transfers(model.device)

    def read(self, row: int) -> Preprocessed:
        """The preprocessed image of a row of the cohort.

        Raises
        ------
        CohortError : the image cannot be decoded.
        ModelError : preprocessing fails, or gives no image.
        """
        image = self._cohort.read_image(row)
        where = f"patch '{self._cohort.keys[row]}' ({image.width} x {image.height} pixels)"
        try:
            preprocessed = self._preprocess(image)
        except PathorobChecksError:
            raise
        except ENDS as error:
            raise ModelError(
                f"preprocessing of {self._name} failed on {where}: {one_line(error)}",
                remedy="let preprocess() take RGB images of any size",
            ) from error
        if self._kind == "tensor":
            self._refuse_what_is_no_image(preprocessed, where)
        return preprocessed

    def _refuse_what_is_no_image(self, preprocessed: object, where: str) -> None:
        import torch

        if not isinstance(preprocessed, torch.Tensor) or preprocessed.ndim != 3:
            is_tensor = isinstance(preprocessed, torch.Tensor)
            shape = f" of the shape {tuple(preprocessed.shape)}" if is_tensor else ""  # type: ignore[attr-defined]
            raise ModelError(
                f"preprocessing of {self._name} returned {type(preprocessed).__name__}{shape} for {where}",
                remedy="let preprocess() return a (C, H, W) tensor",
            )

    def batch(self, images: Sequence[Preprocessed]) -> torch.Tensor:
        """(B, C, H, W) on the model's device; on the CPU if the device has too little memory left.

        8-bit pixels keep their order in memory, (B, H, W, C).

        Raises
        ------
        ModelError : the images have different shapes.
        """
        import torch

        shapes = {tuple(image.shape) for image in images}
        if len(shapes) > 1:
            shown = ", ".join(map(str, sorted(shapes)))
            raise ModelError(
                f"preprocessing of {self._name} gives tensors of different shapes: {shown}",
                remedy="let preprocess() resize and crop to one size",
            )
        shape = (len(images), *images[0].shape)
        if self._kind == "pixels":
            stacked = self._transfers.buffer(shape, torch.uint8)
            np.stack(images, out=stacked.numpy())
            return self._transfers.send(stacked).permute(0, 3, 1, 2)
        # Tensors of different types become one type, as without a buffer.
        types = {image.dtype for image in images}
        same = self._transfers.buffer(shape, types.pop()) if len(types) == 1 else None
        return self._transfers.send(torch.stack(list(images), out=same))


def one_line(error: BaseException) -> str:
    """An error of a model's code for a message."""
    if isinstance(error, SystemExit):
        return f"it would have ended the process (sys.exit({error.code!r}))"
    return " ".join(str(error).split()) or type(error).__name__
