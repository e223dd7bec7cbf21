"""Small cohorts with planted biology and planted centers."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
CENTERS, CLASSES = ("Aachen", "Bonn"), ("normal", "tumor")


def patch_table(
    slides: int = 4, patches: int = 5, subset: str = "ID", centers: tuple[str, ...] = CENTERS
) -> pd.DataFrame:
    """Two classes in each center, every slide of one class and one center."""
    rows = [
        (subset, f"{center}/{cls}/{slide}", center, cls)
        for center, cls, slide, _ in product(centers, CLASSES, range(slides), range(patches))
    ]
    return pd.DataFrame(rows, columns=["subset", "slide_id", "medical_center", "biological_class"])


def directions(labels: pd.Series[str], dim: int, rng: np.random.RandomState) -> Float64:
    levels = sorted(labels.unique())
    vectors = np.linalg.qr(rng.standard_normal((dim, len(levels))))[0].T
    return np.asarray(vectors[[levels.index(label) for label in labels]], dtype=np.float64)


def embed(
    patches: pd.DataFrame, *, biology: float, center: float, noise: float = 0.1, seed: int = 0, dim: int = 12
) -> Float32:
    """Class and center as directions of the given lengths; the noise is as long in any `dim`."""
    rng = np.random.RandomState(seed)
    x = noise * (12 / dim) ** 0.5 * rng.standard_normal((len(patches), dim))
    x += biology * directions(patches.biological_class, dim, rng)
    x += center * directions(patches.medical_center, dim, rng)
    return x.astype(np.float32)


def swapped(patches: pd.DataFrame) -> pd.DataFrame:
    return patches.rename(
        columns={"biological_class": "medical_center", "medical_center": "biological_class"}
    )


def drop_table(*, ood: bool = True) -> pd.DataFrame:
    inside = patch_table(slides=11, patches=4)
    outside = patch_table(slides=2, patches=4, subset="OOD", centers=("Cologne",))
    return pd.concat([inside, outside], ignore_index=True) if ood else inside
