"""Embeddings as one matrix in a file: .npy, .safetensors or .parquet, with the patch key of each row.

Keys are read first, and then values block by block for the needed rows. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from pathorob_checks.embeddings import declared, key_tables
from pathorob_checks.embeddings.files import cache_errors
from pathorob_checks.errors import EmbeddingError, PathorobChecksError
from pathorob_checks.files import write_atomically
from pathorob_checks.wording import brief, named, quoted, shortened

PRECISIONS = ("float32", "float16", "bfloat16", "float64")
BLOCK = 4096  # rows in memory beside the result: 25 MB at D = 1,536
_TENSOR_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_WIDEST = 8  # bytes of a number
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
    with no_objects(f"'{where}'"), path.open("rb") as stream:
        shape, _ = declared.npy_header(stream)
        check_shape(shape, where, keys)
        # Mapped, so that only blocks of it are in memory; arrays of Python objects cannot be mapped.
        array = np.lib.format.open_memmap(path, mode="r")
    return _sliced(array.__getitem__, array.shape, array.dtype.name, where, keys)


def tensors(path: Path, where: str, keys: list[str] | None) -> Matrix:
    """A safetensors file, with or without the tensor "keys" that `write_tensors` writes."""
    with safetensors.safe_open(path, framework="numpy") as file:
        names = list(file.keys())
        if "embeddings" not in names:
            raise EmbeddingError(
                f"'{where}' has no tensor 'embeddings' but {quoted(names[:5]) or 'none'}",
                remedy="save the matrix (N, D) under this name",
            )
        if "keys" in names:
            if keys is not None:
                raise EmbeddingError(
                    f"'{where}' has a tensor 'keys' and also a manifest beside it",
                    remedy="delete the one that is wrong",
                )
            declared.check_text(math.prod(file.get_slice("keys").get_shape()), f"tensor 'keys' of '{where}'")
            keys = _listed_keys(file.get_tensor("keys").tobytes())
        header = file.get_slice("embeddings")
        shape, code = tuple(header.get_shape()), header.get_dtype()
    dtype = _TENSOR_DTYPES.get(code, code)

    def part(rows: slice) -> npt.NDArray[Any]:
        framework = "pt" if dtype == "bfloat16" else "numpy"  # NumPy has no bfloat16, torch has
        with safetensors.safe_open(path, framework=framework) as file:
            block = file.get_slice("embeddings")[rows]
        return np.asarray(block.float() if dtype == "bfloat16" else block)

    return _sliced(part, shape, dtype, where, keys)


def _listed_keys(content: bytes) -> list[str]:
    try:
        keys = json.loads(content)
    except (ValueError, RecursionError):
        keys = None
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("tensor 'keys' is not a JSON list of strings")
    return keys


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
    named_rows = check_shape(shape, where, keys)

    def blocks(keep: Keep) -> Iterator[npt.NDArray[Any]]:
        for start in range(0, len(keep), BLOCK):
            kept = keep[start : start + BLOCK]
            if kept.any():
                yield part(slice(start, start + len(kept)))[kept]

    return Matrix(named_rows, dtype, blocks)


def check_shape(shape: tuple[int, ...], where: str, keys: list[str] | None) -> list[str]:
    """The patch keys; EmbeddingError where they are not those of a matrix of this shape."""
    if keys is None:
        raise EmbeddingError(
            f"'{where}' has no manifest beside it with the patch of each row",
            remedy="write manifest.csv with the columns slide_id and patch_id, one line per row, same order",
        )
    if len(shape) != 2 or shape[0] != len(keys):
        raise EmbeddingError(
            f"'{where}' has the shape {shortened(shape)} where ({len(keys)}, D) is needed, one row per patch "
            "key",
            remedy="write one row per line of the manifest, in its order",
        )
    declared.check_dimension(shape[1], f"'{where}'")
    return keys


def parquet(path: Path, where: str) -> Matrix:
    """A parquet file with a column of lists, read by batches."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with key_tables.parquet_file(path, where) as file:
        schema = file.schema_arrow
        if "embedding" not in schema.names:
            _refuse_columns_of_numbers(schema, where)
        kind = schema.field(key_tables.column_of(schema.names, "embedding")).type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
            raise ValueError(f"column 'embedding' has the type {kind} where lists of numbers are needed")
        chunks = list(key_tables.parquet_chunks(file, "embedding"))
        numbers = sum(chunk.num_values for chunk in chunks)
        declared.check_dimension(-(-numbers // max(file.metadata.num_rows, 1)), f"'{where}'")
        declared.check_expansion(
            max(numbers * _WIDEST, sum(chunk.total_uncompressed_size for chunk in chunks)),
            path.stat().st_size,
            f"'{where}'",
        )
        # Pages may hold more than the file declares of them; one row shows it before all are unpacked.
        for batch in file.iter_batches(batch_size=1, columns=["embedding"], use_threads=False):
            length = pc.list_value_length(batch.column(0))[0].as_py() or 0
            declared.check_dimension(length, f"'{where}'")
            break
    keys = key_tables.parquet_keys(path, where)

    def blocks(keep: Keep) -> Iterator[npt.NDArray[Any]]:
        start = 0
        with key_tables.parquet_file(path, where, memory_map=True) as file:
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


def _refuse_columns_of_numbers(schema: Any, where: str) -> None:
    """The usual way to write a table of embeddings that is not read here: a column per dimension."""
    import pyarrow as pa

    numbers = [field.name for field in schema if pa.types.is_floating(field.type)]
    if len(numbers) > 1:
        raise EmbeddingError(
            f"'{where}' has no column 'embedding' of lists but {len(numbers):,} columns of numbers "
            f"({quoted(numbers[:2])}, ...), a column per dimension",
            remedy="write the numbers of a patch as one list, e.g. table['embedding'] = list(values)",
        )


@contextlib.contextmanager
def no_objects(where: str) -> Iterator[None]:
    """Translate NumPy's refusal to unpickle into an EmbeddingError."""
    try:
        yield
    except ValueError as error:
        if not any(words in str(error).lower() for words in ("python objects", "object array")):
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
        reason = brief(" ".join(str(error).split())) or type(error).__name__
        raise EmbeddingError(
            f"'{where}' cannot be read: {reason}",
            remedy="write it again, or copy it again if the copy was interrupted",
        ) from error
