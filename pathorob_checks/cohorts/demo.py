"""The demo cohort: rendered tissue that needs no download; and writing a cohort to a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import PIL
from PIL import Image

from pathorob_checks.cohorts import tissue
from pathorob_checks.cohorts.cohort import COLUMNS, Cohort, views_of_one_table
from pathorob_checks.cohorts.file_names import SETTINGS
from pathorob_checks.cohorts.tissue import Place, Recipe, render

MANIFEST_COLUMNS = (
    "image_path",
    "slide_id",
    "patch_id",
    "biological_class",
    "medical_center",
    "subset",
)


def load() -> Cohort:
    """The demo cohort of the recipe that comes with the package."""
    return from_recipe(recipe_bytes())


def recipe_bytes() -> bytes:
    """The content of the recipe that comes with the package."""
    return (files("pathorob_checks.cohorts") / "demo_cohort.toml").read_bytes()


def from_recipe(content: bytes) -> Cohort:
    """Cohort of a recipe file's content; patches are rendered when they are read, on any thread."""
    recipe = Recipe.from_toml(content.decode("utf-8"))
    places = list(recipe.places())
    patches = pd.DataFrame([_labels(recipe, place) for place in places], columns=list(COLUMNS))
    return Cohort(
        name=recipe.name,
        patches=patches,
        read_image=_reader(recipe, places),
        images=_digest(content),
        license="Apache-2.0 (generated)",
        commercial=True,
        source="rendered by pathorob-checks",
        sources=("rendered by pathorob-checks",),
        views=views_of_one_table(patches, k=recipe.k),
    )


def _reader(recipe: Recipe, places: list[Place]) -> Callable[[int], Image.Image]:
    def read_image(row: int) -> Image.Image:
        return render(recipe, places[row])

    return read_image


def _labels(recipe: Recipe, place: Place) -> dict[str, str]:
    label, center = recipe.tissues[place.tissue].name, recipe.optics[place.optics]
    return {
        "subset": center.subset,
        "slide_id": f"{center.name}_{label}_s{place.slide + 1:02d}",
        "patch_id": f"p{place.patch + 1:02d}",
        "biological_class": label,
        "medical_center": center.name,
    }


def _digest(recipe: bytes) -> str:
    """Digest of all that decides the images.

    NumPy's random streams and Pillow's resampling and JPEG codec may change between versions, so their
    versions are part of it, as the renderer's source is.
    """
    digest = hashlib.sha256()
    source = Path(tissue.__file__).read_bytes()
    versions = f"numpy {np.__version__} pillow {PIL.__version__}".encode()
    for part in (recipe, source, versions):
        digest.update(hashlib.sha256(part).digest())  # hashed one by one, so that no boundary is ambiguous
    return digest.hexdigest()


def write_folder(folder: Path, cohort: Cohort, *, threads: int = 2) -> None:
    """Write a cohort as `images/<row>.png`, `manifest.csv` with each image's labels, and `cohort.toml`.

    The paths in the manifest are relative to `folder`. The folder is created where it does not exist, and
    files of the same name are replaced.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    # Files are named by rows and not by slides: a label may hold characters that a file name may not.
    digits = len(str(max(len(cohort) - 1, 0)))
    paths = [f"images/{row:0{digits}d}.png" for row in range(len(cohort))]

    def write(row: int) -> None:
        cohort.read_image(row).save(folder / paths[row])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(len(cohort))))
    manifest = cohort.patches.assign(image_path=paths)[list(MANIFEST_COLUMNS)]
    manifest.to_csv(folder / "manifest.csv", index=False, lineterminator="\n")
    (folder / SETTINGS).write_text(settings_text(cohort))


def settings_text(cohort: Cohort) -> str:
    """The settings file of a cohort."""
    lines = [f"license = {json.dumps(cohort.license)}"]
    if cohort.commercial is not None:
        lines.append(f"commercial = {json.dumps(cohort.commercial)}")
    if cohort.sources:
        lines.append(f"sources = {json.dumps(cohort.sources)}")
    k = cohort.views["robustness_index"].k
    if k is not None:
        lines.append(f"k = {k}  # neighbors of the robustness index")
    return "\n".join(lines) + "\n"
