"""One `.pt` file per slide, as slideflow, CLAM and TRIDENT write them, with slideflow's `SLIDE.index.npz`.

Files of torch are pickles in an archive. They are only loaded by torch's own reader of tensors
(`weights_only=True`), which runs no code.
"""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings import declared
from pathorob_checks.embeddings.matrix_files import no_objects, reading_errors
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.files import read_limited, shown
from pathorob_checks.importing.bag import Bag, Rows, ids_of_coordinates, ids_of_rows, matrix_shape
from pathorob_checks.importing.source import Source
from pathorob_checks.wording import quoted

if TYPE_CHECKING:
    import torch

SUFFIXES = (".pt", ".pth")
INDEX = ".index.npz"
CONFIG = "bags_config.json"
_OLD_INDEX = ".index.npy"  # of older slideflow
_MOST_CONFIG = 1 << 22
_MOST_MEMBERS = 10_000
_ARCHIVE = b"PK"  # how files of torch begin since version 1.6


def slide_of(path: Path) -> str:
    """The slide that a file is named after."""
    return path.stem


def bags_of(source: Source, path: Path, key: str | None) -> Iterator[Bag]:
    """The features of one file.

    Parameters
    ----------
    key : of a file that holds a dictionary; None where it holds a tensor.

    Raises
    ------
    EmbeddingError : the file is damaged, holds pickled objects, or anything but one vector per patch.
    """
    where, real = shown(path), source.open(path)
    tensor = tensor_in(real, where, key)
    dtype = str(tensor.dtype).removeprefix("torch.")
    shape = matrix_shape(tuple(tensor.shape), dtype, f"'{where}'")
    coordinates = _coordinates(source, path)
    if coordinates is None:
        ids = ids_of_rows(shape.patches)
    else:
        ids = ids_of_coordinates(coordinates, shape.patches, f"'{where}'")

    def read(rows: Rows) -> npt.NDArray[Any]:
        return shape.rows(as_numpy(tensor_in(real, where, key)))[rows]

    yield Bag(
        slide_id=slide_of(path),
        where=where,
        patch_ids=ids,
        dimension=shape.dimension,
        dtype=dtype,
        read=read,
        extractor=_extractor(source, path),
        squeezed=shape.squeezed,
    )


def tensor_in(path: Path, where: str, key: str | None = None) -> torch.Tensor:
    """The tensor of a file; tensors of a list are its rows.

    Raises
    ------
    EmbeddingError : the file holds anything else, or would need far more memory than it has bytes.
    """
    import torch

    content = _loaded(path, where)
    if isinstance(content, dict):
        names = [name for name, value in content.items() if isinstance(value, torch.Tensor)]
        if key not in names:
            raise EmbeddingError(
                f"'{where}' holds no tensor but a dictionary of {quoted(map(str, names[:5])) or 'none'}",
                remedy="name the entry that holds the features with --key",
            )
        content = content[key]
    elif key is not None:
        raise EmbeddingError(f"'{where}' holds no dictionary with '{key}'", remedy="leave out --key")
    if isinstance(content, list) and content and all(isinstance(one, torch.Tensor) for one in content):
        shapes = {tuple(one.shape) for one in content}
        if len(shapes) > 1:
            raise EmbeddingError(
                f"'{where}' holds tensors of different shapes ({quoted(map(str, sorted(shapes)[:3]))})",
                remedy="extract the features of this slide again, with one FM",
            )
        _check(content, path, where)
        if content[0].ndim == 1:
            return torch.stack([one.detach() for one in content])
        if len(content) == 1:
            content = content[0]
    if not isinstance(content, torch.Tensor):
        raise EmbeddingError(
            f"'{where}' holds no tensor but {type(content).__name__}",
            remedy="save the tensor (N, D) itself with torch.save",
        )
    _check([content], path, where)
    return content.detach()


def as_numpy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """The numbers; NumPy has no bfloat16, so that those are float32."""
    import torch

    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _check(tensors: Sequence[torch.Tensor], path: Path, where: str) -> None:
    import torch

    if any(one.layout != torch.strided or one.is_quantized or one.is_meta for one in tensors):
        raise EmbeddingError(
            f"'{where}' holds a tensor that is sparse, quantized or without numbers",
            remedy="save it as a dense tensor of float32",
        )
    # A view may repeat one stored number a million times, and stand in a list a thousand times.
    size = sum(one.numel() * one.element_size() for one in tensors)
    declared.check_expansion(size, path.stat().st_size, f"'{where}'")


def _loaded(path: Path, where: str) -> Any:
    import torch

    with reading_errors(where):
        with path.open("rb") as stream:
            is_archive = stream.read(len(_ARCHIVE)) == _ARCHIVE
        if not is_archive:
            raise EmbeddingError(
                f"'{where}' is a bare pickle, which is never loaded",
                remedy="if you made it yourself, load it and save the tensor again with torch.save",
            )
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if len(members) > _MOST_MEMBERS:
            raise ValueError(f"it has {len(members):,} members")
        if any(one.compress_type != zipfile.ZIP_STORED for one in members):
            raise ValueError("its members are compressed, which torch does not do")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except pickle.UnpicklingError as error:
            raise EmbeddingError(
                f"'{where}' holds pickled Python objects beside tensors, which are never loaded",
                remedy="if you made it yourself, load it and save only the tensor with torch.save",
            ) from error


def _coordinates(source: Source, path: Path) -> npt.NDArray[Any] | None:
    """Those of slideflow's index of a slide; None where there is none."""
    packed, plain = (path.with_name(slide_of(path) + suffix) for suffix in (INDEX, _OLD_INDEX))
    if packed.is_file():
        return _packed(source.open(packed), shown(packed))
    if plain.is_file():
        real, where = source.open(plain), shown(plain)
        with reading_errors(where), no_objects(f"'{where}'"):
            return _array(read_limited(real, declared.MOST_TEXT), where)
    return None


def _packed(path: Path, where: str) -> npt.NDArray[Any]:
    with reading_errors(where), zipfile.ZipFile(path) as archive:
        member = archive.getinfo("arr_0.npy")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"it is packed by method {member.compress_type}")
        declared.check_expansion(member.file_size, path.stat().st_size, f"'{where}'")
        with no_objects(f"'{where}'"):
            return _array(archive.read(member), where)


def _array(content: bytes, where: str) -> npt.NDArray[Any]:
    shape, dtype, start = declared.member_header(content)
    declared.check_rows(shape[0] if shape else 0, f"'{where}'")
    declared.vector(content, shape, dtype, start)  # it has as many numbers as it declares
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _extractor(source: Source, path: Path) -> str | None:
    """The class of slideflow's extractor, from the file beside the bags; None where there is none."""
    config = path.with_name(CONFIG)
    if not config.is_file():
        return None
    real = source.open(config)
    with reading_errors(shown(config)):
        content = json.loads(read_limited(real, _MOST_CONFIG))
    extractor = content.get("extractor") if isinstance(content, dict) else None
    name = extractor.get("class") if isinstance(extractor, dict) else None
    return name if isinstance(name, str) else None
