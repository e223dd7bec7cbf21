"""Labels and images in parquet files: labels are read at once, images by row groups.

A value that is stored once may stand in many rows, so that a small file can fill any memory. Labels are read
as such a dictionary, images row by row until they are more than the file declares.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.cohorts.csv_tables import MOST_COLUMNS, MOST_ROWS
from pathorob_checks.cohorts.images import MOST_BYTES
from pathorob_checks.cohorts.names import MOST_CHARACTERS
from pathorob_checks.cohorts.reading import pointer
from pathorob_checks.errors import CohortError
from pathorob_checks.files import is_pointer
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

IMAGE = "image"
_GROUPS_KEPT = 4
_KEPT_BYTES = 512 << 20
_MOST_GROUP_BYTES = 8 << 30
_SLACK_BYTES = 1 << 20
_NAMES_SHOWN = 20
_BYTES_PER_CHARACTER = 4  # at most, in UTF-8
# The bases of pyarrow's errors, and what Python raises of numbers and names that cannot be.
_UNREADABLE = (OSError, ValueError, NotImplementedError, LookupError, TypeError, MemoryError, OverflowError)


class ParquetImages:
    """The rows of several parquet files one after the other, with an image column.

    The image column holds the bytes of an image file, or the form in which the `datasets` library
    saves images: a struct with the field `bytes`. Only the row groups read last are in memory.

    Parameters
    ----------
    files : name (for messages) and path of each file, in order.
    needs_images : False where the image column may be absent; then only the other columns can be read.

    Raises
    ------
    CohortError : a file is damaged, is not a parquet file, or has no usable image column.
    """

    def __init__(self, files: Sequence[tuple[str, Path]], *, needs_images: bool = True) -> None:
        import numpy as np

        self._names = [name for name, _ in files]
        self._files = [_open(name, path) for name, path in files]
        self._columns = [
            _image_column(name, file)
            for name, file in zip(self._names, self._files, strict=True)
            if needs_images or IMAGE in file.schema_arrow.names
        ]
        groups = [
            (number, group, file.metadata.row_group(group).num_rows)
            for number, file in enumerate(self._files)
            for group in range(file.metadata.num_row_groups)
        ]
        self._groups = [(number, group) for number, group, _ in groups]
        self._ends: npt.NDArray[np.int64] = np.cumsum([rows for *_, rows in groups], dtype=np.int64)
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def columns(self) -> list[str]:
        """Names of the first file's columns."""
        return list(self._files[0].schema_arrow.names)

    def labels(self, columns: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
        """(rows, columns) of text.

        Raises
        ------
        CohortError : a column is missing that is not optional, or holds neither text nor whole numbers; a
            cell is null or cannot be read.
        """
        import pandas as pd

        parts = []
        for name, file in zip(self._names, self._files, strict=True):
            present = file.schema_arrow.names
            missing = [column for column in columns if column not in present]
            if missing:
                raise CohortError(
                    f"{name} lacks the {'column' if len(missing) == 1 else 'columns'} "
                    f"{', '.join(map(repr, missing))} (it has {_shown(present)})",
                    remedy="write the columns image, " + ", ".join(columns),
                )
            selected = [*columns, *(column for column in optional if column in present)]
            for column in selected:
                _refuse_other_than_text(name, column, file.schema_arrow.field(column).type)
            with _reading(name):
                cells = {column: _cells(name, file, column) for column in selected}
            for column, values in cells.items():
                if None in values:
                    raise CohortError(
                        f"{name} has an empty {column} in row {values.index(None)}",
                        remedy="fill it or drop the row",
                    )
            parts.append(pd.DataFrame({column: list(map(str, values)) for column, values in cells.items()}))
        return pd.concat(parts, ignore_index=True)

    def digests(self) -> Iterator[str]:
        """SHA-256 of each row's image file, with a page or two in memory whatever the size of row groups.

        Raises
        ------
        CohortError : a file cannot be read, or a row has no image.
        """
        row = 0
        for block in range(len(self._groups)):
            for images in self._rows(block):
                content = images[0].as_buffer()
                if not content:
                    raise self._empty(row)
                yield hashlib.sha256(content).hexdigest()
                row += 1

    def content(self, row: int) -> bytes:
        """The bytes of a row's image file.

        Raises
        ------
        CohortError : the file can no longer be read, or the row has no image.
        """
        block = int(self._ends.searchsorted(row, side="right"))
        first = int(self._ends[block - 1]) if block else 0
        with self._lock:
            images = self._kept.get(block)
            if images is None:
                images = self._kept[block] = self._read(block)
                while len(self._kept) > _GROUPS_KEPT or (
                    len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _KEPT_BYTES
                ):
                    self._kept.popitem(last=False)
            self._kept.move_to_end(block)
        content = images[row - first].as_py()
        if not content:
            raise self._empty(row)
        return bytes(content)

    def where(self, row: int) -> str:
        """A description of a row's image, for messages."""
        block = int(self._ends.searchsorted(row, side="right"))
        number = self._groups[block][0]
        first = min(
            (int(self._ends[other - 1]) if other else 0)
            for other, (file, _) in enumerate(self._groups)
            if file == number
        )
        return f"the image in row {row - first} of {self._names[number]}"

    def _read(self, block: int) -> Any:
        import pyarrow

        # Kept in chunks: one array's offsets may be too small for all of them.
        return pyarrow.chunked_array(list(self._rows(block)))

    def _rows(self, block: int) -> Iterator[Any]:
        """The images of a row group, in arrays of one.

        Raises
        ------
        CohortError : they are damaged, or larger than any patch or than the file declares.
        """
        number, group = self._groups[block]
        name, file, column = self._names[number], self._files[number], self._columns[number]
        with _reading(name):
            declared = _declared_bytes(name, file, group)
            rows = file.metadata.row_group(group).num_rows
            batches = file.iter_batches(1, row_groups=[group], columns=[column], use_threads=False)
        total = 0
        for _ in range(rows):
            with _reading(name):
                images = _images(next(batches).column(0), column)
                size = len(images[0].as_buffer() or b"")
            total += size
            if size > MOST_BYTES:
                raise CohortError(
                    f"{name} has an image of {size:,} bytes",
                    remedy="cut the slide into patches and list those",
                )
            if total > 2 * declared + _SLACK_BYTES:
                raise CohortError(
                    f"{name} has images that are larger together than it declares: one stored value stands "
                    "in many rows",
                    remedy="write every patch with its own image",
                )
            yield images

    def _empty(self, row: int) -> CohortError:
        return CohortError(f"{self.where(row)} is empty", remedy="write the image's bytes or drop the row")

    def __reduce__(self) -> Any:
        raise TypeError("open files cannot be pickled")


def _open(name: str, path: Path) -> Any:
    import pyarrow.parquet

    try:
        with _reading(name):
            if is_pointer(_beginning(path)):
                raise pointer(name)
            file = pyarrow.parquet.ParquetFile(path)
            metadata = file.metadata
            groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
            columns, rows = metadata.num_columns, metadata.num_rows
            if columns > MOST_COLUMNS or rows > MOST_ROWS:
                raise CohortError(
                    f"{name} declares {rows:,} rows and {columns:,} columns",
                    remedy=f"write at most {MOST_ROWS:,} rows and {MOST_COLUMNS:,} columns into a file",
                )
            if sum(groups) != rows or min(groups, default=0) < 0:
                raise _damaged(name)
            return pyarrow.parquet.ParquetFile(path, read_dictionary=_text_columns(file))
    except FileNotFoundError:
        raise CohortError(f"{name} does not exist", remedy="give the path of a parquet file") from None


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1023)


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    """Errors of the library as that of a damaged file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (StopIteration, *_UNREADABLE) as error:
        raise _damaged(name) from error


def _text_columns(file: Any) -> list[str]:
    """The columns that are read with each different value once, whatever their number of rows."""
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    return [
        leaf.path
        for leaf in leaves
        if leaf.physical_type == "BYTE_ARRAY" and leaf.path == leaf.name and leaf.path != IMAGE
    ]


def _cells(name: str, file: Any, column: str) -> list[Any]:
    """A column's values; equal ones share their memory.

    Raises
    ------
    CohortError : they are damaged, or one is longer than any name.
    """
    import pyarrow

    cells: list[Any] = []
    for chunk in file.read(columns=[column])[column].chunks:
        if not pyarrow.types.is_dictionary(chunk.type):
            cells += chunk.to_pylist()
            continue
        longest = max((_length(value) for value in chunk.dictionary), default=0)
        if longest > _BYTES_PER_CHARACTER * MOST_CHARACTERS:
            raise CohortError(
                f"{name} has a {column} of {longest:,} bytes",
                remedy=f"shorten it to at most {MOST_CHARACTERS} characters",
            )
        chunk.validate(full=True)  # places outside the dictionary
        values = [*chunk.dictionary.to_pylist(), None]
        cells += [values[place] for place in chunk.indices.fill_null(len(values) - 1).to_pylist()]
    if len(cells) != file.metadata.num_rows:
        raise _damaged(name)
    return cells


def _length(value: Any) -> int:
    """Bytes of a text; a number is never too long for a name."""
    return len(value.as_buffer()) if hasattr(value, "as_buffer") and value.is_valid else 0


def _declared_bytes(name: str, file: Any, group: int) -> int:
    """The size, without compression, that the file states of a row group.

    Raises
    ------
    CohortError : it is more than can be held in memory.
    """
    # Not the sum over its columns: pyarrow ends the process for damaged metadata of a column.
    declared = int(file.metadata.row_group(group).total_byte_size)
    if declared > _MOST_GROUP_BYTES:
        raise CohortError(
            f"{name} declares {declared:,} bytes in one row group, which is read at once",
            remedy="write it again with row_group_size=100",
        )
    return declared


def _image_column(name: str, file: Any) -> str:
    """The column to read: `image`, or `image.bytes` where it is a struct."""
    import pyarrow

    schema = file.schema_arrow
    if IMAGE not in schema.names:
        raise CohortError(
            f"{name} has no column 'image' (it has {_shown(schema.names)})",
            remedy="write the bytes of each image file into a column 'image'",
        )
    if schema.names.count(IMAGE) > 1:
        raise CohortError(f"{name} has the column 'image' twice", remedy="delete one of them")
    kind = schema.field(IMAGE).type
    if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind, column = kind.field("bytes").type, f"{IMAGE}.bytes"
    else:
        column = IMAGE
    kinds = pyarrow.types
    if not (kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind)):
        raise CohortError(
            f"the column 'image' of {name} holds {kind}, not the bytes of image files",
            remedy="write the bytes of a PNG or JPEG file for every patch",
        )
    return column


def _refuse_other_than_text(name: str, column: str, kind: Any) -> None:
    """Text and whole numbers can be names; a number such as 7.0 is not the name of a slide."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if not (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_integer(kind)
    ):
        raise CohortError(
            f"the column '{column}' of {name} holds {kind}, not text", remedy="write it as strings"
        )


def _images(column: Any, name: str) -> Any:
    """The array, in chunks or not, of the images' bytes."""
    import pyarrow.compute

    return pyarrow.compute.struct_field(column, "bytes") if "." in name else column


def _shown(names: Sequence[str]) -> str:
    more = f", and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(printable(name[:60]) for name in names[:_NAMES_SHOWN]) + more


def _damaged(name: str) -> CohortError:
    return CohortError(
        f"{name} is damaged or not a parquet file", remedy="delete it and download or write it again"
    )
