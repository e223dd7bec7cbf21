"""Features of patches on disk, as other tools write them."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

Values = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
BY_ANNDATA = Path(__file__).parent / "anndata_files"


@dataclass(frozen=True)
class Slide:
    """A slide with features (N, D) of patches at places (N, 2)."""

    name: str
    center: str
    label: str
    values: Values
    places: Places
    subset: str = "ID"

    @property
    def ids(self) -> list[str]:
        """Patch ids by place."""
        return [f"{x}_{y}" for x, y in self.places.tolist()]


def some_slides(
    *, slides: int = 2, patches: int = 6, dim: int = 5, outside: int = 0, seed: int = 0
) -> list[Slide]:
    """So many slides of each class and center, two of each; `outside` more of each class out of domain."""
    rng = np.random.default_rng(seed)
    made = []
    for number, (center, subset) in enumerate({"north": "ID", "south": "ID", "west": "OOD"}.items()):
        for cls, label in enumerate(("normal", "tumor")):
            for one in range(outside if subset == "OOD" else slides):
                values = rng.normal(size=(patches, dim)).astype(np.float32)
                values[:, 0] += 5 * cls
                values[:, 1] += number
                places = np.array([[256 * (row % 3), 256 * (row // 3)] for row in range(patches)])
                made.append(Slide(f"{center}-{label}-{one}", center, label, values, places, subset))
    return made


def write_manifest(path: Path, slides: Sequence[Slide]) -> Path:
    """A row per slide."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["slide_id", "medical_center", "biological_class", "subset"])
        writer.writerows([slide.name, slide.center, slide.label, slide.subset] for slide in slides)
    return path


def hdf5(folder: Path, slides: Sequence[Slide]) -> None:
    """As TRIDENT: growing datasets in chunks of one patch, attributes at both."""
    for slide in slides:
        with h5py.File(folder / f"{slide.name}.h5", "w") as file:
            for name, values in (("features", slide.values), ("coords", slide.places)):
                shape = (None, values.shape[1])
                file.create_dataset(name, data=values, maxshape=shape, chunks=(1, values.shape[1]))
            file["features"].attrs.update(name=slide.name, savetodir="/job/features_uni_v1", encoder="uni_v1")
            file["coords"].attrs.update(patch_size=256, level0_magnification=40)


def clam(folder: Path, slides: Sequence[Slide]) -> None:
    """As CLAM: the same datasets, without attributes and with coordinates of 32 bits."""
    for slide in slides:
        with h5py.File(folder / f"{slide.name}.h5", "w") as file:
            file["features"], file["coords"] = slide.values, slide.places.astype(np.int32)


def bags(folder: Path, slides: Sequence[Slide]) -> None:
    """As slideflow: a tensor and an index per slide, and the extractor's settings."""
    for slide in slides:
        torch.save(torch.from_numpy(slide.values), folder / f"{slide.name}.pt")
        np.savez(folder / f"{slide.name}.index", slide.places)
    config = {"extractor": {"class": "slideflow.model.extractors.uni.UNIFeatures", "kwargs": {}}}
    (folder / "bags_config.json").write_text(json.dumps(config))


def eva_slides(folder: Path, slides: Sequence[Slide]) -> None:
    """As eva for slides: one list of vectors each."""
    _eva(folder, [(f"{slide.name}.tiff", list(slide.values), None) for slide in slides])


def eva_patches(folder: Path, slides: Sequence[Slide]) -> None:
    """As eva for patches: a list of one vector each, the slide in the metadata."""
    _eva(
        folder,
        [
            (f"{slide.name}/{name}.png", [vector], slide.name)
            for slide in slides
            for name, vector in zip(slide.ids, slide.values, strict=True)
        ],
    )


def _eva(folder: Path, rows: Sequence[tuple[str, list[Values], str | None]]) -> None:
    with_slide = rows[0][2] is not None
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["origin", "embeddings", "target", "split", *(["wsi_id"] if with_slide else [])])
        for origin, vectors, slide in rows:
            path = Path(origin).with_suffix(".pt")
            (folder / path).parent.mkdir(exist_ok=True)
            torch.save([torch.from_numpy(one.copy()) for one in vectors], folder / path)
            writer.writerow([origin, path.as_posix(), 0, "train", *([slide] if with_slide else [])])


def table_of(slides: Sequence[Slide]) -> pd.DataFrame:
    """A row per patch, with a column per number as slideflow calls it."""
    parts = [
        pd.DataFrame(slide.values, columns=[f"Feature_{at}" for at in range(slide.values.shape[1])]).assign(
            Slide=slide.name, Class_0=0.5, Class_1=0.5, x=slide.places[:, 0], y=slide.places[:, 1]
        )
        for slide in slides
    ]
    return pd.concat(parts, ignore_index=True)


def csv_table(folder: Path, slides: Sequence[Slide]) -> None:
    """One CSV of all slides."""
    table_of(slides).to_csv(folder / "features.csv", index=False)


def csv_per_slide(folder: Path, slides: Sequence[Slide]) -> None:
    """A CSV for each slide, which names patches and nothing else."""
    for slide in slides:
        table = pd.DataFrame(slide.values).add_prefix("f").assign(patch_id=slide.ids)
        table.to_csv(folder / f"{slide.name}.csv", index=False)


def parquet_columns(folder: Path, slides: Sequence[Slide]) -> None:
    """Parquet with a column per number."""
    table_of(slides).to_parquet(folder / "features.parquet")


def parquet_lists(folder: Path, slides: Sequence[Slide]) -> None:
    """Parquet with a list per patch."""
    table = table_of(slides)[["Slide", "x", "y"]].assign(
        embedding=[list(row) for slide in slides for row in slide.values]
    )
    table.to_parquet(folder / "features.parquet")


Writer = Callable[[Path, Sequence[Slide]], None]
# The writers, the format that each has, and what its files say about the FM.
WRITERS: dict[Writer, tuple[str, str | None]] = {
    hdf5: ("hdf5", "uni_v1"),
    clam: ("hdf5", None),
    bags: ("bags", "slideflow.model.extractors.uni.UNIFeatures"),
    eva_slides: ("eva", None),
    eva_patches: ("eva", None),
    csv_table: ("table", None),
    csv_per_slide: ("table", None),
    parquet_columns: ("table", None),
    parquet_lists: ("table", None),
}


def unpacked(name: str, folder: Path) -> Path:
    """A zarr store that anndata or spatialdata wrote."""
    with zipfile.ZipFile(BY_ANNDATA / f"{name}.zip") as archive:
        archive.extractall(folder)
    return folder
