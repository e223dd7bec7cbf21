"""Embeddings that somebody else computed, read from a folder: `--fm=embeddings:DIR`.

    DIR/<cohort>/<medical center>.npz   PathoROB's layout: spaces as '_', one (D,) array per patch key
    DIR/<cohort>/embeddings.npy         or .safetensors, with manifest.csv or manifest.parquet
    DIR/<cohort>/embeddings.parquet     columns slide_id, patch_id, embedding

The last two also as DIR/<cohort>.npy (with DIR/<cohort>.csv) and so on, or directly in DIR. Rows are
matched by patch key (`<slide_id>-<patch_id>`), never by position. Keys are read and matched before any
value, so that what does not fit is told within seconds. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import secrets
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings import matrix_files
from pathorob_checks.embeddings.checks import check_embeddings
from pathorob_checks.embeddings.identity import canonical_json
from pathorob_checks.errors import CacheError, EmbeddingError, named, quoted

if TYPE_CHECKING:
    import pandas as pd

PATHOROB = "pathorob"
SUFFIXES = (".npy", ".safetensors", ".parquet")

# A vector of 4 million float32. A compressed member that claims more is a mistake or a zip bomb.
_LARGEST_MEMBER = 1 << 24

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Precomputed:
    """What was read for one cohort.

    Attributes
    ----------
    values : (N, D) float32, read-only; row i is patch i of the table that was asked for.
    digest : SHA-256 (hex) of the patch keys and their float32 values in the keys' order; neither the
        format nor the order of the rows on disk or in the table changes it.
    notes : sentences for the report (left-over patches and files, converted numbers).
    layout : 'pathorob', 'npy', 'safetensors' or 'parquet'.
    files : the files that were read, relative to the folder.
    """

    values: npt.NDArray[np.float32]
    digest: str
    notes: tuple[str, ...]
    layout: str
    files: tuple[str, ...]


@dataclass
class _Reading:
    """A result under construction: keys are matched first, values put afterwards."""

    root: Path
    keys: list[str]
    values: npt.NDArray[np.float32] | None = None
    found: int = 0
    left_over: list[str] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def open(self, path: Path) -> Path:
        """The real path of a file that may be read: links must not lead out of the folder."""
        real = path.resolve()
        if not real.is_relative_to(self.root.resolve()):
            raise EmbeddingError(
                f"'{self.name(path)}' is a link that leads out of the folder '{self.root}'",
                remedy="copy the file into the folder, or give the folder that really holds it",
            )
        if self.name(path) not in self.files:
            self.files.append(self.name(path))
        return real

    def name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def match(self, names: Sequence[str], wanted: Mapping[str, int], where: str) -> Rows:
        """Row of the result for each of a file's patch keys, -1 for those that are not wanted."""
        if len(set(names)) < len(names):
            double = [name for name, count in Counter(names).items() if count > 1]
            raise EmbeddingError(
                f"'{where}' has more than one embedding of {named(double)}",
                remedy="keep one embedding per patch key (slide_id-patch_id)",
            )
        rows = np.fromiter((wanted.get(name, -1) for name in names), np.int64, len(names))
        self.left_over += [names[at] for at in np.flatnonzero(rows < 0).tolist()]
        self.found += int((rows >= 0).sum())
        return rows

    def check_complete(self, matched: Iterable[Rows]) -> None:
        """Refuse a cohort of which patches are missing."""
        if self.found == len(self.keys):
            return
        there = np.zeros(len(self.keys), dtype=np.bool_)
        for rows in matched:
            there[rows[rows >= 0]] = True
        missing = [self.keys[row] for row in np.flatnonzero(~there).tolist()]
        moved = len(set(missing).intersection(self.left_over))
        hint = f"; {moved} of them found in the file of another medical center" if moved else ""
        if self.left_over and not moved:
            hint = f"; found but not asked for: {named(self.left_over)}"
        raise EmbeddingError(
            f"embeddings are missing for {named(missing)} of {len(self.keys)} in the cohort{hint}",
            remedy="add them, each under its patch key '<slide_id>-<patch_id>' as the cohort's table has it",
        )

    def put(self, rows: Rows, block: npt.NDArray[Any], dtype: str, where: str) -> None:
        """Keep `block` (n, D) as the rows `rows` of the result."""
        if self.values is None:
            self.values = np.empty((len(self.keys), block.shape[1]), dtype=np.float32)
        if block.shape[1] != self.values.shape[1]:
            raise EmbeddingError(
                f"embeddings in '{where}' have {block.shape[1]} values for "
                f"{named([self.keys[row] for row in rows])} where others have {self.values.shape[1]}",
                remedy="compute all embeddings with the same model and pooling",
            )
        if dtype != "float32":
            self.converted[dtype] += len(rows)
        with np.errstate(over="ignore"):  # becomes infinite, which the finished matrix is checked for
            self.values[rows] = block


