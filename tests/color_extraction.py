"""A stand-in model that describes colors, and a small cohort of random images to extract."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image

ROWS = 12


class ColorModel:
    """A stand-in: the mean color and its square."""

    identity: Mapping[str, object] = MappingProxyType({"architecture": "color", "revision": "1"})
    dimension = 6
    batch_size = 5
    device = torch.device("cpu")

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image, dtype=np.float32)).permute(2, 0, 1) / 255

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        mean = batch.mean(dim=(2, 3))
        return torch.cat([mean, mean**2], dim=1)


class BrokenModel(ColorModel):
    """A stand-in whose methods can be replaced by keyword."""

    def __init__(self, **methods: object) -> None:
        self.__dict__.update(methods)


@dataclasses.dataclass
class Prepared:
    """A stand-in that counts its loads, in a file so that other processes count too."""

    log: Path
    model: ColorModel = dataclasses.field(default_factory=ColorModel)
    name: str = "color"
    device: str = "cpu"
    identity: dict[str, object] = dataclasses.field(default_factory=lambda: dict(ColorModel.identity))

    def load(self) -> ColorModel:
        with self.log.open("a") as file:
            file.write("load\n")
        return self.model

    @property
    def loads(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


class NeverLoaded(Prepared):
    def load(self) -> ColorModel:
        raise AssertionError("the model was loaded although its embeddings are in the store")


def write_colors(folder: Path) -> Path:
    """A cohort of `ROWS` small random images."""
    folder.mkdir()
    pixels = np.random.default_rng(0)
    lines = ["image_path,slide_id,patch_id,biological_class,medical_center"]
    for i in range(ROWS):
        Image.fromarray(pixels.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,slide{i},{i:02},{'tumor' if i % 2 else 'normal'},{'A' if i % 4 < 2 else 'B'}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder
