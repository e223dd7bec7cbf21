"""Writes the files in this folder: run it where `anndata` and `spatialdata` are installed.

They are not among the libraries for development: the newest anndata for Python 3.11 is 0.12, which does not
go with pandas 3. anndata 0.12 wrote all files but `named_tiles.*`, which need 0.13
(`python make.py named_tiles`).
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

import anndata
import geopandas
import numpy as np
import pandas as pd
import spatialdata
from shapely import box
from spatialdata.models import ShapesModel, TableModel

HERE = Path(__file__).parent
SLIDES, PATCHES, DIMENSION = ("s1", "s2", "s3", "s4"), 3, 4
VALUES = np.random.default_rng(0).normal(size=(len(SLIDES) * PATCHES, DIMENSION)).astype("f4")
PLACES = np.array([[256 * patch, 512] for _ in SLIDES for patch in range(PATCHES)])


def packed(folder: Path, name: str) -> None:
    with zipfile.ZipFile(HERE / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())


def several_slides() -> anndata.AnnData:
    obs = pd.DataFrame({"slide_id": pd.Categorical(np.repeat(SLIDES, PATCHES))})
    data = anndata.AnnData(X=VALUES, obs=obs.set_index(np.arange(len(VALUES)).astype(str)))
    data.obsm["spatial"] = PLACES.astype(float)
    data.obsm["X_other"] = VALUES[:, :2].astype("f2")
    return data


def named_tiles() -> anndata.AnnData:
    """Tiles with names, which pandas 3 keeps as text with a mask."""
    obs = pd.DataFrame({"tile_id": [f"tile-{one}" for one in range(PATCHES)], "slide_id": ["s1"] * PATCHES})
    return anndata.AnnData(X=VALUES[:PATCHES], obs=obs.set_index(obs.tile_id.to_numpy()))


def tiles_of_a_slide() -> spatialdata.SpatialData:
    """As LazySlide writes it: features by tile_id, the tiles as polygons, in another order."""
    tiles = np.arange(PATCHES)
    order = tiles[::-1]
    shapes = geopandas.GeoDataFrame(
        {"tile_id": order, "geometry": [box(256 * one, 512, 256 * one + 256, 768) for one in order]}
    )
    obs = pd.DataFrame({"tile_id": tiles, "library_id": pd.Categorical(["tiles"] * PATCHES)})
    table = anndata.AnnData(X=VALUES[:PATCHES], obs=obs.set_index(tiles.astype(str)))
    parsed = TableModel.parse(table, region="tiles", region_key="library_id", instance_key="tile_id")
    return spatialdata.SpatialData(shapes={"tiles": ShapesModel.parse(shapes)}, tables={"uni_tiles": parsed})


def by_anndata_0_12(place: Path) -> None:
    several_slides().write_h5ad(HERE / "slides.h5ad", compression="gzip")
    for version in (2, 3):
        anndata.settings.zarr_write_format = version
        several_slides().write_zarr(place / str(version))
        packed(place / str(version), f"slides_v{version}.zarr")
    tiles_of_a_slide().write(place / "tiles")
    packed(place / "tiles", "tiles.zarr")


def by_anndata_0_13(place: Path) -> None:
    named_tiles().write_h5ad(HERE / "named_tiles.h5ad", compression="gzip")
    named_tiles().write_zarr(place / "named")
    packed(place / "named", "named_tiles.zarr")


with tempfile.TemporaryDirectory() as folder:
    (by_anndata_0_13 if "named_tiles" in sys.argv else by_anndata_0_12)(Path(folder))
