"""Files of weights that are not there as a whole: seen without reading all of them."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

from pathorob_checks.errors import ModelError
from pathorob_checks.files import is_pointer

_BEGINNING_BYTES = 1024  # a pointer of git-lfs is shorter
_HEADER_BYTES = 100_000_000  # more is refused by safetensors itself
_ARCHIVE, _PICKLE = b"PK", b"\x80"  # what `torch.save` writes now, and what it wrote before 1.6
_AGAIN = "download or save the model again"


def refuse_broken(paths: Iterable[Path], origin: str) -> None:
    """Refuse files of weights that no library could read.

    Parameters
    ----------
    paths : files of safetensors, or of `torch.save`.
    origin : the model as the user knows it, for messages.

    Raises
    ------
    ModelError : a file is empty, is a pointer of git-lfs, was cut off, or has another format than its name.
    """
    for path in paths:
        try:
            with path.open("rb") as file:
                beginning = file.read(_BEGINNING_BYTES)
        except OSError as error:
            raise ModelError(
                f"{path.name} of {origin} cannot be read ({error.strerror})",
                remedy="check its permissions and the disk",
            ) from error
        if is_pointer(beginning):
            raise ModelError(
                f"{path.name} of {origin} is a pointer of git-lfs, not the weights",
                remedy="fetch the weights with 'git lfs pull'",
            )
        if not beginning:
            raise ModelError(f"{path.name} of {origin} is empty", remedy=_AGAIN)
        problem = _of_safetensors(path) if path.suffix == ".safetensors" else _of_torch(path, beginning)
        if problem is not None:
            raise ModelError(f"{path.name} of {origin} {problem}", remedy=_AGAIN)


def _of_safetensors(path: Path) -> str | None:
    """How a file differs from what its header declares, as the end of a sentence."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(_HEADER_BYTES, size):
                raise ValueError
            header = json.loads(file.read(length))
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
        whole = 8 + length + max(map(int, ends), default=0)
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        RecursionError,
        struct.error,
    ):
        return "is damaged or not a safetensors file"
    return f"was cut off: it has {size:,} bytes of {whole:,}" if size < whole else None


def _of_torch(path: Path, beginning: bytes) -> str | None:
    """Whether a file is what `torch.save` writes; an archive has its list of entries at its end."""
    if beginning.startswith(_ARCHIVE):
        return None if zipfile.is_zipfile(path) else "was cut off: the end of the archive is missing"
    return None if beginning.startswith(_PICKLE) else "is damaged or not a file of torch"
