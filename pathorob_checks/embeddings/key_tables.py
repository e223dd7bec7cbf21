"""The patch key of each row, from the table that comes with a matrix: .csv or .parquet."""

from __future__ import annotations

import codecs
import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pathorob_checks.embeddings import declared
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.wording import counted, quoted

IDS = ("slide_id", "patch_id")
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "'|'"}
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip
# Most elements of a list, and bytes of a text, in what a parquet file says of itself.
_THRIFT = {"thrift_container_size_limit": 1 << 17, "thrift_string_size_limit": 1 << 25}


def csv_keys(path: Path, where: str) -> list[str]:
    """Patch keys of a CSV, cells as written; not read by pandas, which accepts rows of different lengths."""
    declared.check_text(path.stat().st_size, f"'{where}'")
    _refuse_other_encodings(path, where)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        _refuse_other_separators(header, where)
        slide, patch = (column_of(header, name) for name in IDS)
        keys = []
        for cells in reader:
            if len(cells) != len(header) and cells:
                raise ValueError(
                    f"line {reader.line_num} has {counted(len(cells), 'cell')}, "
                    f"not {len(header)} as the header"
                )
            if cells:
                keys.append(f"{cells[slide]}-{cells[patch]}")
                declared.check_rows(len(keys), f"'{where}'")
    return keys


def _refuse_other_encodings(path: Path, where: str) -> None:
    with path.open("rb") as file:
        start = file.read(64)
    encoding = next((name for mark, name in _OTHER_ENCODINGS.items() if start.startswith(mark)), "")
    if encoding:
        raise EmbeddingError(
            f"'{where}' is in {encoding} where UTF-8 is needed",
            remedy="save it as UTF-8, e.g. with pandas' to_csv(index=False)",
        )
    if b"\0" in start:  # every second byte of Latin letters in UTF-16
        raise ValueError("it has zero bytes, so it is in UTF-16 or is no text")


def _refuse_other_separators(header: Sequence[str], where: str) -> None:
    if len(header) != 1:
        return
    for separator, name in _OTHER_SEPARATORS.items():
        if separator in header[0]:
            raise EmbeddingError(
                f"the columns of '{where}' are separated by {name} where commas are needed",
                remedy="save it with commas, e.g. with pandas' to_csv(index=False)",
            )


def column_of(columns: Sequence[str], name: str) -> int:
    """Number of the only column of that name; ValueError where there is not one."""
    if columns.count(name) != 1:
        raise ValueError(
            f"it has {columns.count(name)} columns '{name}' where one is needed (its "
            f"{counted(len(columns), 'column')}: {quoted(columns[:5]) or 'none'}"
            f"{', ...' if len(columns) > 5 else ''})"
        )
    return columns.index(name)


@contextlib.contextmanager
def parquet_file(path: Path, where: str, **options: Any) -> Iterator[Any]:
    """An open parquet file of which only the declaration is read."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, **_THRIFT, **options) as file:
        declared.check_rows(file.metadata.num_rows, f"'{where}'")
        if file.metadata.num_columns > declared.MOST_COLUMNS:
            raise EmbeddingError(
                f"'{where}' has {file.metadata.num_columns:,} columns where at most "
                f"{declared.MOST_COLUMNS:,} are read",
                remedy="write the numbers of a patch as one list, in a column 'embedding'",
            )
        yield file


def parquet_chunks(file: Any, name: str) -> Iterator[Any]:
    """What the file declares of each of a column's chunks; those of lists are the numbers in them."""
    for group in range(file.metadata.num_row_groups):
        row_group = file.metadata.row_group(group)
        for column in range(row_group.num_columns):
            chunk = row_group.column(column)
            if chunk.path_in_schema.partition(".")[0] == name:
                yield chunk


def parquet_columns(path: Path, where: str) -> list[str]:
    """Names of the columns."""
    with parquet_file(path, where) as file:
        return list(file.schema_arrow.names)


def parquet_keys(path: Path, where: str) -> list[str]:
    """Patch keys of the rows, from the columns slide_id and patch_id."""
    import pyarrow as pa

    with parquet_file(path, where) as file:
        schema = file.schema_arrow
        for name in IDS:
            kind = schema.field(column_of(schema.names, name)).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
                raise ValueError(f"column '{name}' has the type {kind} where strings are needed")
            size = sum(chunk.total_uncompressed_size for chunk in parquet_chunks(file, name))
            declared.check_text(size, f"column '{name}' of '{where}'")
    # As dictionaries, so that a long text that stands in many rows is in memory once.
    with parquet_file(path, where, read_dictionary=list(IDS)) as file:
        parts = [_ids(file.read(columns=[name], use_threads=False).column(0), name) for name in IDS]
    return [f"{slide}-{patch}" for slide, patch in zip(*parts, strict=True)]


def _ids(column: Any, name: str) -> list[str]:
    """The cells of a column as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count:
        raise ValueError(f"column '{name}' has {counted(column.null_count, 'empty cell')}")
    for chunk in column.chunks:
        values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        if len(values) and not pa.types.is_integer(values.type):
            longest = pc.max(pc.binary_length(values)).as_py() or 0
            if longest > declared.LONGEST_ID:
                raise ValueError(f"column '{name}' has an id of {longest:,} bytes")
    return list(column.cast(pa.string()).to_pylist())
