"""A cohort from a folder: `manifest.csv`, the images it names, and an optional `cohort.toml`.

Everything is checked before a model is loaded: a wrong table must not cost an hour of extraction, and
above all must not end in a number that looks right.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
import os
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd
from PIL import Image

from pathorob_checks.cohorts.cohort import COLUMNS, IN_DOMAIN, OUT_OF_DOMAIN, Cohort
from pathorob_checks.errors import CohortError

MANIFEST = "manifest.csv"
SETTINGS = "cohort.toml"
REQUIRED = ("image_path", "slide_id", "patch_id", "biological_class", "medical_center")
OPTIONAL = ("subset",)
SUBSETS = (IN_DOMAIN, OUT_OF_DOMAIN)

# Modes that Pillow turns into 8-bit RGB without guessing a range of values.
_EIGHT_BIT_MODES = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
)


@dataclass(frozen=True)
class _Row:
    """One row of the table; `line` is where a text editor shows it (the header is line 1)."""

    line: int
    image_path: str
    slide_id: str
    patch_id: str
    biological_class: str
    medical_center: str
    subset: str = IN_DOMAIN

    @property
    def key(self) -> str:
        return f"{self.slide_id}-{self.patch_id}"

    @property
    def where(self) -> str:
        return f"'{self.image_path}' ({MANIFEST} line {self.line})"


@dataclass(frozen=True)
class _FolderImages:
    """Row number -> RGB image. A class, not a closure, so that a cohort can be pickled."""

    folder: Path
    rows: tuple[_Row, ...]
    digests: tuple[str, ...]

    def __call__(self, row: int) -> Image.Image:
        """Decode the image of a row.

        Raises
        ------
        CohortError : the file cannot be read, is no 8-bit image, is damaged, or is no longer the file
            that the cohort's digest was computed from.
        """
        entry = self.rows[row]
        where = f"image {entry.where}"
        try:
            content = (self.folder / entry.image_path).read_bytes()
        except OSError as error:
            raise _unreadable(entry, error) from error
        # Embeddings are stored under the digest: an image swapped during the run would poison the store.
        if hashlib.sha256(content).hexdigest() != self.digests[row]:
            problem = f"{where} changed since the cohort was read"
            raise CohortError(problem, remedy="start the run again when the folder is at rest")
        return _decode(content, where)


def _decode(content: bytes, where: str) -> Image.Image:
    """Bytes of an image file -> RGB image (first frame; EXIF orientation is not applied)."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode = image.mode
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            if mode in _EIGHT_BIT_MODES:
                return image.convert("RGB")
    except Image.DecompressionBombError as error:
        problem = f"{where} is too large for a patch: {error}"
        raise CohortError(problem, remedy="cut the slide into patches before listing them") from error
    # Pillow's decoders raise whatever their formats trip over (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        raise CohortError(
            f"{where} cannot be decoded: {_one_line(error)}",
            remedy="replace the file by an intact PNG, JPEG or TIFF image, or delete its row",
        ) from error
    raise CohortError(
        f"{where} has pixels of mode '{mode}', whose range of values is unknown",
        remedy="convert it to an 8-bit RGB image",
    )


def load_folder(folder: Path) -> Cohort:
    """Read and check a cohort folder.

    Parameters
    ----------
    folder : holds `manifest.csv` with the columns `image_path` (relative to the folder), `slide_id`,
        `patch_id`, `biological_class`, `medical_center` and optionally `subset` ('ID' or 'OOD'; all
        'ID' without it), and optionally `cohort.toml` with `license` and `k`. Cells are strings as
        written: '007' keeps its zeros, 'NA' is a value.

    Returns
    -------
    The cohort, rows in the manifest's order, named after the folder. Its digest covers patch keys and
    image bytes; neither labels nor the order of the rows change it.

    Raises
    ------
    CohortError : the table, an image file or `cohort.toml` cannot be used; tells which and what to do.
    """
    if not folder.is_dir():
        problem = f"cohort folder '{folder}' " + ("is not a folder" if folder.exists() else "does not exist")
        raise CohortError(problem, remedy=f"give the folder that holds {MANIFEST}")
    rows = _read_manifest(folder / MANIFEST)
    _check_patches(rows)
    _check_design(rows)
    _check_paths(folder, rows)
    digests = _hash_images(folder, rows)
    _check_content(rows, digests)
    license_, k = _read_settings(folder / SETTINGS)
    return Cohort(
        name=folder.resolve().name,
        patches=pd.DataFrame({column: [getattr(row, column) for row in rows] for column in COLUMNS}),
        read_image=_FolderImages(folder.absolute(), tuple(rows), tuple(digests)),
        digest=_cohort_digest(rows, digests),
        license=license_,
        source=str(folder),
        view_settings={} if k is None else {"robustness_index": {"k": k}},
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
        table = [(reader.line_num, cells) for cells in reader if cells]  # a blank line is no row
    except csv.Error as error:
        raise CohortError(
            f"{MANIFEST} line {reader.line_num} is malformed CSV: {error}",
            remedy='close every quote, and write a quote inside a quoted cell as ""',
        ) from error
    if not table:
        remedy = f"write the header {','.join(REQUIRED)} and one row per patch"
        raise CohortError(f"{MANIFEST} is empty", remedy=remedy)
    header = table[0][1]
    _check_header(header)
    if len(table) == 1:
        raise CohortError(f"{MANIFEST} has a header but no rows", remedy="write one row per patch")
    used = [(header.index(column), column) for column in REQUIRED + OPTIONAL if column in header]
    rows = []
    for line, cells in table[1:]:
        if len(cells) != len(header):
            raise CohortError(
                f"{MANIFEST} line {line} is malformed CSV: {len(cells)} cells under {len(header)} columns",
                remedy="give every row one cell per column, and quote cells that contain a comma",
            )
        row = {column: cells[position] for position, column in used}
        for column, cell in row.items():
            _check_cell(line, column, cell)
        rows.append(_Row(line, **row))
    return rows


def _check_header(header: Sequence[str]) -> None:
    others = [name for name in header if name not in REQUIRED + OPTIONAL]
    missing = [column for column in REQUIRED if column not in header]
    if missing:
        near = [(found, column) for column in missing if (found := _nearest(column, others))]
        remedy = ", ".join(f"rename '{found}' to '{column}'" for found, column in near)
        if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
            remedy = "separate the columns by commas"
        names = ", ".join(f"'{column}'" for column in missing)
        raise CohortError(f"{MANIFEST} lacks the column(s) {names}", remedy=remedy or "add them")
    # A misspelt optional column would silently turn every row into 'ID'.
    for column in OPTIONAL:
        if column not in header and (found := _nearest(column, others)):
            raise CohortError(
                f"{MANIFEST} has a column '{found}' that is probably meant as '{column}'",
                remedy=f"rename '{found}' to '{column}', or to something less alike if it is not meant so",
            )
    for column in REQUIRED + OPTIONAL:
        if header.count(column) > 1:
            raise CohortError(f"{MANIFEST} has the column '{column}' twice", remedy="delete one of them")


def _nearest(column: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant as `column`: misspelt, or its last or first word ('center')."""
    plain = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in names}
    found = difflib.get_close_matches(column, plain, n=1, cutoff=0.8)
    found += [name for name in plain if "_" in column and name in column.split("_") and name != "id"]
    return plain[found[0]] if found else None


def _check_cell(line: int, column: str, cell: str) -> None:
    where = f"{MANIFEST} line {line}"
    if not cell.strip():
        raise CohortError(f"{where} has an empty cell in column '{column}'", remedy="fill it")
    # 'RUMC ' would be a second medical center beside 'RUMC'.
    if cell != cell.strip() or any(ord(character) < 32 or ord(character) == 127 for character in cell):
        raise CohortError(
            f"{where} has stray white space or a control character in column '{column}': {cell!r}",
            remedy="write the cell without it",
        )
    if column == "subset" and cell not in SUBSETS:
        raise CohortError(
            f"{where} has the subset '{cell}'",
            remedy="write 'ID' (in-domain) or 'OOD' (out-of-domain), or leave the column out for all 'ID'",
        )


def _check_patches(rows: Sequence[_Row]) -> None:
    """Every row is a patch of its own, and every slide belongs to one medical center."""
    by_key: dict[str, _Row] = {}
    by_path: dict[str, _Row] = {}
    by_slide: dict[str, _Row] = {}
    for row in rows:
        first = by_key.setdefault(row.key, row)
        if first is not row:
            # 'a-b' + 'c' and 'a' + 'b-c' are told apart by the table but not by the benchmark's keys.
            same = first.slide_id == row.slide_id
            what = (
                f"slide '{row.slide_id}' patch '{row.patch_id}'"
                if same
                else f"a patch with the key '{row.key}'"
            )
            raise CohortError(
                f"{MANIFEST} lines {first.line} and {row.line} both describe {what}",
                remedy="delete one of the rows" if same else "rename so that slide_id-patch_id is unique",
            )
        first = by_path.setdefault(os.path.normpath(row.image_path), row)
        if first is not row:
            raise CohortError(
                f"{MANIFEST} lines {first.line} and {row.line} both name the image '{row.image_path}'",
                remedy="give every patch an image of its own or delete one of the rows",
            )
        first = by_slide.setdefault(row.slide_id, row)
        if first.medical_center != row.medical_center:
            raise CohortError(
                f"slide '{row.slide_id}' is in two medical centers: '{first.medical_center}' "
                f"({MANIFEST} line {first.line}) and '{row.medical_center}' (line {row.line})",
                remedy="correct the center, or give slides of different centers different ids",
            )


def _check_design(rows: Sequence[_Row]) -> None:
    """Robustness is a comparison: two centers at least, two classes at least, each class in two centers."""
    centers_of: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        centers = centers_of[row.biological_class]
        if row.subset == IN_DOMAIN:
            centers.add(row.medical_center)
    centers = set().union(*centers_of.values())
    if len(centers) < 2:
        raise CohortError(
            f"{MANIFEST} has {_counted(centers, 'in-domain medical center')} where two are the least",
            remedy="add patches with subset 'ID' from another medical center",
        )
    if len(centers_of) < 2:
        raise CohortError(
            f"{MANIFEST} has {_counted(centers_of, 'biological class')} where two are the least",
            remedy="add patches of another biological class",
        )
    for name, within in sorted(centers_of.items()):
        if len(within) < 2:
            found = _counted(within, "in-domain medical center")
            raise CohortError(
                f"biological class '{name}' has patches from {found} where two are the least",
                remedy=f"add in-domain patches of '{name}' from another center or delete its rows",
            )


def _check_paths(folder: Path, rows: Sequence[_Row]) -> None:
    """Every image is a file inside the folder: what is copied with the folder is all there is."""
    root = Path(os.path.realpath(folder))
    missing = []
    for row in rows:
        pure = PurePosixPath(row.image_path)
        outside = pure.is_absolute() or bool(PureWindowsPath(row.image_path).anchor) or ".." in pure.parts
        path = root / row.image_path
        # realpath and not Path.resolve: a loop of symbolic links must end as a missing file.
        if outside or not Path(os.path.realpath(path)).is_relative_to(root):
            raise CohortError(
                f"{MANIFEST} line {row.line} names an image outside the cohort folder: '{row.image_path}'",
                remedy="copy the image into the folder and write its path relative to the folder",
            )
        if not path.is_file():
            missing.append(row)
    if missing:
        shown = ", ".join(f"'{row.image_path}' (line {row.line})" for row in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise CohortError(
            f"{len(missing)} of {len(rows)} image files that {MANIFEST} names are missing: {shown}{more}",
            remedy="write image_path relative to the folder, with forward slashes, and copy every file",
        )


def _hash_images(folder: Path, rows: Sequence[_Row]) -> list[str]:
    """SHA-256 of each row's file. Threads help: reading and hashing both release the GIL."""

    def digest(row: _Row) -> str:
        try:
            with (folder / row.image_path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(row, error) from error

    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="hash") as pool:
        return list(pool.map(digest, rows))


def _unreadable(row: _Row, error: OSError) -> CohortError:
    problem = f"image {row.where} cannot be read: {error.strerror or error}"
    return CohortError(problem, remedy="restore the file and its read permission")


def _check_content(rows: Sequence[_Row], digests: Sequence[str]) -> None:
    """One patch under two names would be its own nearest neighbor."""
    first_with: dict[str, _Row] = {}
    for row, digest in zip(rows, digests, strict=True):
        first = first_with.setdefault(digest, row)
        if first is not row:
            raise CohortError(
                f"images {first.where} and {row.where} are identical files",
                remedy="keep one of the two rows, so that no patch is its own neighbor",
            )


def _cohort_digest(rows: Sequence[_Row], digests: Sequence[str]) -> str:
    """SHA-256 over (slide, patch, image digest), sorted, so that the table's order does not matter."""
    entries = sorted((row.slide_id, row.patch_id, digest) for row, digest in zip(rows, digests, strict=True))
    return hashlib.sha256(json.dumps(["pathorob-checks/folder/1", entries]).encode()).hexdigest()


def _read_settings(path: Path) -> tuple[str, int | None]:
    """`license` and `k` of `cohort.toml`; ('unknown', None) without the file."""
    try:
        table: Mapping[str, object] = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return "unknown", None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problem = f"{SETTINGS} cannot be read as TOML: {_one_line(error)}"
        raise CohortError(problem, remedy='write lines such as license = "CC-BY-4.0"') from error
    for name in table:
        if name not in ("license", "k"):
            raise CohortError(f"{SETTINGS} has the unknown key '{name}'", remedy="use only 'license' and 'k'")
    license_, k = table.get("license", "unknown"), table.get("k")
    if not isinstance(license_, str) or not license_.strip():
        problem = f"{SETTINGS} has license = {license_!r}, which is no text"
        raise CohortError(problem, remedy='write e.g. license = "CC-BY-4.0"')
    # bool is an int to Python, but k = true is a slip.
    if k is not None and (not isinstance(k, int) or isinstance(k, bool) or k < 1):
        problem = f"{SETTINGS} has k = {k!r}, which is no positive whole number"
        raise CohortError(problem, remedy="write e.g. k = 10, or leave k out")
    return license_.strip(), k


def _counted(names: Iterable[str], noun: str) -> str:
    """'1 medical center ('A')' or 'no medical center'."""
    shown = ", ".join(f"'{name}'" for name in sorted(names))
    return f"only one {noun} ({shown})" if shown else f"no {noun}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
