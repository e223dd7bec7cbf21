"""Image files inside a cohort folder: where they may be, their digests, and their pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pathorob_checks.cohorts.images import decode
from pathorob_checks.errors import CohortError


def is_inside(root: Path, path: Path) -> bool:
    """Whether a path, with all links followed, is in `root`, so that a copy of the folder is complete.

    Parameters
    ----------
    root : the folder, with its own links followed (`os.path.realpath`).
    """
    # realpath and not Path.resolve, which raises for a loop of symbolic links.
    return Path(os.path.realpath(path)).is_relative_to(root)


def hash_files(folder: Path, paths: Sequence[str], where: Sequence[str]) -> tuple[str, ...]:
    """SHA-256 of each file. Threads help: reading and hashing both release the GIL.

    Parameters
    ----------
    paths : relative to the folder.
    where : a description of each of them, for messages.

    Raises
    ------
    CohortError : one cannot be read.
    """

    def digest(row: int) -> str:
        try:
            with (folder / paths[row]).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(where[row], error) from error

    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="hash") as pool:
        return tuple(pool.map(digest, range(len(paths))))


@dataclass(frozen=True)
class FileImages:
    """Row number -> RGB image. A class, not a closure, so that a cohort can be sent to a process."""

    folder: Path
    paths: tuple[str, ...]
    where: tuple[str, ...]
    digests: tuple[str, ...]

    def __call__(self, row: int) -> Image.Image:
        """Decode the image of a row.

        Raises
        ------
        CohortError : the file cannot be read, is not an 8-bit image, is damaged, or is no longer the file
            that the cohort's digest was computed from.
        """
        try:
            content = (self.folder / self.paths[row]).read_bytes()
        except OSError as error:
            raise _unreadable(self.where[row], error) from error
        return decode_unchanged(content, self.digests[row], f"image {self.where[row]}")


def decode_unchanged(content: bytes, digest: str, where: str) -> Image.Image:
    """Decode an image whose bytes must have the same digest as when the cohort was read.

    Embeddings are stored under the digest: with an image that changed during the run they would be wrong.

    Raises
    ------
    CohortError : they have another digest, or cannot be decoded.
    """
    if hashlib.sha256(content).hexdigest() != digest:
        raise CohortError(
            f"{where} changed since the cohort was read",
            remedy="start the run again when the cohort's files no longer change",
        )
    return decode(content, where)


def _unreadable(where: str, error: OSError) -> CohortError:
    return CohortError(
        f"image {where} cannot be read: {error.strerror or type(error).__name__}",
        remedy="restore the file and its read permission",
    )
