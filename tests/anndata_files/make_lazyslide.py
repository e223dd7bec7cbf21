"""Writes lazyslide.zarr.zip, the store of one slide: run it where `lazyslide` and `tifffile` are installed.

LazySlide 0.13.0 wrote it on Python 3.12, with wsidata 0.12.0, spatialdata 0.8.0, anndata 0.13.4, zarr 3.4.2.
The model is the mean color of a tile, so that the features say where in the image they are from.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import lazyslide
import numpy as np
import tifffile
import torch
from torchvision.transforms import v2
from wsidata import open_wsi

HERE = Path(__file__).parent
TILE, LEFT, TOP, COLUMNS, ROWS = 256, 384, 512, 3, 2
MICRONS_PER_PIXEL = 0.5
TO_TENSOR = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


class MeanColor(torch.nn.Module):
    """(N, 3, H, W) images to (N, 3) means."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def slide(path: Path) -> None:
    """A pyramid of tiled images: tissue of 3 x 2 tiles on white; the mean of each tile is another color.

    LazySlide takes three of them for tissue.
    """
    image = np.full((1536, 1536, 3), 245, np.uint8)
    image[TOP : TOP + TILE * ROWS + 32, LEFT : LEFT + TILE * COLUMNS + 32] = (
        150,
        60,
        150,
    )
    texture = np.where(np.indices((TILE, TILE)).sum(axis=0) // 8 % 2, 20, -20)[..., None]
    for row in range(ROWS):
        for column in range(COLUMNS):
            x, y = LEFT + TILE * column, TOP + TILE * row
            image[y : y + TILE, x : x + TILE] = np.array([120 + 20 * column, 60, 120 + 20 * row]) + texture
    with tifffile.TiffWriter(path) as file:
        for level in (1, 2, 4):
            file.write(
                image[::level, ::level],
                tile=(TILE, TILE),
                photometric="rgb",
                compression="zlib",
                resolution=(1e4 / MICRONS_PER_PIXEL / level,) * 2,
                resolutionunit="CENTIMETER",
                subfiletype=int(level > 1),
            )


with tempfile.TemporaryDirectory() as place:
    slide(Path(place) / "s1.tiff")
    store = Path(place) / "s1.zarr"
    wsi = open_wsi(Path(place) / "s1.tiff", store=str(store))
    lazyslide.pp.find_tissues(wsi)
    lazyslide.pp.tile_tissues(wsi, TILE, mpp=MICRONS_PER_PIXEL)
    lazyslide.tl.feature_extraction(
        wsi, model=MeanColor(), model_name="color", transform=TO_TENSOR, device="cpu", pbar=False
    )
    wsi.write()
    with zipfile.ZipFile(HERE / "lazyslide.zarr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(store.rglob("*")):
            if path.is_file():
                archive.writestr(zipfile.ZipInfo(path.relative_to(store).as_posix()), path.read_bytes())
