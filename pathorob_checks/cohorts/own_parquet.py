"""A cohort from one parquet file: a row is a patch, with its image and its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.design import (
    OPTIONAL,
    check_columns,
    check_images,
    check_table,
    made_patch,
    own_cohort,
    without_images,
)
from pathorob_checks.cohorts.image_files import decode_unchanged
from pathorob_checks.cohorts.names import NONE_ACCEPTED, AcceptedNames, Names
from pathorob_checks.cohorts.parquet import IMAGE, ParquetImages
from pathorob_checks.cohorts.settings import read_settings
from pathorob_checks.errors import CohortError

LABELS = ("slide_id", "patch_id", "biological_class", "medical_center")


def load_parquet(path: Path, accepted: AcceptedNames = NONE_ACCEPTED, *, needs_images: bool = True) -> Cohort:
    """Read and check a cohort file.

    Parameters
    ----------
    path : `X.parquet` with the columns `image` (bytes of an image file, or a struct with the field
        `bytes`), `slide_id`, `patch_id`, `biological_class`, `medical_center` and optionally `subset` and
        `case_id`; other columns are not read. `X.toml` beside it is its optional `cohort.toml`.
    accepted : reviewed names that may look alike.
    needs_images : False where no FM embeds the images: then the column `image` may be absent, and the cohort
        says so in a note.

    Returns
    -------
    The cohort, named after the file, with its rows and reading order. The digest of its images covers the
    order of the rows.

    Raises
    ------
    CohortError : the file is damaged, or a column, a row or the settings cannot be used. Rows are counted
        from 0.
    """
    images = ParquetImages([(path.name, path)], needs_images=needs_images)
    check_columns(path.name, images.columns, (IMAGE, *LABELS) if needs_images else LABELS, known=IMAGE)
    if not len(images):
        raise CohortError(f"{path.name} has no rows", remedy="write one row per patch")
    table = images.labels(LABELS, OPTIONAL)
    names = Names(accepted)
    columns = [table[column].tolist() for column in table.columns]
    patches = [
        made_patch(f"row {row} of {path.name}", dict(zip(table.columns, cells, strict=True)), names)
        for row, cells in enumerate(zip(*columns, strict=True))
    ]
    settings = read_settings(path.with_suffix(".toml"))
    check_table(path.name, patches, settings, names)
    reader, notes = None, names.notes
    if IMAGE in images.columns:
        reader = _RowImages(path.absolute(), tuple(images.digests()))
        check_images(patches, reader.digests)
    else:
        lacking = CohortError(f"{path.name} has no column '{IMAGE}'", remedy="add it")
        notes = (*notes, without_images(lacking))
    return own_cohort(
        name=path.stem,
        source=str(path),
        patches=patches,
        images=reader,
        settings=settings,
        reading_order=None if reader is None else reader.order,
        notes=notes,
    )


class _RowImages:
    """Row number -> RGB image."""

    def __init__(self, path: Path, digests: tuple[str, ...]) -> None:
        self._path, self.digests = path, digests
        self._images = ParquetImages([(path.name, path)])

    def __call__(self, row: int) -> Image.Image:
        """Decode the image of a row.

        Raises
        ------
        CohortError : it cannot be read or decoded, or changed since the cohort's digest was computed.
        """
        return decode_unchanged(self._images.content(row), self.digests[row], self._images.where(row))

    def order(self) -> npt.NDArray[np.int64]:
        """The file's own order: any other would read its row groups many times."""
        return np.arange(len(self.digests), dtype=np.int64)

    def __reduce__(self) -> Any:
        return _RowImages, (self._path, self.digests)
