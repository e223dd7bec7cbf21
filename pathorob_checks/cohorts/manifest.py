"""A cohort from a folder with a table: `manifest.csv`, the images in it, an optional `cohort.toml`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.csv_tables import MOST_BYTES, parse_csv
from pathorob_checks.cohorts.design import (
    OPTIONAL,
    Patch,
    check_columns,
    check_images,
    check_table,
    made_patch,
    own_cohort,
    without_images,
)
from pathorob_checks.cohorts.file_names import MANIFEST, SETTINGS
from pathorob_checks.cohorts.folder_paths import FolderPaths, is_inside
from pathorob_checks.cohorts.image_files import FileImages, MissingImagesError, hash_files
from pathorob_checks.cohorts.names import NONE_ACCEPTED, AcceptedNames, Names, check_characters
from pathorob_checks.cohorts.reading import read_file, unreadable
from pathorob_checks.cohorts.settings import read_settings
from pathorob_checks.errors import CohortError

IMAGE_PATH = "image_path"
LABELS = ("slide_id", "patch_id", "biological_class", "medical_center")
REQUIRED = (IMAGE_PATH, *LABELS)


@dataclass(frozen=True)
class _Row:
    """One row of the table; `line` is its line in a text editor (the header is line 1).

    `image_path` is empty where the table has no such column.
    """

    line: int
    image_path: str
    patch: Patch


def load_folder(
    folder: Path, accepted: AcceptedNames = NONE_ACCEPTED, *, needs_images: bool = True
) -> Cohort:
    """Read and check a cohort folder with a manifest.

    Parameters
    ----------
    folder : holds `manifest.csv` with the columns `image_path` (relative to the folder), `slide_id`,
        `patch_id`, `biological_class`, `medical_center` and optionally `subset` ('ID' or 'OOD', or names
        of paired subsets instead of 'ID'; all 'ID' without it) and `case_id` (of the patient), and optionally
        `cohort.toml`. Cells are strings: '007' keeps its zeros, 'NA' is a value. Rows whose cells are all
        empty are ignored.
    accepted : reviewed names that may look alike.
    needs_images : False where no FM embeds the images: then the column `image_path` and its files may be
        absent, and the cohort says so in a note.

    Returns
    -------
    The cohort, rows in the manifest's order, named after the folder. The order changes no digest.

    Raises
    ------
    CohortError : the table, an image file or `cohort.toml` cannot be used.
    """
    if not folder.is_dir():
        problem = f"cohort folder '{folder}' " + ("is not a folder" if folder.exists() else "does not exist")
        raise CohortError(problem, remedy=f"give the folder that contains {MANIFEST}")
    names = Names(accepted)
    rows = _read_manifest(folder / MANIFEST, names, needs_images)
    patches = [row.patch for row in rows]
    settings = read_settings(folder / SETTINGS)
    check_table(MANIFEST, patches, settings, names)
    images, notes = None, names.notes
    try:
        images = _images(folder, rows)
    except MissingImagesError as error:
        if needs_images:
            raise
        notes = (*notes, without_images(error))
    if images is not None:
        check_images(patches, images.digests)
    return own_cohort(
        name=folder.resolve().name,
        source=str(folder),
        patches=patches,
        images=images,
        settings=settings,
        notes=notes,
    )


def _images(folder: Path, rows: Sequence[_Row]) -> FileImages:
    """The images of all rows.

    Raises
    ------
    MissingImagesError : some are not there.
    CohortError : some cannot be used.
    """
    if not rows[0].image_path:
        raise MissingImagesError(f"{MANIFEST} has no column {IMAGE_PATH}", remedy="add it")
    paths = _actual_paths(folder, rows)
    where = tuple(row.patch.where for row in rows)
    return FileImages(folder.absolute(), paths, where, hash_files(folder, paths, where))


def _read_manifest(path: Path, names: Names, needs_images: bool) -> list[_Row]:
    try:
        content = read_file(path, MANIFEST, MOST_BYTES)
    except FileNotFoundError:
        raise CohortError(
            f"folder '{path.parent}' has no {MANIFEST}",
            remedy=f"write one with the columns {', '.join(REQUIRED)} and, where needed, subset",
        ) from None
    table = parse_csv(MANIFEST, content)
    if not table.header:
        remedy = f"write the header {','.join(REQUIRED)} and one row per patch"
        raise CohortError(f"{MANIFEST} is empty", remedy=remedy)
    check_columns(MANIFEST, table.header, REQUIRED if needs_images else LABELS, known=IMAGE_PATH)
    if not table.rows:
        raise CohortError(f"{MANIFEST} has a header but no rows", remedy="write one row per patch")
    used = [(table.header.index(name), name) for name in (*REQUIRED, *OPTIONAL) if name in table.header]
    rows = []
    for line, cells in table.rows:
        labels = {column: cells[position] for position, column in used}
        where, image_path = f"{MANIFEST} line {line}", labels.pop(IMAGE_PATH, "")
        if IMAGE_PATH in table.header:
            check_characters(where, IMAGE_PATH, image_path)
            where = f"'{image_path}' ({where})"
        rows.append(_Row(line, image_path, made_patch(where, labels, names)))
    return rows


def _actual_paths(folder: Path, rows: Sequence[_Row]) -> tuple[str, ...]:
    """The image file of every row: inside the folder, and a row's own."""
    root = Path(os.path.realpath(folder))
    files = FolderPaths(root)
    by_path: dict[str, _Row] = {}
    missing, paths = [], []
    for row in rows:
        line = f"{MANIFEST} line {row.line}"
        pure = PurePosixPath(row.image_path)
        outside = pure.is_absolute() or bool(PureWindowsPath(row.image_path).anchor) or ".." in pure.parts
        if outside or not is_inside(root, root / row.image_path):
            raise CohortError(
                f"{line} has an image outside the cohort folder: '{row.image_path}'",
                remedy="copy the image into the folder and write its path relative to the folder",
            )
        try:
            path = files.file(row.image_path)
        except OSError as error:
            raise unreadable(f"the image of {line}", error) from error
        if path is None and (root / row.image_path).exists():
            raise CohortError(
                f"the image of {line} is not a file: '{row.image_path}'",
                remedy="put the file of an image there",
            )
        first = by_path.setdefault(os.path.normpath(path or row.image_path), row)
        if first is not row:
            raise CohortError(
                f"{MANIFEST} lines {first.line} and {row.line} both have the image '{row.image_path}'",
                remedy="give every patch its own image, or delete one of the rows",
            )
        if path is None or (path != row.image_path and not is_inside(root, root / path)):
            missing.append(row)
        else:
            paths.append(path)
    if missing:
        raise _missing(missing, len(rows), files)
    return tuple(paths)


def _missing(missing: Sequence[_Row], total: int, files: FolderPaths) -> MissingImagesError:
    shown = ", ".join(f"'{row.image_path}' (line {row.line})" for row in missing[:3])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    verb = "is" if len(missing) == 1 else "are"
    problem = f"{len(missing)} of {total} images in {MANIFEST} {verb} missing: {shown}{more}"
    similar = next((path for row in missing[:3] if (path := files.similar(row.image_path))), None)
    if similar is not None:
        return MissingImagesError(
            f"{problem} (there is '{similar}')",
            remedy="write image_path as the files are called, with the same upper and lower case",
        )
    return MissingImagesError(
        problem, remedy="write image_path relative to the folder, with forward slashes, and copy every file"
    )
