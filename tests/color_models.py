"""Stand-in models: a sound one that describes colors, and models with one defect each."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from pathorob_checks.embeddings import variations
from pathorob_checks.errors import MetricError

Float32 = npt.NDArray[np.float32]


def matrix(rows: int = 600, columns: int = 32, offset: float = 1.0, seed: int = 0) -> Float32:
    """Gaussian rows around a common vector; by default more than the checks read in one block."""
    rng = np.random.default_rng(seed)
    return (offset * rng.standard_normal(columns) + rng.standard_normal((rows, columns))).astype(np.float32)


def keys(values: Float32) -> list[str]:
    return [f"s-{row}" for row in range(len(values))]


class Model:
    """A sound stand-in: mean and standard deviation of the colors of an image, and of its left half."""

    identity: dict[str, object] = {"architecture": "colors"}  # noqa: RUF012
    dimension = 12
    batch_size = 5
    device = torch.device("cpu")

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 255

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        half = batch[..., : batch.shape[-1] // 2]
        return torch.cat([f(x, dim=(2, 3)) for x in (batch, half) for f in (torch.mean, torch.std)], dim=1)


class Masking(Model):
    """Preprocessing marks a pixel by NaN, which the model leaves out."""

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        tensor = super().preprocess(image)
        tensor[:, 0, 0] = torch.nan
        return tensor

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        return super().embed(batch.nan_to_num())


class Training(Model):
    """Dropout is on."""

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(super().embed(batch), 0.1)


class Augmenting(Model):
    """Preprocessing flips images at random."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        tensor = super().preprocess(image)
        return tensor.flip(2) if self.rng.random() < 0.5 else tensor


class Cropping(Model):
    """Preprocessing on several threads gives tensors of another size."""

    def __init__(self) -> None:
        self.calls = 0

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        self.calls += 1
        one_by_one = 5 * variations.SAMPLE + variations.ALONE  # calls before several threads preprocess
        return super().preprocess(image)[..., : 38 if self.calls > one_by_one else 40]


class Coupled(Model):
    """A patch is scaled by its batch."""

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        return super().embed(batch / batch.max())


class Positional(Model):
    """An embedding depends on its place in the batch; the first place is as if the patch were alone."""

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        return super().embed(batch) + 0.001 * torch.arange(len(batch))[:, None]


class Shared(Model):
    """Preprocessing that gives other tensors while another thread preprocesses."""

    added = torch.full((3, 1, 1), 0.1)  # to each channel

    def __init__(self) -> None:
        self.lock, self.never = threading.Lock(), threading.Event()

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        alone = self.lock.acquire(blocking=False)
        try:
            self.never.wait(0.004)
            return super().preprocess(image) + (0 if alone else self.added)
        finally:
            if alone:
                self.lock.release()


class SharedBlue(Shared):
    """The same in the last channel."""

    added = torch.tensor([0, 0, 0.1])[:, None, None]


@dataclasses.dataclass
class Prepared:
    """A stand-in that counts its loads."""

    model: Any = dataclasses.field(default_factory=Model)
    name: str = "colors"
    device: str = "cpu"
    identity: dict[str, object] = dataclasses.field(default_factory=lambda: {**Model.identity})
    loads: int = 0

    def load(self) -> Any:
        self.loads += 1
        return self.model


def no_index(*_: object) -> tuple[float, int]:
    raise MetricError("it has no value here", remedy="leave it out")
