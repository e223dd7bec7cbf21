"""Labels that stand beside given embeddings: they must be those of the cohort."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.cohorts.cohort import patch_keys
from pathorob_checks.embeddings import declared, key_tables
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.wording import shortened

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("biological_class", "medical_center")


def check_labels(path: Path, where: str, keys: Sequence[str], patches: pd.DataFrame) -> None:
    """Refuse a table that names another class or medical center of a patch than the cohort does.

    Labels that the cohort does not use at all, such as numbers for classes, are another way to write them
    and say nothing.

    Parameters
    ----------
    path, where : the table and its name, .csv or .parquet; it may have columns named as in `LABELS`.
    keys : the patch key of each of its rows.
    patches : the cohort's.

    Raises
    ------
    EmbeddingError : the two contradict each other.
    """
    is_csv = where.endswith(".csv")  # not by `path`, because a link may be called otherwise
    columns = _csv(path) if is_csv else _parquet(path, where)
    rows = {key: row for row, key in enumerate(patch_keys(patches))}
    for column in columns.keys() & set(patches.columns):
        ours = patches[column].tolist()
        known = set(ours)
        for key, text in zip(keys, columns[column], strict=True):
            row = rows.get(key)
            if row is not None and text in known and text != ours[row]:
                raise EmbeddingError(
                    f"{column} of patch {shortened(key)} is {shortened(text)} in '{where}' and "
                    f"{shortened(ours[row])} in the cohort",
                    remedy="find out which label is right, and correct the other table",
                )


def _csv(path: Path) -> Mapping[str, list[str]]:
    """The label columns of a table whose form `key_tables` has accepted."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [cells for cells in csv.reader(file, strict=True) if cells]
    header = rows[0]
    places = {name: header.index(name) for name in LABELS if header.count(name) == 1}
    return {name: [cells[place] for cells in rows[1:]] for name, place in places.items()}


def _parquet(path: Path, where: str) -> Mapping[str, list[str]]:
    import pyarrow as pa

    names = []
    with key_tables.parquet_file(path, where) as file:
        schema = file.schema_arrow
        for name in LABELS:
            if schema.names.count(name) != 1:
                continue
            kind = schema.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                size = sum(chunk.total_uncompressed_size for chunk in key_tables.parquet_chunks(file, name))
                declared.check_text(size, f"column '{name}' of '{where}'")
                names.append(name)
    if not names:
        return {}
    # As dictionaries, so that a long text that stands in many rows is in memory once.
    with key_tables.parquet_file(path, where, read_dictionary=names) as file:
        columns = {name: file.read(columns=[name], use_threads=False).column(0) for name in names}
    return {name: column.cast(pa.string()).to_pylist() for name, column in columns.items()}
