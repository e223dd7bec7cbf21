"""One HDF5 file per slide, as TRIDENT and CLAM write them: `features` (N, D) and `coords` (N, 2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy.typing as npt

from pathorob_checks.errors import EmbeddingError
from pathorob_checks.files import shown
from pathorob_checks.importing.bag import Bag, Rows, ids_of_coordinates, ids_of_rows, matrix_shape
from pathorob_checks.importing.hdf5_tree import Hdf5Array, Hdf5Tree, hdf5_tree, listed
from pathorob_checks.importing.source import Source

SUFFIXES = (".h5", ".hdf5")
FEATURES, COORDINATES = "features", "coords"
_OF_FOLDERS = "features_"  # TRIDENT names folders after the encoder, e.g. features_uni_v1


def slide_of(path: Path) -> str:
    """The slide that a file is named after."""
    return path.stem


def bags_of(source: Source, path: Path, key: str | None) -> Iterator[Bag]:
    """The features of one file.

    Parameters
    ----------
    key : name of the dataset with features; None is `features`.

    Raises
    ------
    EmbeddingError : the file is damaged, has no such dataset, or holds anything but one vector per patch.
    """
    where, real, name = shown(path), source.open(path), key or FEATURES
    with hdf5_tree(real, where) as tree:
        features = _features(tree, name, where)
        shape = matrix_shape(features.shape, features.dtype, f"'{where}'")
        coordinates = tree.array(COORDINATES)
        if coordinates is None:
            ids = ids_of_rows(shape.patches)
        else:
            ids = ids_of_coordinates(coordinates.rows(), shape.patches, f"'{where}'")
        extractor = _extractor(tree, name, path)

    def read(rows: Rows) -> npt.NDArray[Any]:
        with hdf5_tree(real, where) as tree:
            return _features(tree, name, where).rows(rows, squeezed=shape.squeezed)

    yield Bag(
        slide_id=slide_of(path),
        where=where,
        patch_ids=ids,
        dimension=shape.dimension,
        dtype=features.dtype,
        read=read,
        extractor=extractor,
        squeezed=shape.squeezed,
    )


def _features(tree: Hdf5Tree, name: str, where: str) -> Hdf5Array:
    features = tree.array(name)
    if features is None:
        raise EmbeddingError(
            f"'{where}' has no dataset '{name}' but {listed(tree.names())}",
            remedy="name the dataset that holds the features with --key",
        )
    return features


def _extractor(tree: Hdf5Tree, name: str, path: Path) -> str | None:
    """The encoder: by the attribute that newer TRIDENT writes, or by the name of its folder."""
    stated = tree.attribute(name, "encoder")
    if stated and stated != "None":
        return stated
    saved = tree.attribute(name, "savetodir") or ""
    for folder in (PurePosixPath(saved).name, PureWindowsPath(saved).name, path.parent.name):
        if folder.startswith(_OF_FOLDERS):
            return folder.removeprefix(_OF_FOLDERS)
    return None
