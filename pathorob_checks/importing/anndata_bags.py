"""AnnData, as LazySlide, scverse and SpatialData store it: `.h5ad`, `.zarr`, and tables in a `.zarr`.

The layout on disk is read by h5py and zarr: `X` or an entry of `obsm` holds the features, `obs` describes the
rows. Files without `slide_id` in `obs` are of the slide that they are named after.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings import declared
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.files import shown
from pathorob_checks.importing.bag import (
    Bag,
    MatrixShape,
    Rows,
    ids_of_coordinates,
    ids_of_rows,
    matrix_shape,
    unique_ids,
)
from pathorob_checks.importing.hdf5_tree import hdf5_tree, listed
from pathorob_checks.importing.source import Source, is_store
from pathorob_checks.importing.tile_shapes import places_of
from pathorob_checks.importing.zarr_tree import zarr_tree
from pathorob_checks.wording import named

SUFFIXES = (".h5ad", ".zarr")
TABLES = "tables"
SLIDE, PATCH, REGION = "slide_id", "tile_id", "library_id"
SPATIAL = "obsm/spatial"


class Array(Protocol):
    """An array whose numbers are not read yet."""

    shape: tuple[int, ...]
    dtype: str

    def rows(self, rows: Rows | None = None, *, squeezed: bool = False) -> npt.NDArray[Any]:
        """All rows, or some in ascending order."""
        ...

    def texts(self) -> list[str]:
        """Its values as text."""
        ...


class Tree(Protocol):
    """Arrays and groups by their paths."""

    def names(self, group: str = "") -> list[str]:
        """What is in a group."""
        ...

    def array(self, name: str) -> Array | None:
        """An array, or None."""
        ...

    def attribute(self, name: str, key: str) -> str | None:
        """An attribute that is text, or None."""
        ...


def bags_of(source: Source, path: Path, key: str | None) -> Iterator[Bag]:
    """The features of one file or store, by slide.

    Parameters
    ----------
    key : of a SpatialData store the table, of an AnnData the entry of `obsm`; None: the only table, or `X`.

    Raises
    ------
    EmbeddingError : the file is damaged, has no such features or several tables, or they are sparse.
    """
    where = shown(path)
    table, entry = path, key
    if path.is_dir() and (path / TABLES).is_dir():
        table, entry = path / TABLES / _table(source, path, key), None
    features = f"obsm/{entry}" if entry else "X"
    with _tree(source, table, where) as tree:
        matrix, shape = _features(tree, features, where)
        slides = _column(tree, SLIDE, where)
        places = _places(source, path, tree, slides, where)
        tiles = _column(tree, PATCH, where)
        dtype = matrix.dtype
    for cells, what in (
        (slides, f"the column '{SLIDE}'"),
        (tiles, f"the column '{PATCH}'"),
        (places, SPATIAL),
    ):
        if cells is not None and len(cells) != shape.patches:
            raise EmbeddingError(
                f"'{where}' has features of {shape.patches:,} patches and {len(cells):,} rows in {what}",
                remedy="write the file again",
            )
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, slide in enumerate(slides or [slide_of(path)] * shape.patches):
        rows_of[slide].append(row)
    for slide, rows in rows_of.items():
        own = np.array(rows)
        place = f"slide '{slide}' in '{where}'" if slides is not None else f"'{where}'"
        if places is not None:
            ids = ids_of_coordinates(places[own], len(rows), place)
        else:
            ids = unique_ids([tiles[row] for row in rows], place) if tiles else ids_of_rows(len(rows))

        def read(chosen: Rows, own: Rows = own) -> npt.NDArray[Any]:
            with _tree(source, table, where) as tree:
                matrix, _ = _features(tree, features, where)
                return matrix.rows(own[chosen], squeezed=shape.squeezed)

        yield Bag(
            slide_id=slide,
            where=where,
            patch_ids=ids,
            dimension=shape.dimension,
            dtype=dtype,
            read=read,
            extractor=entry or (table.name if table != path else None),
            squeezed=shape.squeezed,
        )


def slide_of(path: Path) -> str:
    """The slide that a file or store is named after."""
    return path.stem


@contextlib.contextmanager
def _tree(source: Source, path: Path, where: str) -> Iterator[Tree]:
    if path.is_dir():
        with zarr_tree(source, path, where) as store:
            yield store
    else:
        with hdf5_tree(source.open(path), where) as file:
            yield file


def _table(source: Source, path: Path, key: str | None) -> str:
    """Name of the table of a SpatialData store that holds features."""
    where = shown(path)
    with zarr_tree(source, path, where) as tree:
        tables = tree.names(TABLES)
        with_features = [name for name in tables if tree.array(f"{TABLES}/{name}/X") is not None]
    if key is not None and key in with_features:
        return key
    if key is None and len(with_features) == 1:
        return with_features[0]
    problem = (
        f"'{where}' has no table '{key}'" if key is not None else f"'{where}' has no single table of features"
    )
    raise EmbeddingError(
        f"{problem} (it has {listed(with_features)})",
        remedy="name the table that holds the features with --key",
    )


def _features(tree: Tree, name: str, where: str) -> tuple[Array, MatrixShape]:
    matrix = tree.array(name)
    if matrix is not None:
        return matrix, matrix_shape(matrix.shape, matrix.dtype, f"'{name}' of '{where}'")
    encoding = (
        tree.attribute(name, "encoding-type") if name.rpartition("/")[2] in tree.names(_group(name)) else None
    )
    if encoding is not None:
        raise EmbeddingError(
            f"'{name}' of '{where}' is stored as {encoding} where an array of numbers is needed",
            remedy="write the features as a dense array",
        )
    raise EmbeddingError(
        f"'{where}' has no features '{name}' (its obsm has {listed(tree.names('obsm'))})",
        remedy="name the entry of obsm that holds the features with --key",
    )


def _group(name: str) -> str:
    return name.rpartition("/")[0]


def _places(
    source: Source, path: Path, tree: Tree, slides: list[str] | None, where: str
) -> npt.NDArray[Any] | None:
    """(N, 2) corners of the patches, of obsm or of the tiles of the store; None where neither has them."""
    coordinates = tree.array(SPATIAL)
    if coordinates is not None:
        return coordinates.rows()
    tiles, regions = _column(tree, PATCH, where), set(_column(tree, REGION, where) or ())
    if tiles is None or len(regions) != 1 or slides is not None:
        return None
    known = places_of(source, path, next(iter(regions)))
    if known is None:
        return None
    missing = [tile for tile in tiles if tile not in known]
    if missing:
        raise EmbeddingError(
            f"'{where}' has features of {named(missing)} whose place it does not have",
            remedy="extract the features of this slide again",
        )
    return np.array([known[tile] for tile in tiles])


def _column(tree: Tree, name: str, where: str) -> list[str] | None:
    """A column of obs as text: an array, a categorical, or values with a mask; None where there is none."""
    column = f"obs/{name}"
    plain = tree.array(column)
    if plain is not None:
        return _texts(plain, where)
    codes, categories = tree.array(f"{column}/codes"), tree.array(f"{column}/categories")
    if codes is not None and categories is not None:
        declared.check_rows(codes.shape[0], f"'{where}'")
        names, places = categories.texts(), codes.rows()
        if places.dtype.kind not in "iu" or (len(places) and places.max() >= len(names)):
            raise ValueError(f"the codes of '{name}' are no places in its categories")
        _refuse_empty_cells(bool((places < 0).any()), name, where)
        return [names[place] for place in places.tolist()]
    values, mask = tree.array(f"{column}/values"), tree.array(f"{column}/mask")
    if values is not None and mask is not None:
        texts, empty = _texts(values, where), mask.rows()
        if empty.dtype.kind != "b" or empty.shape != (len(texts),):
            raise ValueError(f"the mask of '{name}' does not go with its values")
        _refuse_empty_cells(bool(empty.any()), name, where)
        return texts
    encoding = tree.attribute(column, "encoding-type")
    if encoding is not None:
        raise EmbeddingError(
            f"the column '{name}' of '{where}' is stored as {encoding}, which is not read",
            remedy="write it as text",
        )
    return None


def _texts(array: Array, where: str) -> list[str]:
    declared.check_rows(array.shape[0], f"'{where}'")
    return array.texts()


def _refuse_empty_cells(any_is_empty: bool, name: str, where: str) -> None:
    if any_is_empty:
        raise EmbeddingError(
            f"the column '{name}' of '{where}' has empty cells", remedy="write a value into every row"
        )


def is_anndata(path: Path) -> bool:
    """Whether an entry of a folder is one of these files or stores."""
    return path.name.lower().endswith(SUFFIXES) or is_store(path)
