"""The same patches in each of the three forms of a user's own cohort."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pathorob_checks.cohorts import registry
from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.errors import CohortError

LABELS = ("slide_id", "patch_id", "biological_class", "medical_center", "subset")


@dataclass(frozen=True)
class Given:
    """A patch as a test writes it."""

    slide_id: str
    patch_id: str
    biological_class: str
    medical_center: str
    subset: str
    image: bytes

    def but(self, **changes: Any) -> Given:
        return replace(self, **changes)


def picture(seed: int, side: int = 8, kind: str = "PNG") -> bytes:
    """An image file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def twelve() -> list[Given]:
    """2 classes x 3 centers x 2 patches in the order of their paths; center C is out of domain."""
    patches: list[Given] = []
    for subset, centers in (("ID", "AB"), ("OOD", "C")):
        for label in ("NA", "tumor"):
            for center in centers:
                for patch in ("007", "1.0"):
                    slide = f"{center}{label}"
                    patches.append(Given(slide, patch, label, center, subset, picture(len(patches))))
    return patches


def write_manifest(place: Path, patches: Sequence[Given]) -> Path:
    folder = place / "cohort"
    (folder / "images").mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image_path", *LABELS])
        for row, patch in enumerate(patches):
            path = f"images/{row}.png"
            (folder / path).write_bytes(patch.image)
            table.writerow([path, *(getattr(patch, column) for column in LABELS)])
    return folder


def write_tree(place: Path, patches: Sequence[Given]) -> Path:
    folder = place / "cohort"
    sided = any(patch.subset == "OOD" for patch in patches)
    for patch in patches:
        top = folder / patch.subset if sided else folder
        slide = top / patch.biological_class / patch.medical_center / patch.slide_id
        slide.mkdir(parents=True, exist_ok=True)
        (slide / f"{patch.patch_id}.png").write_bytes(patch.image)
    return folder


def parquet_table(patches: Sequence[Given], *, struct: bool = False) -> pa.Table:
    columns = {column: [getattr(patch, column) for patch in patches] for column in LABELS}
    images = [{"bytes": patch.image, "path": None} if struct else patch.image for patch in patches]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())]) if struct else pa.binary()
    return pa.table({"image": pa.array(images, kind), **columns})


def write_parquet(place: Path, patches: Sequence[Given]) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    path = place / "cohort.parquet"
    pq.write_table(parquet_table(patches), path, row_group_size=5)
    return path


FORMS: dict[str, Callable[[Path, Sequence[Given]], Path]] = {
    "manifest": write_manifest,
    "tree": write_tree,
    "parquet": write_parquet,
}


def load(path: Path) -> Cohort:
    """As `--fm-cohort=PATH` does."""
    nowhere = path.parent / "unused"
    return registry.load_cohort(str(path), registry.CohortSources(metadata=None, cache=nowhere))


def problem(path: Path) -> str:
    """The message of the error for a cohort that cannot be used."""
    with pytest.raises(CohortError) as caught:
        load(path)
    return sentence(caught.value)


def sentence(error: CohortError) -> str:
    message = str(error)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def assert_mentions(message: str, *words: str) -> None:
    assert [word for word in words if word not in message] == [], message
