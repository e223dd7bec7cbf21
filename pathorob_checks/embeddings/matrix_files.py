"""Embeddings as one matrix in a file: .npy, .safetensors or .parquet, with the patch key of each row.

Keys are read first, and then values block by block for the needed rows. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from pathorob_checks.embeddings.files import cache_errors
from pathorob_checks.errors import EmbeddingError, PathorobChecksError
from pathorob_checks.files import write_atomically
from pathorob_checks.wording import named, quoted

PRECISIONS = ("float32", "float16", "bfloat16", "float64")
BLOCK = 4096  # rows in memory beside the result: 25 MB at D = 1,536
_TENSOR_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_ARROW_DTYPES = {"halffloat": "float16", "float": "float32", "double": "float64"}

Keep = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Matrix:
    """A file with a row per patch whose values are not read yet.

    Attributes
    ----------
    keys : patch key of each row.
    dtype : one of `PRECISIONS`, as stored.
    blocks : which rows to keep -> their values in the file's order, (n, D) at a time.
    """

    keys: list[str]
    dtype: str
    blocks: Callable[[Keep], Iterator[npt.NDArray[Any]]]


def npy(path: Path, where: str, keys: list[str] | None) -> Matrix:
    """An .npy file, mapped; `keys` are those of its manifest."""
    with no_objects(f"'{where}'"):
        # Mapped, so that only blocks of it are in memory; arrays of Python objects cannot be mapped.
        array = np.lib.format.open_memmap(path, mode="r")
    return _sliced(array.__getitem__, array.shape, array.dtype.name, where, keys)


def tensors(path: Path, where: str, keys: list[str] | None) -> Matrix:
    """A safetensors file, with or without the tensor "keys" that `write_tensors` writes."""
    with safetensors.safe_open(path, framework="numpy") as file:
        names = list(file.keys())
        if "embeddings" not in names:
            raise EmbeddingError(
                f"'{where}' has no tensor 'embeddings' but {quoted(names) or 'none'}",
                remedy="save the matrix (N, D) under this name",
            )
        if "keys" in names:
            if keys is not None:
                raise EmbeddingError(
                    f"'{where}' has a tensor 'keys' and also a manifest beside it",
                    remedy="delete the one that is wrong",
                )
            keys = json.loads(file.get_tensor("keys").tobytes())
            if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
                raise ValueError("tensor 'keys' is not a JSON list of strings")
        header = file.get_slice("embeddings")
        shape, code = tuple(header.get_shape()), header.get_dtype()
    dtype = _TENSOR_DTYPES.get(code, code)

    def part(rows: slice) -> npt.NDArray[Any]:
        framework = "pt" if dtype == "bfloat16" else "numpy"  # NumPy has no bfloat16, torch has
        with safetensors.safe_open(path, framework=framework) as file:
            block = file.get_slice("embeddings")[rows]
        return np.asarray(block.float() if dtype == "bfloat16" else block)

    return _sliced(part, shape, dtype, where, keys)


def write_tensors(path: Path, keys: Sequence[str], values: npt.NDArray[np.float32]) -> None:
    """Write (N, D) "embeddings" and their patch keys in "keys"; `tensors` reads this without a manifest.

    Raises
    ------
    CacheError : the file cannot be written.
    """
    names = np.frombuffer(json.dumps(list(keys)).encode(), dtype=np.uint8)
    content: dict[str, npt.NDArray[Any]] = {"embeddings": np.ascontiguousarray(values), "keys": names}
    with cache_errors(path.parent, "written to"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, safetensors.numpy.save(content))


def _sliced(
    part: Callable[[slice], npt.NDArray[Any]],
    shape: tuple[int, ...],
    dtype: str,
    where: str,
    keys: list[str] | None,
) -> Matrix:
    """A matrix that is read by slices of rows."""
    if keys is None:
        raise EmbeddingError(
            f"'{where}' has no manifest beside it with the patch of each row",
            remedy="write manifest.csv with the columns slide_id and patch_id, one line per row, same order",
        )
    if len(shape) != 2 or shape[0] != len(keys):
        raise EmbeddingError(
            f"'{where}' has the shape {shape} where ({len(keys)}, D) is needed, one row per patch key",
            remedy="write one row per line of the manifest, in its order",
        )

    def blocks(keep: Keep) -> Iterator[npt.NDArray[Any]]:
        for start in range(0, len(keep), BLOCK):
            kept = keep[start : start + BLOCK]
            if kept.any():
                yield part(slice(start, start + len(kept)))[kept]

    return Matrix(keys, dtype, blocks)


def csv_keys(path: Path) -> list[str]:
    """Patch keys of a CSV, cells as written; not read by pandas, which accepts rows of different lengths."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        slide, patch = (_column(header, name) for name in ("slide_id", "patch_id"))
        keys = []
        for cells in reader:
            if len(cells) != len(header) and cells:
                raise ValueError(
                    f"line {reader.line_num} has {_count(len(cells), 'cell')}, "
                    f"not {len(header)} as the header"
                )
            if cells:
                keys.append(f"{cells[slide]}-{cells[patch]}")
    return keys


