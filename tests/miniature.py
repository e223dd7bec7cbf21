"""The benchmark in miniature: the same tables and repositories with few, small patches.

Classes and medical centers have their published names and every cell as many slides as the published
training schedules need; slide and patch ids are invented. Patches are colored squares: classes differ
in brightness, centers in hue, slides a little in both.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
from loopback_hub import LoopbackHub
from PIL import Image

from pathorob_checks.evidence.qualification import golden_cohorts as golden

COLUMNS = golden.COLUMNS
COHORTS = ("camelyon", "tcga", "tolkach_esca")
REPOSITORIES = {name: f"datasets/bifold-pathomics/PathoROB-{name}" for name in COHORTS}
Row = tuple[str, str, str, str, str]


def tables() -> dict[str, pd.DataFrame]:
    """The six tables by file name."""
    camelyon, tcga, tolkach = _camelyon(), _tcga(), _tolkach()
    inside = tcga[tcga.subset == "ID"]
    pairs = [
        inside[inside.biological_class.isin(classes) & inside.medical_center.isin(centers)].assign(
            subset="+".join(classes) + "__" + "+".join(centers)
        )
        for classes, centers in list(
            product(combinations(golden.TCGA["classes"], 2), combinations(golden.TCGA["id"], 2))
        )[::9]
    ]
    reduced = tolkach[tolkach.medical_center != golden.TOLKACH["ood"][1]]
    return {
        "camelyon.csv": camelyon,
        "camelyon_reduced.csv": _by_cell(camelyon[camelyon.subset == "ID"].iloc[::2]),
        "tcga_2x2.csv": pd.concat(pairs, ignore_index=True),
        "tcga_4x4.csv": tcga,
        "tolkach_esca.csv": tolkach,
        "tolkach_esca_reduced.csv": _by_cell(reduced),
    }


def cohort_of(file: str) -> str:
    """Which cohort a table is of."""
    return next(name for name in COHORTS if file.startswith(name))


def write_tables(folder: Path) -> Path:
    """The tables as the code repository of the benchmark has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables().items():
        table.to_csv(folder / name, index=False)
    return folder


def patches_of(cohort: str) -> pd.DataFrame:
    """Every patch that some table of the cohort names, once."""
    parts = [table for file, table in tables().items() if cohort_of(file) == cohort]
    everything = pd.concat(parts, ignore_index=True)
    return everything.drop_duplicates(["slide_id", "patch_id"]).reset_index(drop=True)


def publish(hub: LoopbackHub, folder: Path, cohorts: Iterable[str] = COHORTS) -> dict[str, str]:
    """Put the cohorts' repositories on the hub, several parquet files each; returns their commits."""
    commits = {}
    for cohort in cohorts:
        write_repository(folder / cohort, patches_of(cohort))
        commits[cohort] = hub.add(REPOSITORIES[cohort], folder / cohort)
    return commits


def write_repository(folder: Path, patches: pd.DataFrame, *, shards: int = 3, seed: int = 0) -> Path:
    """`data/train-0000x-of-0000y.parquet` with the columns of the published ones, rows in another order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "data").mkdir(parents=True, exist_ok=True)
    mixed = patches.sample(frac=1, random_state=seed)
    for number, part in enumerate(np.array_split(np.arange(len(mixed)), shards)):
        rows = mixed.iloc[part]
        images = [{"bytes": picture(row), "path": f"{row.slide_id}.png"} for row in rows.itertuples()]
        labels = {name: rows[name].tolist() for name in COLUMNS if name != "subset"}
        name = f"train-{number:05d}-of-{shards:05d}.parquet"
        # Several row groups, so that images are read piece by piece.
        pq.write_table(pa.table({"image": images, **labels}), folder / "data" / name, row_group_size=50)
    (folder / "README.md").write_text("A miniature.")
    return folder


def picture(row: object, side: int = 24) -> bytes:
    """A PNG file whose colors tell class, center, slide and patch."""
    labels = [
        str(getattr(row, name)) for name in ("biological_class", "medical_center", "slide_id", "patch_id")
    ]
    weights = (40, 22, 10, 10)
    color = np.array([150.0, 130.0, 150.0])
    for depth, weight in enumerate(weights):
        text = "|".join(labels[: depth + 1] if depth > 1 else [labels[depth]])
        color += weight * np.random.default_rng(list(text.encode())).uniform(-1, 1, 3)
    grain = np.random.default_rng(list("|".join(labels).encode())).normal(0, 12, (side, side, 3))
    stream = io.BytesIO()
    Image.fromarray(np.clip(color + grain, 0, 255).astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


def _rows(subset: str, cls: str, center: str, slides: Iterable[str], patches: int) -> list[Row]:
    return [(subset, s, f"{cls.lower()}.{p:02d}", cls, center) for s in slides for p in range(patches)]


def _camelyon() -> pd.DataFrame:
    rows: list[Row] = []
    for cls, center in product(golden.CAMELYON["classes"], golden.CAMELYON["id"]):
        rows += _rows("ID", cls, center, [f"{cls}_{center}_{i:03d}" for i in range(17)], 7)
    for cls, center in product(golden.CAMELYON["classes"], golden.CAMELYON["ood"]):
        rows += _rows("OOD", cls, center, [f"{cls}_{center}_{i:03d}" for i in range(3)], 2)
    return pd.DataFrame(rows, columns=COLUMNS)


def _tcga() -> pd.DataFrame:
    rows: list[Row] = []
    for cls, center in product(golden.TCGA["classes"], golden.TCGA["id"]):
        code = f"{golden.TCGA['classes'].index(cls)}{golden.TCGA['id'].index(center)}"
        rows += _rows("ID", cls, center, [f"TCGA-{code}-{i:04d}" for i in range(12)], 4)
    for n, cls in enumerate(golden.TCGA["classes"]):
        center = golden.TCGA["ood"][n]
        rows += _rows("OOD", cls, center, [f"TCGA-{n}{4 + n}-{i:04d}" for i in range(3)], 2)
    return pd.DataFrame(rows, columns=COLUMNS)


def _tolkach() -> pd.DataFrame:
    """A case gives patches to several classes; every class has nine cases in a center."""
    whole = golden.tolkach_esca()
    return whole[whole.patch_id.str.extract(r"(\d+)$")[0].astype(int).lt(3)].reset_index(drop=True)


def _by_cell(table: pd.DataFrame) -> pd.DataFrame:
    subset = table.biological_class + "-" + table.medical_center
    return table.assign(subset=subset).reset_index(drop=True)
