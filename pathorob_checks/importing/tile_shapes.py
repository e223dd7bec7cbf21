"""Where the tiles of a SpatialData store are, as LazySlide writes them: a polygon for each `tile_id`."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings import declared
from pathorob_checks.embeddings.key_tables import parquet_chunks, parquet_file
from pathorob_checks.embeddings.matrix_files import reading_errors
from pathorob_checks.files import shown
from pathorob_checks.importing.source import Source

SHAPES, FILE = "shapes", "shapes.parquet"
TILE, GEOMETRY = "tile_id", "geometry"
# Well-known binary: byte order, the type of a polygon, its rings, and the points of the first one.
_HEAD = 13
_POLYGON = 3
_POINTS = range(3, 1000)


def places_of(source: Source, store: Path, region: str) -> dict[str, npt.NDArray[np.float64]] | None:
    """The corner (x, y) of each tile by its id; None where the store does not say.

    Parameters
    ----------
    region : the name of the tiles in the store, such as `tiles`.

    Raises
    ------
    EmbeddingError : the file of the tiles is damaged.
    """
    path = store / SHAPES / region / FILE
    if region in ("", ".", "..") or "/" in region or "\\" in region or not path.is_file():
        return None
    where, real = shown(path), source.open(path)
    with reading_errors(where), parquet_file(real, where) as file:
        if not {TILE, GEOMETRY} <= set(file.schema_arrow.names):
            return None
        size = sum(chunk.total_uncompressed_size for chunk in parquet_chunks(file, GEOMETRY))
        declared.check_expansion(size, real.stat().st_size, f"'{where}'")
        table = file.read(columns=[TILE, GEOMETRY], use_threads=False)
        corners = [_corner(content) for content in table[GEOMETRY].to_pylist()]
        return dict(zip(map(str, table[TILE].to_pylist()), corners, strict=True))


def _corner(content: Any) -> npt.NDArray[np.float64]:
    """The least x and y of a polygon."""
    if not isinstance(content, bytes) or len(content) < _HEAD or content[0] not in (0, 1):
        raise ValueError("a tile is no polygon")
    order = "<" if content[0] else ">"
    kind, _, points = struct.unpack_from(f"{order}III", content, 1)
    if kind != _POLYGON or points not in _POINTS:
        raise ValueError("a tile is no polygon")
    numbers = np.frombuffer(content, f"{order}f8", count=2 * points, offset=_HEAD)
    return np.asarray(numbers.reshape(-1, 2).min(axis=0), dtype=np.float64)