def read(folder: Path, cohort: str, patches: pd.DataFrame) -> Precomputed:
    """Find and read the embeddings of a cohort.

    Parameters
    ----------
    folder : the DIR of `embeddings:DIR`.
    cohort : name of the cohort, which names its files.
    patches : one row per patch, with the string columns slide_id, patch_id and medical_center.

    Raises
    ------
    EmbeddingError : there are none, they can be read in two ways, a file is damaged or holds pickled
        objects, patches are missing or double, or the values carry no information.
    """
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise EmbeddingError(f"embeddings folder '{folder}' {problem}", remedy="check --fm=embeddings:DIR")
    reading = _Reading(folder, _patch_keys(patches))
    with matrix_files.reading_errors(str(folder), OSError):
        layout, path = _find(reading, _plain_name(cohort, "cohort"))
        if layout == PATHOROB:
            _read_centers(reading, path, patches)
        else:
            _read_matrix(reading, path, layout)
    values = reading.values
    if values is None:
        raise EmbeddingError(f"'{reading.name(path)}' holds no values", remedy="write one row per patch")
    try:
        check_embeddings(values, reading.keys)
    except EmbeddingError as error:
        # The options that help when a model runs here do nothing for numbers that came from outside.
        raise EmbeddingError(
            f"{error.problem} in '{reading.name(path)}'",
            remedy="compute these embeddings again; no option of this run changes them",
        ) from error
    values.flags.writeable = False
    return Precomputed(
        values=values,
        digest=_digest(reading.keys, values),
        notes=tuple(_notes(reading)),
        layout=layout,
        files=tuple(sorted(reading.files)),
    )


def write_pathorob_layout(
    folder: Path, cohort: str, patches: pd.DataFrame, values: npt.NDArray[np.float32]
) -> list[Path]:
    """Write `folder/<cohort>/<medical center>.npz`, one file per center, replacing those that are there.

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
    keys = _patch_keys(patches)
    check_embeddings(values, keys)
    target = folder / _plain_name(cohort, "cohort")
    written = []
    for name, rows in _rows_by_file(patches).items():
        path = target / name
        temporary = path.with_name(f".{name}.{secrets.token_hex(8)}.tmp")
        try:
            target.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                np.savez(file, **{keys[row]: values[row] for row in rows})
            temporary.replace(path)
        except OSError as error:
            raise CacheError(
                f"'{path}' cannot be written: {error.strerror or error}",
                remedy="give a writable folder with enough space",
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        written.append(path)
    return sorted(written)


def _patch_keys(patches: pd.DataFrame) -> list[str]:
    keys = [f"{slide}-{patch}" for slide, patch in zip(patches["slide_id"], patches["patch_id"], strict=True)]
    if not keys:
        raise EmbeddingError("the cohort has no patches", remedy="give a table with one row per patch")
    double = [key for key, count in Counter(keys).items() if count > 1]
    if double:
        raise EmbeddingError(
            f"the cohort's table has more than one row for {named(double)}",
            remedy="give every patch one row, and ids whose '<slide_id>-<patch_id>' is unique",
        )
    return keys


def _plain_name(name: str, what: str) -> str:
    """`name`, if as a file's name it stays in its folder."""
    if name in ("", ".", "..") or any(mark in "/\\:" or ord(mark) < 32 for mark in name):
        raise EmbeddingError(
            f"the {what} {name!r} cannot be the name of a file",
            remedy="rename it without slashes, colons, '..' and control characters",
        )
    return name