def _column(columns: Sequence[str], name: str) -> int:
    if columns.count(name) != 1:
        raise ValueError(f"it has {columns.count(name)} columns '{name}' where one is needed")
    return columns.index(name)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def parquet_columns(path: Path) -> list[str]:
    """Names of the columns."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return list(file.schema_arrow.names)


def parquet_keys(path: Path) -> list[str]:
    """Patch keys of the rows, from the columns slide_id and patch_id."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        parts = []
        for name in ("slide_id", "patch_id"):
            kind = schema.field(_column(schema.names, name)).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
                raise ValueError(f"column '{name}' has the type {kind} where strings are needed")
            column = file.read(columns=[name]).column(0)
            if column.null_count:
                raise ValueError(f"column '{name}' has {_count(column.null_count, 'empty cell')}")
            parts.append(column.cast(pa.string()).to_pylist())
    return [f"{slide}-{patch}" for slide, patch in zip(*parts, strict=True)]


def parquet(path: Path, where: str) -> Matrix:
    """A parquet file with a column of lists, read by batches."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        kind = schema.field(_column(schema.names, "embedding")).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise ValueError(f"column 'embedding' has the type {kind} where lists of numbers are needed")
    keys = parquet_keys(path)

    def blocks(keep: Keep) -> Iterator[npt.NDArray[Any]]:
        start = 0
        with pq.ParquetFile(path, memory_map=True) as file:
            for batch in file.iter_batches(batch_size=BLOCK, columns=["embedding"]):
                kept = keep[start : start + len(batch)]
                names = [keys[start + at] for at in np.flatnonzero(kept).tolist()]
                start += len(batch)
                column = batch.column(0).filter(pa.array(kept))
                if not len(column):
                    continue
                lengths = pc.list_value_length(column).fill_null(-1).to_pylist()
                usual = Counter(lengths).most_common(1)[0][0]
                odd = [name for name, n in zip(names, lengths, strict=True) if n != usual or n < 0]
                if odd:
                    raise EmbeddingError(
                        f"'{where}' has no list of {usual} numbers for {named(odd)}",
                        remedy="write a list of the same length for every patch",
                    )
                yield column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)

    return Matrix(keys, _ARROW_DTYPES.get(str(kind.value_type), str(kind.value_type)), blocks)


@contextlib.contextmanager
def no_objects(where: str) -> Iterator[None]:
    """Translate NumPy's refusal to unpickle into an EmbeddingError."""
    try:
        yield
    except ValueError as error:
        if "object" not in str(error).lower():
            raise
        raise EmbeddingError(
            f"{where} holds pickled Python objects, which are never loaded",
            remedy="write plain numbers, e.g. np.stack(rows).astype('float32')",
        ) from error


def check_dtype(dtype: str, where: str) -> None:
    """Raise EmbeddingError for values that are not floating-point numbers."""
    if dtype not in PRECISIONS:
        raise EmbeddingError(
            f"{where} has the dtype {dtype} where floating-point numbers are needed",
            remedy="write them as float32",
        )


@contextlib.contextmanager
def reading_errors(where: str, kind: type[Exception] = Exception) -> Iterator[None]:
    """Within the block an error of `kind` becomes an EmbeddingError that names the file.

    By default any error: readers of damaged files raise many, e.g. `tokenize.TokenError` for an .npy.
    """
    try:
        yield
    except PathorobChecksError:
        raise
    except kind as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise EmbeddingError(
            f"'{where}' cannot be read: {reason}",
            remedy="write it again, or copy it again if the copy was interrupted",
        ) from error
