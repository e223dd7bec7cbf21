"""Embeddings of eva: `manifest.csv` with the columns origin and embeddings, and a `.pt` file for each row.

A `.pt` file holds a list of vectors: the one of a patch, or those of all patches of a slide. The manifest has
a column `slide_id` or `wsi_id` where eva was told to write it; else each row is a slide, named after its
origin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy.typing as npt

from pathorob_checks.cohorts.csv_tables import MOST_BYTES, parse_csv
from pathorob_checks.cohorts.reading import read_file
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.files import shown
from pathorob_checks.importing import torch_bags
from pathorob_checks.importing.bag import Bag, Rows, ids_of_rows, matrix_shape
from pathorob_checks.importing.source import Source

MANIFEST = "manifest.csv"
ORIGIN, FILE = "origin", "embeddings"
SLIDES = ("slide_id", "wsi_id")


@dataclass(frozen=True)
class Row:
    """A row of eva's manifest: its file, and the slide and patch that it is of."""

    path: Path
    slide_id: str
    patch: str | None


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest of eva, from its first line."""
    if path.name != MANIFEST or not path.is_file():
        return False
    with path.open("rb") as stream:
        header = stream.readline(1 << 16).decode("utf-8-sig", errors="replace").strip().split(",")
    return {ORIGIN, FILE} <= set(header)


def rows_of(source: Source) -> list[Row]:
    """The rows of the manifest in the source's folder.

    Raises
    ------
    CohortError : the manifest is no CSV.
    EmbeddingError : it is missing, or names a file outside of the folder.
    """
    path = source.root / MANIFEST
    where = shown(path)
    table = parse_csv(where, read_file(source.open(path), where, MOST_BYTES))
    missing = [name for name in (ORIGIN, FILE) if table.header.count(name) != 1]
    if missing:
        raise EmbeddingError(
            f"'{where}' lacks the column '{missing[0]}' of a manifest that eva writes",
            remedy="give the folder that eva wrote, or name the format with --format",
        )
    origin, file = table.header.index(ORIGIN), table.header.index(FILE)
    slide = next((table.header.index(name) for name in SLIDES if name in table.header), None)
    rows = []
    for line, cells in table.rows:
        name = PurePosixPath(cells[file])
        if name.is_absolute() or PureWindowsPath(cells[file]).anchor or ".." in name.parts or not name.parts:
            raise EmbeddingError(
                f"'{where}' line {line} names a file outside of its folder: '{cells[file]}'",
                remedy="write paths relative to the manifest",
            )
        stem = PurePosixPath(cells[origin].replace("\\", "/")).stem
        own = source.root / name
        rows.append(Row(own, stem, None) if slide is None else Row(own, cells[slide], stem))
    return rows


def bags_of(source: Source, row: Row, key: str | None) -> Iterator[Bag]:
    """The features of a row's file; see `torch_bags.bags_of`."""
    where, real = shown(row.path), source.open(row.path)
    tensor = torch_bags.tensor_in(real, where, key)
    dtype = str(tensor.dtype).removeprefix("torch.")
    stored = tuple(tensor.shape)
    # A file of one patch that is no list holds the vector itself.
    one = len(stored) == 1 and row.patch is not None
    shape = matrix_shape((1, *stored) if one else stored, dtype, f"'{where}'")
    ids = ids_of_rows(shape.patches)
    if row.patch is not None:
        ids = [row.patch] if shape.patches == 1 else [f"{row.patch}_{number}" for number in ids]

    def read(rows: Rows) -> npt.NDArray[Any]:
        values = torch_bags.as_numpy(torch_bags.tensor_in(real, where, key))
        return shape.rows(values[None] if one else values)[rows]

    yield Bag(
        slide_id=row.slide_id,
        where=where,
        patch_ids=ids,
        dimension=shape.dimension,
        dtype=dtype,
        read=read,
        squeezed=shape.squeezed,
    )
