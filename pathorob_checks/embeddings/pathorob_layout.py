"""PathoROB's layout of embeddings: one .npz per medical center, with one (D,) array per patch key."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings import declared, matrix_files
from pathorob_checks.embeddings.checks import check_embeddings
from pathorob_checks.embeddings.collected_rows import CollectedRows, Rows, plain_name, unique_patch_keys
from pathorob_checks.errors import CacheError, EmbeddingError
from pathorob_checks.files import atomic_writer
from pathorob_checks.wording import named, quoted, shortened

if TYPE_CHECKING:
    import pandas as pd

# What NumPy writes; other methods may take gigabytes to unpack a few bytes.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def center_files(folder: Path) -> dict[str, Path]:
    """File name -> path of the .npz files in a folder; operating systems write names with a leading dot."""
    if not folder.is_dir():
        return {}
    return {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.suffix == ".npz" and not path.name.startswith(".") and path.is_file()
    }


def read_centers(collected: CollectedRows, folder: Path, patches: pd.DataFrame) -> None:
    """Read the values of `collected` from one .npz per medical center.

    Raises
    ------
    EmbeddingError : files or patches are missing, a file is damaged, or dimensions differ.
    """
    present = center_files(folder)
    expected = _rows_by_file(patches)
    absent = [name for name in expected if name not in present]
    if absent:
        files, centers = ("file", "center") if len(absent) == 1 else ("files", "centers")
        raise EmbeddingError(
            f"'{collected.name(folder)}' has no {files} {quoted(absent)} for the cohort's patches of the "
            f"medical {centers} (it has {quoted(list(present))})",
            remedy="write one file per medical center, named after it with spaces as '_'",
        )
    unread = [name for name in present if name not in expected]
    if unread:
        collected.notes.append(
            f"Files of medical centers outside the cohort were not read: {quoted(unread)}."
        )
    with contextlib.ExitStack() as stack:
        archives: list[tuple[str, zipfile.ZipFile, Rows]] = []
        for file, own in expected.items():
            where = collected.name(present[file])
            with matrix_files.reading_errors(where):
                archive = stack.enter_context(zipfile.ZipFile(collected.open(present[file])))
            declared.check_rows(len(archive.infolist()), f"'{where}'")
            names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
            rows = collected.match(names, {collected.keys[row]: row for row in own}, where)
            size = sum(
                info.file_size
                for info, row in zip(archive.infolist(), rows.tolist(), strict=True)
                if row >= 0
            )
            declared.check_expansion(size, present[file].stat().st_size, f"'{where}'")
            archives.append((where, archive, rows))
        collected.check_complete([rows for _, _, rows in archives])
        lengths: dict[int, list[str]] = {}
        for where, archive, rows in archives:
            with matrix_files.reading_errors(where):
                _read_members(collected, archive, rows, where, lengths)
    if len(lengths) > 1:
        counts = ", ".join(f"{length} values in {named(names)}" for length, names in lengths.items())
        raise EmbeddingError(
            f"embeddings in '{collected.name(folder)}' differ in their dimension: {counts}",
            remedy="compute all embeddings with the same model and pooling",
        )


def _read_members(
    collected: CollectedRows,
    archive: zipfile.ZipFile,
    rows: Rows,
    where: str,
    lengths: dict[int, list[str]],
) -> None:
    """Read the needed arrays of an .npz; `lengths` collects the patch keys by dimension."""
    for info, row in zip(archive.infolist(), rows.tolist(), strict=True):
        if row < 0:
            continue
        array_name = f"array '{collected.keys[row]}' in '{where}'"
        if info.file_size > declared.largest_member():
            raise ValueError(f"array '{collected.keys[row]}' has {info.file_size} bytes")
        if info.compress_type not in _METHODS:
            raise ValueError(f"array '{collected.keys[row]}' is packed by method {info.compress_type}")
        content = archive.read(info)  # to its end, because only then zipfile compares the checksum
        with matrix_files.no_objects(array_name):
            shape, dtype, start = declared.member_header(content)
        matrix_files.check_dtype(dtype.name, array_name)
        if len(shape) != 1:
            raise EmbeddingError(
                f"{array_name} has the shape {shortened(shape)} where (D,) is needed",
                remedy="write one array of D values per patch key, e.g. a row of a matrix",
            )
        declared.check_dimension(shape[0], array_name)
        vector = declared.vector(content, shape, dtype, start)
        lengths.setdefault(len(vector), []).append(collected.keys[row])
        if len(lengths) == 1:  # otherwise the caller refuses all of them
            collected.put(np.array([row]), vector[np.newaxis], vector.dtype.name, where)


def write_pathorob_layout(
    folder: Path, cohort: str, patches: pd.DataFrame, values: npt.NDArray[np.float32]
) -> list[Path]:
    """Write `folder/<cohort>/<medical center>.npz`, one file per center, replacing existing ones.

    Parameters
    ----------
    folder : made when it does not exist.
    patches : N rows with the string columns slide_id, patch_id and medical_center.
    values : (N, D) float32, row i of patch i.

    Returns
    -------
    The files written, sorted.

    Raises
    ------
    EmbeddingError : the values carry no information, or a name cannot be a file's name.
    CacheError : a file cannot be written.
    """
    keys = unique_patch_keys(patches)
    check_embeddings(values, keys)
    target = folder / plain_name(cohort, "cohort")
    written = []
    for name, rows in _rows_by_file(patches).items():
        path = target / name
        try:
            target.mkdir(parents=True, exist_ok=True)
            with atomic_writer(path) as stream:
                np.savez(stream, **{keys[row]: values[row] for row in rows})
        except OSError as error:
            raise CacheError(
                f"'{path}' cannot be written: {error.strerror or error}",
                remedy="give a writable folder with enough space",
            ) from error
        written.append(path)
    return sorted(written)


def _rows_by_file(patches: pd.DataFrame) -> dict[str, list[int]]:
    """Name of a medical center's file -> its rows in the table."""
    rows: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for row, center in enumerate(patches["medical_center"]):
        if center not in names:
            names[center] = plain_name(center, "medical center").replace(" ", "_") + ".npz"
        rows.setdefault(names[center], []).append(row)
    return rows