def _rows_by_file(patches: pd.DataFrame) -> dict[str, list[int]]:
    """Name of a medical center's file -> its rows in the table."""
    rows: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for row, center in enumerate(patches["medical_center"]):
        if center not in names:
            names[center] = _plain_name(center, "medical center").replace(" ", "_") + ".npz"
        rows.setdefault(names[center], []).append(row)
    return rows


def _find(reading: _Reading, cohort: str) -> tuple[str, Path]:
    """The layout, and its folder (`PATHOROB`) or file. More than one is nobody's intention."""
    root = reading.root
    found: dict[Path, str] = {}
    if _center_files(root / cohort):
        found[root / cohort / "*.npz"] = PATHOROB
    for stem in (root / cohort / "embeddings", root / cohort, root / "embeddings"):
        files = [path for suffix in SUFFIXES if (path := stem.with_name(stem.name + suffix)).is_file()]
        # DIR/<cohort>.parquet may also be the manifest of DIR/<cohort>.npy.
        if len(files) > 1 and files[-1].suffix == ".parquet" and stem == root / cohort:
            with matrix_files.reading_errors(reading.name(files[-1])):
                if "embedding" not in matrix_files.parquet_columns(reading.open(files[-1])):
                    del files[-1]
        found |= {path: path.suffix[1:] for path in files}
    if len(found) == 1:
        [(path, layout)] = found.items()
        return layout, path.parent if layout == PATHOROB else path
    if found:
        raise EmbeddingError(
            f"folder '{root}' holds embeddings of the cohort '{cohort}' more than once: "
            f"{quoted([reading.name(path) for path in found])}",
            remedy="keep one of them",
        )
    remedy = (
        f"write '{cohort}/<medical center>.npz' with one array per patch key, "
        f"or '{cohort}/embeddings.npy' with '{cohort}/manifest.csv'"
    )
    if _center_files(root):
        remedy = f"move the .npz files into '{root / cohort}'"
    there = quoted(sorted(path.name for path in root.iterdir())[:10]) or "nothing"
    raise EmbeddingError(
        f"folder '{root}' holds no embeddings of the cohort '{cohort}' (it holds {there})",
        remedy=remedy,
    )


def _center_files(place: Path) -> dict[str, Path]:
    """File name -> path of the .npz files in a folder; names with a leading dot are the system's."""
    if not place.is_dir():
        return {}
    return {
        path.name: path
        for path in sorted(place.iterdir())
        if path.suffix == ".npz" and not path.name.startswith(".") and path.is_file()
    }


def _read_centers(reading: _Reading, place: Path, patches: pd.DataFrame) -> None:
    """Fill `reading` from one .npz per medical center."""
    there = _center_files(place)
    expected = _rows_by_file(patches)
    absent = [name for name in expected if name not in there]
    if absent:
        raise EmbeddingError(
            f"'{reading.name(place)}' has no file {quoted(absent)} "
            f"for the cohort's patches of that medical center (it has {quoted(list(there))})",
            remedy="write one file per medical center, named after it with spaces as '_'",
        )
    unread = [name for name in there if name not in expected]
    if unread:
        reading.notes.append(f"Files of medical centers outside the cohort were not read: {quoted(unread)}.")
    with contextlib.ExitStack() as stack:
        archives: list[tuple[str, zipfile.ZipFile, Rows]] = []
        for file, own in expected.items():
            where = reading.name(there[file])
            with matrix_files.reading_errors(where):
                archive = stack.enter_context(zipfile.ZipFile(reading.open(there[file])))
            names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
            rows = reading.match(names, {reading.keys[row]: row for row in own}, where)
            archives.append((where, archive, rows))
        reading.check_complete([rows for _, _, rows in archives])
        lengths: dict[int, list[str]] = {}
        for where, archive, rows in archives:
            with matrix_files.reading_errors(where):
                _read_members(reading, archive, rows, where, lengths)
    if len(lengths) > 1:
        counts = ", ".join(f"{length} values in {named(names)}" for length, names in lengths.items())
        raise EmbeddingError(
            f"embeddings in '{reading.name(place)}' differ in their dimension: {counts}",
            remedy="compute all embeddings with the same model and pooling",
        )


