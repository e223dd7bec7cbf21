"""Rows of a cohort become batches on the model's device: read, preprocess, stack, send."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.embeddings.reading_processes import read_in_processes
from pathorob_checks.embeddings.tally import Tally
from pathorob_checks.embeddings.threads import in_order
from pathorob_checks.errors import ModelError, PathorobChecksError

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.models.foundation_model import FoundationModel

# sys.exit() in a model's code must not end the process, whose exit code is the gate's.
ENDS = (Exception, SystemExit)

# (C, H, W) tensor as `preprocess` of the model gives it, or (H, W, 3) uint8 array of its `pixels`.
Preprocessed = Any


@dataclass(frozen=True)
class RowReader:
    """Reads images and preprocesses them. It can be sent to another process if its functions can.

    Attributes
    ----------
    name : the model's name for messages.
    read_image : of the cohort.
    keys : of its patches.
    preprocess : from an RGB image to a tensor, or to 8-bit pixels.
    to_pixels : whether it gives 8-bit pixels.
    without_tissue : counts the patches that an image method in `preprocess` passes through unchanged.
    """

    name: str
    read_image: Callable[[int], Image.Image]
    keys: Sequence[str]
    preprocess: Callable[[Image.Image], Preprocessed]
    to_pixels: bool
    without_tissue: Tally = field(default_factory=Tally)

    def read(self, row: int) -> Preprocessed:
        """The preprocessed image of a row of the cohort.

        Raises
        ------
        CohortError : the image cannot be decoded.
        ModelError : preprocessing fails, or gives no image.
        """
        image = self.read_image(row)
        where = f"patch '{self.keys[row]}' ({image.width} x {image.height} pixels)"
        try:
            preprocessed = self.preprocess(image)
        except PathorobChecksError:
            raise
        except ENDS as error:
            raise ModelError(
                f"preprocessing of {self.name} failed on {where}: {one_line(error)}",
                remedy="let preprocess() take RGB images of any size",
            ) from error
        if not self.to_pixels:
            self._refuse_what_is_no_image(preprocessed, where)
        return preprocessed

    def _refuse_what_is_no_image(self, preprocessed: object, where: str) -> None:
        import torch

        if not isinstance(preprocessed, torch.Tensor) or preprocessed.ndim != 3:
            is_tensor = isinstance(preprocessed, torch.Tensor)
            shape = f" of the shape {tuple(preprocessed.shape)}" if is_tensor else ""  # type: ignore[attr-defined]
            raise ModelError(
                f"preprocessing of {self.name} returned {type(preprocessed).__name__}{shape} for {where}",
                remedy="let preprocess() return a (C, H, W) tensor",
            )

    def different_shapes(self, shapes: Iterable[Sequence[int]]) -> ModelError:
        """The error of images that make no batch."""
        shown = ", ".join(sorted({str(tuple(shape)) for shape in shapes}))
        return ModelError(
            f"preprocessing of {self.name} gives tensors of different shapes: {shown}",
            remedy="let preprocess() resize and crop to one size",
        )


class Reader:
    """Reads the patches of a cohort as a model takes them, and makes batches of them.

    A model that has its preprocessing in two parts (see `models.pixel_steps`) gets 8-bit pixels: a quarter of
    the bytes are stacked and sent, and its device scales and normalizes them.

    Parameters
    ----------
    name : the model's name for messages.

    Attributes
    ----------
    of_rows : reads one row.
    cannot : why threads read where processes were to; None otherwise.
    """

    def __init__(self, name: str, model: FoundationModel, cohort: Cohort) -> None:
        from pathorob_checks.models.transfers import Transfers

        pixels = getattr(model, "pixels", None)
        preprocess = model.preprocess if pixels is None else pixels.pixels
        tally = getattr(model, "without_tissue", Tally())
        self.of_rows = RowReader(name, cohort.read_image, cohort.keys, preprocess, pixels is not None, tally)
        self.cannot: str | None = None
        self._transfers = Transfers(model.device)

    def images(
        self, rows: Sequence[int], *, threads: int, window: int, processes: bool = False
    ) -> Generator[Preprocessed, None, None]:
        """The images of these rows, in order.

        Parameters
        ----------
        threads : rows that are read at the same time.
        window : rows that are read, or whose images wait to be used, at most.
        processes : whether to read in as many processes, where images are 8-bit pixels.
        """
        if processes and self.of_rows.to_pixels:
            return read_in_processes(
                self.of_rows, rows, processes=threads, window=window, cannot=self._read_in_threads
            )
        if processes:
            self._read_in_threads("the preprocessing does not end with 8-bit pixels")
        return in_order(self.of_rows.read, rows, threads=threads, window=window)

    def _read_in_threads(self, reason: str) -> None:
        self.cannot = reason

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
            raise self.of_rows.different_shapes(shapes)
        shape = (len(images), *images[0].shape)
        if self.of_rows.to_pixels:
            stacked = self._transfers.buffer(shape, torch.uint8)
            np.stack(images, out=stacked.numpy())
            return self._transfers.send(stacked).permute(0, 3, 1, 2)
        types = {image.dtype for image in images}
        # Tensors of several types become one type, which is not known before.
        same = self._transfers.buffer(shape, types.pop()) if len(types) == 1 else None
        return self._transfers.send(torch.stack(list(images), out=same))


def one_line(error: BaseException) -> str:
    """An error of a model's code for a message."""
    if isinstance(error, SystemExit):
        return f"it would have ended the process (sys.exit({error.code!r}))"
    return " ".join(str(error).split()) or type(error).__name__
