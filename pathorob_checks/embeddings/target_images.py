"""Images that a user gives as the target of a stain normalization."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pathorob_checks.cohorts.images import decode
from pathorob_checks.cohorts.tree import IMAGE_SUFFIXES
from pathorob_checks.errors import MethodError
from pathorob_checks.wording import printable, shortened

Uint8 = npt.NDArray[np.uint8]


def target_images(path: Path) -> Iterator[Uint8]:
    """(H, W, 3) uint8 of an image file, or of every image directly in a folder, by name.

    Raises
    ------
    MethodError : there is no image.
    CohortError : an image cannot be decoded.
    """
    for file in _files(path):
        yield np.asarray(decode(file.read_bytes(), printable(str(file))))


def target_digest(path: Path) -> str:
    """SHA-256 over the contents of the images.

    Raises
    ------
    MethodError : there is no image.
    """
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    images = [one for one in sorted(path.glob("*")) if one.suffix.lower() in IMAGE_SUFFIXES and one.is_file()]
    if not images:
        raise MethodError(
            f"the target {shortened(printable(str(path)))} is no image and no folder with images",
            remedy="give --fm-method-target an image (PNG, JPEG, TIFF) of the stain that all are moved to",
        )
    return images
