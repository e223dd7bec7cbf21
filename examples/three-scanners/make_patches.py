"""Draw a small cohort of three scanners: python make_patches.py FOLDER.

Every slide has tissue of its own. The scanners differ in their tint and their sharpness, as real ones do.
The folder has the form of any cohort with a table: images and `manifest.csv`.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 112  # pixels
PATCHES = 3  # of each slide
GLASS, EOSIN, HEMATOXYLIN = (240, 236, 240), (222, 160, 194), (92, 62, 140)  # RGB
TISSUES = {"tumor": (14, 9.0), "lymphocytes": (70, 4.0)}  # mean number of nuclei, their radius in pixels
SCANNERS = {  # subset, slides of each class, tint as a factor of red, green and blue, blur in pixels
    "AT2": ("ID", 10, (1.00, 0.96, 1.00), 0.4),
    "GT450": ("ID", 10, (0.98, 0.86, 0.84), 0.8),
    "NanoZoomer": ("OOD", 4, (0.88, 0.94, 1.04), 1.2),
}


def tissue(name: str, rng: np.random.Generator) -> Image.Image:
    """A patch as it lies on the glass, before any scanner has seen it."""
    image = Image.new("RGB", (SIDE, SIDE), GLASS)
    pen = ImageDraw.Draw(image)
    for _ in range(30):  # pink stroma between the nuclei
        x, y, length = rng.uniform(0, SIDE, 3)
        pen.line((x, y, x + length, y + length * rng.uniform(-1, 1)), fill=EOSIN, width=8)
    count, radius = TISSUES[name]
    for x, y in rng.uniform(0, SIDE, (rng.poisson(count), 2)):
        wide, high = radius * rng.uniform(0.8, 1.2, 2)
        pen.ellipse((x - wide, y - high, x + wide, y + high), fill=HEMATOXYLIN)
    return image


def scanned(image: Image.Image, scanner: str, rng: np.random.Generator) -> Image.Image:
    """The same patch as a scanner records it."""
    _, _, tint, blur = SCANNERS[scanner]
    sharp = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), dtype=float)
    return Image.fromarray((sharp * tint + rng.normal(0, 2, sharp.shape)).clip(0, 255).astype(np.uint8))


def main(folder: Path) -> None:
    """Write images and table."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = []
    for scanner, (subset, slides, _, _) in SCANNERS.items():
        for name in TISSUES:
            for slide in range(slides):
                slide_id = f"{scanner}-{name}-{slide:02d}"
                for patch in range(PATCHES):
                    path = f"images/{slide_id}-p{patch}.png"
                    scanned(tissue(name, rng), scanner, rng).save(folder / path)
                    rows.append((path, slide_id, f"p{patch}", name, scanner, subset))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("image_path", "slide_id", "patch_id", "biological_class", "medical_center", "subset"))
        table.writerows(rows)
    print(f"{len(rows)} patches of {len(SCANNERS)} scanners in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
