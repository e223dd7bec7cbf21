"""Image files inside a cohort folder: their digests and their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pathorob_checks.cohorts.images import MOST_BYTES, decode
from pathorob_checks.errors import CohortError
from pathorob_checks.files import is_pointer, read_limited

_EMPTY, _POINTER = "empty", "pointer"
# By what stands in a file's place instead of an image: what to say of one, of several, and the remedy.
_NO_IMAGES = {
    _EMPTY: (
        "is an empty file",
        "are empty files",
        "copy them again; the disk may have been full",
    ),
    _POINTER: (
        "is a pointer of git-lfs, not an image",
        "are pointers of git-lfs, not images",
        "fetch the images with 'git lfs pull'",
    ),
}


class MissingImagesError(CohortError):
    """Images are not there, which matters only to a run that embeds them."""


@dataclass(frozen=True)
class NoImages:
    """In place of images that no FM of the run has to embed."""

    where: tuple[str, ...]

    def __call__(self, row: int) -> Image.Image:
        """Raise CohortError: there is no image."""
        raise CohortError(
            f"the cohort was read without its images, so that there is none of {self.where[row]}",
            remedy="copy the images, or check given embeddings only",
        )


def hash_files(folder: Path, paths: Sequence[str], where: Sequence[str]) -> tuple[str, ...]:
    """SHA-256 of each file. Threads help: reading and hashing both release the GIL.

    Parameters
    ----------
    paths : relative to the folder.
    where : a description of each of them, for messages.

    Raises
    ------
    MissingImagesError : one is empty, or is a pointer of git-lfs.
    CohortError : one cannot be read.
    """

    def digest(row: int) -> str:
        try:
            content = read_limited(folder / paths[row], MOST_BYTES)
        except OSError as error:
            raise _unreadable(where[row], error) from error
        if not content:
            return _EMPTY
        return _POINTER if is_pointer(content) else hashlib.sha256(content).hexdigest()

    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="hash") as pool:
        digests = tuple(pool.map(digest, range(len(paths))))
    for kind, (of_one, of_several, remedy) in _NO_IMAGES.items():
        rows = [row for row, one in enumerate(digests) if one == kind]
        if rows:
            what = of_one if len(rows) == 1 else of_several
            raise MissingImagesError(
                f"{len(rows)} of {len(digests)} images {what} (first: {where[rows[0]]})", remedy=remedy
            )
    return digests


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
            content = read_limited(self.folder / self.paths[row], MOST_BYTES)
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
