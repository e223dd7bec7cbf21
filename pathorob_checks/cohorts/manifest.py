"""A cohort from a folder with a table: `manifest.csv`, the images in it, an optional `cohort.toml`."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.design import (
    OPTIONAL,
    Patch,
    check_columns,
    check_images,
    check_label,
    check_table,
    own_cohort,
)
from pathorob_checks.cohorts.image_files import FileImages, hash_files, is_inside
from pathorob_checks.cohorts.settings import SETTINGS, read_settings
from pathorob_checks.errors import CohortError

MANIFEST = "manifest.csv"
REQUIRED = ("image_path", "slide_id", "patch_id", "biological_class", "medical_center")


@dataclass(frozen=True)
class _Row:
    """One row of the table; `line` is its line in a text editor (the header is line 1)."""

    line: int
    image_path: str
    patch: Patch


def load_folder(folder: Path) -> Cohort:
    """Read and check a cohort folder with a manifest.

    Parameters
    ----------
    folder : holds `manifest.csv` with the columns `image_path` (relative to the folder), `slide_id`,
        `patch_id`, `biological_class`, `medical_center` and optionally `subset` ('ID' or 'OOD', or names
        of paired subsets instead of 'ID'; all 'ID' without it), and optionally `cohort.toml`. Cells are
        strings as written: '007' keeps its zeros, 'NA' is a value.

    Returns
    -------
    The cohort, rows in the manifest's order, named after the folder. Its digest covers patch keys and
    image bytes; neither labels nor the order of the rows change it.

    Raises
    ------
    CohortError : the table, an image file or `cohort.toml` cannot be used.
    """
    if not folder.is_dir():
        problem = f"cohort folder '{folder}' " + ("is not a folder" if folder.exists() else "does not exist")
        raise CohortError(problem, remedy=f"give the folder that contains {MANIFEST}")
    rows = _read_manifest(folder / MANIFEST)
    patches = [row.patch for row in rows]
    settings = read_settings(folder / SETTINGS)
    check_table(MANIFEST, patches, settings)
    _check_paths(folder, rows)
    paths = tuple(row.image_path for row in rows)
    where = tuple(patch.where for patch in patches)
    digests = hash_files(folder, paths, where)
    check_images(patches, digests)
    return own_cohort(
        name=folder.resolve().name,
        source=str(folder),
        patches=patches,
        digests=digests,
        read_image=FileImages(folder.absolute(), paths, where, digests),
        settings=settings,
    )


def _read_manifest(path: Path) -> list[_Row]:
    """Parse the table. The `csv` module, not pandas: pandas accepts ragged rows and has no line numbers."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise CohortError(
            f"folder '{path.parent}' has no {MANIFEST}",
            remedy=f"write one with the columns {', '.join(REQUIRED)} and, where needed, subset",
        ) from None
    except OSError as error:
        problem = f"{MANIFEST} cannot be read: {error.strerror or error}"
        raise CohortError(problem, remedy="make it a readable file") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise CohortError(f"{MANIFEST} line {line} is not UTF-8 text", remedy="save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        table = [(reader.line_num, cells) for cells in reader if cells]  # a blank line is not a row
    except csv.Error as error:
        raise CohortError(
            f"{MANIFEST} line {reader.line_num} is malformed CSV: {error}",
            remedy='close every quote, and write a quote inside a quoted cell as ""',
        ) from error
    if not table:
        remedy = f"write the header {','.join(REQUIRED)} and one row per patch"
        raise CohortError(f"{MANIFEST} is empty", remedy=remedy)
    header = table[0][1]
    check_columns(MANIFEST, header, REQUIRED)
    if len(table) == 1:
        raise CohortError(f"{MANIFEST} has a header but no rows", remedy="write one row per patch")
    used = [(header.index(column), column) for column in (*REQUIRED, *OPTIONAL) if column in header]
    rows = []
    for line, cells in table[1:]:
        if len(cells) != len(header):
            raise CohortError(
                f"{MANIFEST} line {line} is malformed CSV: {len(cells)} instead of {len(header)} cells",
                remedy="give every row one cell per column, and quote cells that contain a comma",
            )
        labels = {column: cells[position] for position, column in used}
        for column, cell in labels.items():
            check_label(f"{MANIFEST} line {line}", column, cell)
        image_path = labels.pop("image_path")
        rows.append(_Row(line, image_path, Patch(where=f"'{image_path}' ({MANIFEST} line {line})", **labels)))
    return rows


def _check_paths(folder: Path, rows: Sequence[_Row]) -> None:
    """Every row has its own image, a file inside the folder."""
    root = Path(os.path.realpath(folder))
    by_path: dict[str, _Row] = {}
    missing = []
    for row in rows:
        first = by_path.setdefault(os.path.normpath(row.image_path), row)
        if first is not row:
            raise CohortError(
                f"{MANIFEST} lines {first.line} and {row.line} both have the image '{row.image_path}'",
                remedy="give every patch its own image, or delete one of the rows",
            )
        pure = PurePosixPath(row.image_path)
        outside = pure.is_absolute() or bool(PureWindowsPath(row.image_path).anchor) or ".." in pure.parts
        path = root / row.image_path
        if outside or not is_inside(root, path):
            raise CohortError(
                f"{MANIFEST} line {row.line} has an image outside the cohort folder: '{row.image_path}'",
                remedy="copy the image into the folder and write its path relative to the folder",
            )
        if not path.is_file():
            missing.append(row)
    if missing:
        shown = ", ".join(f"'{row.image_path}' (line {row.line})" for row in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        verb = "is" if len(missing) == 1 else "are"
        raise CohortError(
            f"{len(missing)} of {len(rows)} images in {MANIFEST} {verb} missing: {shown}{more}",
            remedy="write image_path relative to the folder, with forward slashes, and copy every file",
        )