def _read_members(
    reading: _Reading, archive: zipfile.ZipFile, rows: Rows, where: str, lengths: dict[int, list[str]]
) -> None:
    """Read the needed arrays of an .npz and note in `lengths` which patch has which dimension."""
    for info, row in zip(archive.infolist(), rows.tolist(), strict=True):
        if row < 0:
            continue
        array_name = f"array '{reading.keys[row]}' in '{where}'"
        if info.file_size > _LARGEST_MEMBER:
            raise ValueError(f"array '{reading.keys[row]}' has {info.file_size} bytes")
        with matrix_files.no_objects(array_name):
            # From bytes, because reading all of a member is what makes zipfile compare its checksum.
            vector = np.lib.format.read_array(io.BytesIO(archive.read(info)), allow_pickle=False)
        matrix_files.check_dtype(vector.dtype.name, array_name)
        if vector.ndim != 1:
            raise EmbeddingError(
                f"{array_name} has the shape {vector.shape} where (D,) is needed",
                remedy="write one array of D values per patch key, e.g. a row of a matrix",
            )
        lengths.setdefault(len(vector), []).append(reading.keys[row])
        if len(lengths) == 1:  # otherwise the caller refuses them all, once it can name them
            reading.put(np.array([row]), vector[np.newaxis], vector.dtype.name, where)


def _read_matrix(reading: _Reading, path: Path, layout: str) -> None:
    """Fill `reading` from one file with a row per patch."""
    where = reading.name(path)
    with matrix_files.reading_errors(where):
        real = reading.open(path)
        if layout == "parquet":
            matrix = matrix_files.parquet(real, where)
        elif layout == "npy":
            matrix = matrix_files.npy(real, where, _manifest(reading, path))
        else:
            matrix = matrix_files.tensors(real, where, _manifest(reading, path))
        matrix_files.check_dtype(matrix.dtype, f"'{where}'")
        target = reading.match(matrix.keys, {key: row for row, key in enumerate(reading.keys)}, where)
        reading.check_complete([target])
        keep: npt.NDArray[np.bool_] = target >= 0
        rows = target[keep]
        for block in matrix.blocks(keep):
            reading.put(rows[: len(block)], block, matrix.dtype, where)
            rows = rows[len(block) :]


def _manifest(reading: _Reading, path: Path) -> list[str] | None:
    """Patch keys from the table beside an .npy or .safetensors; None when there is none."""
    stem = "manifest" if path.stem == "embeddings" else path.stem
    tables = [table for suffix in (".csv", ".parquet") if (table := path.with_name(stem + suffix)).is_file()]
    if len(tables) > 1:
        raise EmbeddingError(
            f"there are two manifests, '{reading.name(tables[0])}' and '{reading.name(tables[1])}'",
            remedy="keep one of them",
        )
    if not tables:
        return None
    with matrix_files.reading_errors(reading.name(tables[0])):
        real = reading.open(tables[0])
        return matrix_files.csv_keys(real) if tables[0].suffix == ".csv" else matrix_files.parquet_keys(real)


def _notes(reading: _Reading) -> Iterator[str]:
    if reading.left_over:
        yield f"Embeddings of {named(reading.left_over)} are not needed and were left out."
    for dtype, count in sorted(reading.converted.items()):
        yield f"Embeddings of {count} patches were converted from {dtype} to float32."
    yield from reading.notes


def _digest(keys: Sequence[str], values: npt.NDArray[np.float32]) -> str:
    order = sorted(range(len(keys)), key=keys.__getitem__)
    digest = hashlib.sha256(canonical_json([[keys[row] for row in order], values.shape[1]]).encode())
    for start in range(0, len(order), matrix_files.BLOCK):
        digest.update(
            np.ascontiguousarray(values[order[start : start + matrix_files.BLOCK]], dtype="<f4").data
        )
    return digest.hexdigest()
