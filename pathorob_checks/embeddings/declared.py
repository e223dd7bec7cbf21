"""What a file of embeddings declares about its size, held against limits before anything is decoded.

A file of a few kilobytes can declare gigabytes: an array of 10**12 numbers, a zip member or a column of one
repeated value. Limits are far above what embeddings need, and each refusal says which one it is.
"""

from __future__ import annotations

import io
import math
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import EmbeddingError
from pathorob_checks.wording import shortened

MOST_DIMENSIONS = 65_536  # 14 times those of the largest public FM
MOST_ROWS = 2_000_000
MOST_COLUMNS = 10_000  # of a table
MOST_TEXT = 1 << 28  # bytes of a table in text, or of a list of patch keys
LONGEST_ID = 4_096  # bytes
# Embeddings hardly compress. A file whose content is this many times larger has none in it; what is below
# `ANYWAY` bytes does no harm.
MOST_EXPANSION, ANYWAY = 100, 1 << 26
_HEADER = 1 << 14  # bytes before the numbers of an .npy file

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def check_dimension(dimension: int, where: str) -> None:
    """Refuse embeddings of more numbers than any FM gives."""
    if dimension > MOST_DIMENSIONS:
        raise EmbeddingError(
            f"{where} declares embeddings of {shortened(dimension)} numbers where at most "
            f"{MOST_DIMENSIONS:,} are read",
            remedy="write one vector per patch, not its tokens or its pixels",
        )


def check_rows(rows: int, where: str) -> None:
    """Refuse a table of more rows than any cohort has."""
    if rows > MOST_ROWS:
        raise EmbeddingError(
            f"{where} has more than {MOST_ROWS:,} rows", remedy="write only the patches of the cohort"
        )


def check_expansion(declared: int, stored: int, where: str) -> None:
    """Refuse content of `declared` bytes in a file of `stored` bytes, unless embeddings compress so far."""
    if declared > max(MOST_EXPANSION * stored, ANYWAY):
        raise EmbeddingError(
            f"{where} would become {declared:,} bytes, which is more than {MOST_EXPANSION} times its own "
            f"{stored:,}",
            remedy="write the embeddings again; if they are right, write them without compression",
        )


def check_text(size: int, where: str) -> None:
    """Refuse a text of `size` bytes that is too long to be read as a whole."""
    if size > MOST_TEXT:
        raise EmbeddingError(
            f"{where} has {size:,} bytes where at most {MOST_TEXT:,} are read",
            remedy="write only the columns slide_id and patch_id of the cohort's patches",
        )


def npy_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype that an .npy file declares; the stream is at its first number afterwards.

    Raises
    ------
    ValueError : it is no .npy file, or holds Python objects.
    """
    version = np.lib.format.read_magic(stream)
    if version not in _READERS:
        raise ValueError(f"version {version[0]}.{version[1]} of .npy files holds no embeddings")
    try:
        shape, _, dtype = _READERS[version](stream)
    except Exception as error:  # NumPy's and Python's parsers raise many kinds, some with the whole header
        raise ValueError(f"its header is not one of an .npy file ({type(error).__name__})") from error
    if dtype.hasobject:
        raise ValueError("it declares Python objects")
    if any(length < 0 for length in shape):
        raise ValueError(f"it declares the shape {shortened(shape)}")
    return shape, dtype


def vector(content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], start: int) -> npt.NDArray[Any]:
    """The numbers of an .npy file whose header ends at `start`.

    Raises
    ------
    ValueError : it has more or fewer of them than it declares.
    """
    declared, present = math.prod(shape) * dtype.itemsize, len(content) - start
    if declared != present:
        raise ValueError(f"an array declares {shortened(declared)} bytes of numbers and has {present}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def member_header(content: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """`npy_header` of an array in memory, and where its numbers start."""
    stream = io.BytesIO(content)
    shape, dtype = npy_header(stream)
    return shape, dtype, stream.tell()


def largest_member() -> int:
    """Bytes of the largest array that may be one embedding."""
    return MOST_DIMENSIONS * 8 + _HEADER
