"""The demo cohort: rendered tissue that needs no download, and two ways to write a cohort down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import PIL
from PIL import Image, ImageDraw, ImageFont

from pathorob_checks.cohorts import tissue
from pathorob_checks.cohorts.cohort import COLUMNS, Cohort, views_of_one_table
from pathorob_checks.cohorts.tissue import Place, Recipe, render
from pathorob_checks.resources import resource_path

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
    return from_recipe(resource_path("fixtures", "demo_cohort.toml").read_bytes())


def from_recipe(recipe_bytes: bytes) -> Cohort:
    """Cohort of a recipe file's content; patches are rendered when they are read, on any thread."""
    recipe = Recipe.from_toml(recipe_bytes.decode("utf-8"))
    places = list(recipe.places())
    patches = pd.DataFrame([_labels(recipe, place) for place in places], columns=list(COLUMNS))
    return Cohort(
        name=recipe.name,
        patches=patches,
        read_image=_reader(recipe, places),
        digest=_digest(recipe_bytes),
        license="Apache-2.0 (generated)",
        commercial=True,
        source="rendered by pathorob-checks",
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


def _digest(recipe_bytes: bytes) -> str:
    """Digest of what decides the images.

    NumPy's random streams and Pillow's resampling and JPEG codec may change between versions, so that
    their versions belong to the images as much as the renderer's source does.
    """
    digest = hashlib.sha256()
    source = Path(tissue.__file__).read_bytes()
    versions = f"numpy {np.__version__} pillow {PIL.__version__}".encode()
    for part in (recipe_bytes, source, versions):
        digest.update(hashlib.sha256(part).digest())  # hashed apart, so that no boundary is ambiguous
    return digest.hexdigest()


def write_folder(folder: Path, cohort: Cohort, *, threads: int = 2) -> None:
    """Write a cohort as `images/<row>.png` and a `manifest.csv` that names each image and its labels.

    The paths in the manifest are relative to `folder`; the folder is made where it is missing, and files
    of the same name are replaced.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    # Rows, not slide names, name the files: a label may hold characters that a file name may not.
    digits = len(str(max(len(cohort) - 1, 0)))
    paths = [f"images/{row:0{digits}d}.png" for row in range(len(cohort))]

    def write(row: int) -> None:
        cohort.read_image(row).save(folder / paths[row])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(len(cohort))))
    manifest = cohort.patches.assign(image_path=paths)[list(MANIFEST_COLUMNS)]
    manifest.to_csv(folder / "manifest.csv", index=False, lineterminator="\n")


def contact_sheet(cohort: Cohort, *, per_cell: int = 2, side: int = 160) -> Image.Image:
    """Labelled overview: a row for each class, a group of `per_cell` slides for each medical center.

    Parameters
    ----------
    per_cell : patches of each class and center, each from another slide where there are enough.
    side : pixels on a side of a patch in the overview.
    """
    patches = cohort.patches
    classes = list(dict.fromkeys(patches["biological_class"]))
    centers = list(dict.fromkeys(zip(patches["medical_center"], patches["subset"], strict=True)))
    font = ImageFont.load_default(size=15)
    gap, group_gap, left, top = 4, 14, 110, 32
    group = per_cell * (side + gap) - gap
    width = left + len(centers) * (group + group_gap)
    sheet = Image.new("RGB", (width, top + len(classes) * (side + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (center, subset) in enumerate(centers):
        x = left + column * (group + group_gap)
        draw.text((x + group / 2, top / 2), f"{center} ({subset})", fill="black", font=font, anchor="mm")
        for row, label in enumerate(classes):
            y = top + row * (side + gap)
            if column == 0:
                draw.text((left - 10, y + side / 2), label, fill="black", font=font, anchor="rm")
            cell = patches[
                (patches["biological_class"] == label)
                & (patches["medical_center"] == center)
                & (patches["subset"] == subset)
            ]
            # The first patch of every slide, then the second ones, and so on.
            spread = cell.assign(turn=cell.groupby("slide_id").cumcount()).sort_values("turn", kind="stable")
            for i, patch in enumerate(spread.index[:per_cell]):
                image = cohort.read_image(int(patch)).resize((side, side), Image.Resampling.LANCZOS)
                sheet.paste(image, (x + i * (side + gap), y))
    return sheet
