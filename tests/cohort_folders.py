"""A small cohort of real images in a folder, as a user's own cohort is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("stroma", "tumor")
CENTERS = {"north": "ID", "south": "ID", "west": "OOD"}


def write_cohort(folder: Path, *, slides: int = 11, patches: int = 2, side: int = 40, seed: int = 0) -> Path:
    """A folder with manifest.csv: two classes that differ in brightness, centers that differ in hue."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    lines = ["image_path,slide_id,patch_id,biological_class,medical_center,subset"]
    for center, (name, subset) in enumerate(CENTERS.items()):
        for cls, label in enumerate(CLASSES):
            for slide in range(slides if subset == "ID" else 2):
                for patch in range(patches):
                    color = np.array([150 - 60 * cls, 110 - 40 * cls, 150 - 50 * cls]) + np.eye(3)[center] * 8
                    # Enough jitter that a patch's neighbors are not all of its own class and center.
                    noise = rng.normal(0, 12, 3) + rng.normal(0, 10, (side, side, 3))
                    path = f"images/{name}_{label}_{slide}_{patch}.png"
                    pixels = np.clip(color + noise, 0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / path)
                    lines.append(f"{path},{name}-{label}-{slide},p{patch},{label},{name},{subset}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder
