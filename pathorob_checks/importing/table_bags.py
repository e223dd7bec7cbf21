"""Tables with a row per patch: CSV or parquet, the numbers as columns or, in parquet, as one list.

The slide is in a column, or each slide has a file of its own. CSV is read by pyarrow, which refuses rows of
another length than the header.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings import declared
from pathorob_checks.embeddings.key_tables import parquet_file
from pathorob_checks.embeddings.matrix_files import reading_errors
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.files import shown
from pathorob_checks.importing.bag import Bag, Rows, ids_of_coordinates, ids_of_rows, matrix_shape, unique_ids
from pathorob_checks.importing.source import Source
from pathorob_checks.wording import quoted

SUFFIXES = (".csv", ".parquet")
SLIDES = ("slide_id", "slide", "Slide", "wsi_id")
PATCHES = ("patch_id", "tile_id")
PLACES = ("x", "y")
LISTS = ("embedding", "embeddings", "features")
# Names of columns of numbers before their number, in order of preference: slideflow writes Class_0 too.
PREFIXES = ("feature_", "features_", "feat_", "embedding_", "emb_", "dim_", "f", "")
_NUMBERED = re.compile(r"(.*?)(0|[1-9]\d*)")
_BLOCK = 1024  # rows
_DTYPES = {"halffloat": "float16", "float": "float32", "double": "float64"}


class Table:
    """A table whose numbers are not read yet.

    Attributes
    ----------
    names : of its columns.
    """

    def __init__(self, path: Path, where: str) -> None:
        self.path, self.where = path, where
        self.is_csv = path.suffix.lower() == ".csv"
        if self.is_csv:
            import pyarrow.csv

            with reading_errors(where), pyarrow.csv.open_csv(path, read_options=_blocks()) as reader:
                self.names: list[str] = reader.schema.names
            if len(self.names) > declared.MOST_DIMENSIONS + 100:
                raise EmbeddingError(
                    f"'{where}' has {len(self.names):,} columns", remedy="write one vector per patch"
                )
            self._types: dict[str, str] = {}
        else:
            with reading_errors(where), parquet_file(path, where) as file:
                self.names = list(file.schema_arrow.names)
                self._types = {field.name: str(field.type) for field in file.schema_arrow}

    def texts(self, name: str) -> list[str]:
        """A column as text, cells as written."""
        import pyarrow as pa

        parts: list[str] = []
        with reading_errors(self.where):
            for batch in self.batches([name], pa.string()):
                column = batch.column(0)
                if column.null_count:
                    raise ValueError(f"column '{name}' has empty cells")
                parts += column.cast(pa.string()).to_pylist()
                declared.check_rows(len(parts), f"'{self.where}'")
        return parts

    def batches(self, names: Sequence[str], kind: Any) -> Generator[Any]:
        """Some columns, block by block; cells of CSV are read as `kind`."""
        import pyarrow.csv

        if self.is_csv:
            options = pyarrow.csv.ConvertOptions(
                include_columns=list(names),
                column_types=dict.fromkeys(names, kind),
                strings_can_be_null=False,
                null_values=["", "NA", "null", "None"],
            )
            with pyarrow.csv.open_csv(self.path, read_options=_blocks(), convert_options=options) as reader:
                yield from reader
        else:
            with parquet_file(self.path, self.where) as file:
                yield from file.iter_batches(batch_size=_BLOCK, columns=list(names), use_threads=False)

    def dtype(self, name: str) -> str:
        """The dtype of a column's numbers; those of CSV are read as float32."""
        if self.is_csv:
            return "float32"
        text = self._types[name]
        inner = re.fullmatch(r"(?:large_|fixed_size_)?list<\w+: (\w+)(?: not null)?>(?:\[\d+\])?", text)
        return _DTYPES.get(inner[1] if inner else text, text)

    def is_list(self, name: str) -> bool:
        """Whether a column holds the whole vector."""
        return "list<" in self._types.get(name, "")


def _blocks() -> Any:
    import pyarrow.csv

    return pyarrow.csv.ReadOptions(block_size=1 << 24, use_threads=False)


def bags_of(source: Source, path: Path, key: str | None) -> Iterator[Bag]:
    """The features of one table, by slide.

    Parameters
    ----------
    key : name of the column of lists, or what the names of the columns of numbers begin with; None finds it.

    Raises
    ------
    EmbeddingError : the table is damaged or has no such columns, a cell is empty, or a patch is there twice.
    """
    where, real = shown(path), source.open(path)
    table = Table(real, where)
    columns = _features(table, key)
    slide = next((name for name in SLIDES if name in table.names), None)
    slides = table.texts(slide) if slide else None
    total = len(slides) if slides is not None else len(table.texts(table.names[0]))
    dimension = _length(table, columns[0]) if table.is_list(columns[0]) else len(columns)
    shape = matrix_shape((total, dimension), table.dtype(columns[0]), f"'{where}'")
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(slides or [slide_of(path)] * total):
        rows_of[name].append(row)
    ids = _patch_ids(table, total)
    for name, rows in rows_of.items():
        own = np.array(rows)
        place = f"slide '{name}' in '{where}'"
        if ids is None:
            names = ids_of_rows(len(rows))
        elif isinstance(ids, list):
            names = unique_ids([ids[row] for row in rows], place)
        else:
            names = ids_of_coordinates(ids[own], len(rows), place)

        def read(chosen: Rows, own: Rows = own) -> npt.NDArray[Any]:
            return _values(table, columns, own[chosen], dimension)

        yield Bag(
            slide_id=name,
            where=where,
            patch_ids=names,
            dimension=shape.dimension,
            dtype=table.dtype(columns[0]),
            read=read,
        )


def slide_of(path: Path) -> str:
    """The slide that a table without such a column is named after."""
    return path.stem


def _features(table: Table, key: str | None) -> list[str]:
    """The column of lists, or the columns of numbers in the order of their numbers."""
    lists = [name for name in ([key] if key else LISTS) if name in table.names and table.is_list(name)]
    if len(lists) == 1:
        return lists
    numbered: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for name in table.names:
        if match := _NUMBERED.fullmatch(name):
            numbered[match[1]][int(match[2])] = name
    groups = {prefix: columns for prefix, columns in numbered.items() if len(columns) > 1}
    if key is not None:
        groups = {prefix: columns for prefix, columns in groups.items() if prefix == key}
    by_fold = {prefix.casefold(): prefix for prefix in groups}
    preferred = [by_fold[prefix] for prefix in PREFIXES if prefix in by_fold]
    if len(groups) != 1 and not preferred:
        prefixes = quoted([f"{prefix}{min(columns)}" for prefix, columns in list(groups.items())[:5]])
        what = (
            f"no columns of numbers '{key}0', '{key}1', ..."
            if key
            else "no columns that are clearly features"
        )
        raise EmbeddingError(
            f"'{table.where}' has {what} (numbered columns: {prefixes or 'none'})",
            remedy="name the features feature_0, feature_1, ..., or say by --key how their names begin",
        )
    columns = groups[preferred[0]] if preferred else next(iter(groups.values()))
    first = min(columns)
    gap = next((number for number in range(first, first + len(columns)) if number not in columns), None)
    if gap is not None or first > 1:
        raise EmbeddingError(
            f"'{table.where}' has {len(columns):,} columns of numbers, among which number "
            f"{gap if gap is not None else 0} is missing",
            remedy="write all numbers of an embedding",
        )
    names = [columns[number] for number in sorted(columns)]
    kinds = {table.dtype(name) for name in names}
    if len(kinds) > 1:
        raise EmbeddingError(
            f"'{table.where}' has columns of different dtypes among its features ({quoted(sorted(kinds))})",
            remedy="write all of them as float32",
        )
    return names


def _patch_ids(table: Table, total: int) -> list[str] | npt.NDArray[np.float64] | None:
    """Text from a column, or (N, 2) places; None where the table has neither."""
    import pyarrow as pa

    column = next((name for name in PATCHES if name in table.names), None)
    if column:
        return table.texts(column)
    if not set(PLACES) <= set(table.names):
        return None
    places = np.empty((total, len(PLACES)))
    start = 0
    with reading_errors(table.where):
        for batch in table.batches(PLACES, pa.float64()):
            for axis in range(len(PLACES)):
                places[start : start + len(batch), axis] = batch.column(axis).to_numpy(zero_copy_only=False)
            start += len(batch)
    return places


def _length(table: Table, name: str) -> int:
    """Length of the first list."""
    with reading_errors(table.where), contextlib.closing(table.batches([name], None)) as batches:
        for batch in batches:
            return len(batch.column(0)[0].as_py() or ()) if len(batch) else 0
    return 0


def _values(table: Table, columns: Sequence[str], rows: Rows, dimension: int) -> npt.NDArray[Any]:
    """(n, D) numbers of some rows, which ascend."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = []
    start = 0
    with reading_errors(table.where):
        for batch in table.batches(columns, pa.float32()):
            kept = rows[(rows >= start) & (rows < start + len(batch))] - start
            start += len(batch)
            if not len(kept):
                continue
            part = batch.take(pa.array(kept))
            empty = next((name for name in columns if part.column(name).null_count), None)
            if empty is not None:
                raise ValueError(
                    f"column '{empty}' has an empty cell among rows {start - len(batch):,} to {start:,}"
                )
            if table.is_list(columns[0]):
                column = part.column(columns[0])
                if pc.any(pc.not_equal(pc.list_value_length(column), dimension)).as_py():
                    raise ValueError(f"column '{columns[0]}' has lists of different lengths")
                parts.append(column.flatten().to_numpy(zero_copy_only=False).reshape(len(part), dimension))
            else:
                numbers = [part.column(name).to_numpy(zero_copy_only=False) for name in columns]
                parts.append(np.stack(numbers, axis=1))
    return np.concatenate(parts)
