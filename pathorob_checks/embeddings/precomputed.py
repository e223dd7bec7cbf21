"""Embeddings that the user has computed, read from a folder: `--fm=embeddings:DIR`.

    DIR/<cohort>/<medical center>.npz   PathoROB's layout: spaces as '_', one (D,) array per patch key
    DIR/<cohort>/embeddings.npy         or .safetensors, with manifest.csv or manifest.parquet
    DIR/<cohort>/embeddings.parquet     columns slide_id, patch_id, embedding

The last two also as DIR/<cohort>.npy (with DIR/<cohort>.csv) and so on, or directly in DIR. Rows are
matched by patch key (`<slide_id>-<patch_id>`), never by position. Keys are read and matched before any
value, so that files that do not fit are refused within seconds. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pathorob_checks.canonical import canonical_json
from pathorob_checks.cohorts.registry import name_in_ids
from pathorob_checks.embeddings import key_tables, matrix_files
from pathorob_checks.embeddings.checks import check_embeddings
from pathorob_checks.embeddings.collected_rows import CollectedRows, plain_name, unique_patch_keys
from pathorob_checks.embeddings.imported import EMBEDDINGS, Origin, origin_of
from pathorob_checks.embeddings.label_columns import check_labels
from pathorob_checks.embeddings.pathorob_layout import center_files, read_centers
from pathorob_checks.embeddings.repaired import FittedRepair, fitted_repair
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.files import shown
from pathorob_checks.nearby import folder_nearby
from pathorob_checks.wording import quoted

if TYPE_CHECKING:
    import pandas as pd

PATHOROB = "pathorob"
SUFFIXES = (".npy", ".safetensors", ".parquet")
OF_OTHER_TOOLS = (".h5", ".hdf5", ".h5ad", ".pt", ".zarr")


@dataclass(frozen=True, kw_only=True)
class Precomputed:
    """The embeddings of one cohort from a folder.

    Attributes
    ----------
    values : (N, D) float32, read-only; row i is patch i of the cohort's table.
    digest : SHA-256 (hex) of the patch keys and their float32 values in the keys' order; neither the
        format nor the order of the rows on disk or in the table changes it.
    notes : sentences for the report (unused patches and files, converted numbers).
    layout : 'pathorob', 'npy', 'safetensors' or 'parquet'.
    files : the files that were read, relative to the folder.
    origin : where imported embeddings come from; None where no import wrote them.
    repair : what repaired them, if it was fitted on slides of the cohort; else None.
    """

    values: npt.NDArray[np.float32]
    digest: str
    notes: tuple[str, ...]
    layout: str
    files: tuple[str, ...]
    origin: Origin | None = None
    repair: FittedRepair | None = None


def read(folder: Path, cohort: str, patches: pd.DataFrame) -> Precomputed:
    """Read the embeddings of a cohort, in whichever layout they are.

    Parameters
    ----------
    folder : the DIR of `embeddings:DIR`.
    cohort : name of the cohort, which names its files.
    patches : one row per patch, with the string columns slide_id, patch_id and medical_center.

    Raises
    ------
    EmbeddingError : there are none, they can be read in two ways, a file is damaged or holds pickled
        objects, patches are missing or repeated, or the values carry no information.
    """
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise EmbeddingError(
            f"embeddings folder '{folder}' {problem}",
            remedy="give the folder that holds them as --fm=embeddings:DIR",
        )
    collected = CollectedRows(folder, unique_patch_keys(patches))
    repair = fitted_repair(folder, patches["slide_id"])
    with matrix_files.reading_errors(str(folder), OSError):
        layout, path = _layout_and_path(collected, plain_name(cohort, "cohort"))
        if layout == PATHOROB:
            read_centers(collected, path, patches)
        else:
            _read_matrix(collected, path, layout, patches)
    values = collected.values
    if values is None:
        raise EmbeddingError(f"'{collected.name(path)}' has no values", remedy="write one row per patch")
    try:
        check_embeddings(values, collected.keys)
    except EmbeddingError as error:
        # The usual remedies are options of a model that runs here; they cannot change given embeddings.
        raise EmbeddingError(
            f"{error.problem} in '{collected.name(path)}'",
            remedy="compute these embeddings again; no option of this run changes them",
        ) from error
    values.flags.writeable = False
    origin, sentence = origin_of(path.parent) if path.name == EMBEDDINGS else (None, "")
    return Precomputed(
        values=values,
        digest=_digest(collected.keys, values),
        notes=(*([sentence] if sentence else []), *collected.all_notes()),
        layout=layout,
        files=tuple(sorted(collected.files)),
        origin=origin,
        repair=repair,
    )


def _layout_and_path(collected: CollectedRows, cohort: str) -> tuple[str, Path]:
    """The layout, and its folder (`PATHOROB`) or file; EmbeddingError unless there is exactly one."""
    root = collected.root
    layouts = _layouts(root, cohort)
    for path in [path for path in layouts if path.suffix == ".parquet" and len(layouts) > 1]:
        # DIR/<cohort>.parquet may also be the manifest of DIR/<cohort>.npy.
        if path.stem != "embeddings" and any(
            other != path and other.stem == path.stem and other.parent == path.parent for other in layouts
        ):
            with matrix_files.reading_errors(collected.name(path)):
                if "embedding" not in key_tables.parquet_columns(collected.open(path), collected.name(path)):
                    del layouts[path]
    if len(layouts) == 1:
        [(path, layout)] = layouts.items()
        return layout, path.parent if layout == PATHOROB else path
    if layouts:
        raise EmbeddingError(
            f"folder '{shown(root)}' has embeddings of the cohort '{cohort}' more than once: "
            f"{quoted([collected.name(path) for path in layouts])}",
            remedy="keep one of them",
        )
    content = quoted(sorted(path.name for path in root.iterdir())[:10]) or "nothing"
    raise EmbeddingError(
        f"folder '{shown(root)}' has no embeddings of the cohort '{cohort}' (it has {content})",
        remedy=_remedy(root, cohort),
    )


def _layouts(root: Path, cohort: str) -> dict[Path, str]:
    """The layout of each file of a folder, or pattern of files, that could be the cohort's."""
    named = [root / cohort, *_named_as_by_the_user(root, cohort)]
    layouts = {path / "*.npz": PATHOROB for path in named if center_files(path)}
    for stem in (*(path / "embeddings" for path in named), *named, root / "embeddings"):
        files = [path for suffix in SUFFIXES if (path := stem.with_name(stem.name + suffix)).is_file()]
        layouts |= {path: path.suffix[1:] for path in files}
    return layouts


def _remedy(root: Path, cohort: str) -> str:
    near = folder_nearby(root, lambda folder: bool(_layouts(folder, cohort)))
    if near is not None:
        return f"did you mean --fm=embeddings:{shown(near)}?"
    if center_files(root):
        return f"move the .npz files into '{shown(root / cohort)}'"
    if any(path.name.lower().endswith(OF_OTHER_TOOLS) for path in root.iterdir()):
        return f"read features of another tool with 'pathorob-checks import {shown(root)}'"
    return (
        f"write '{shown(root / cohort)}/<medical center>.npz' with one array per patch key, or "
        f"'{shown(root / cohort)}/embeddings.npy' with manifest.csv beside it"
    )


def _named_as_by_the_user(root: Path, cohort: str) -> list[Path]:
    """Places of the cohort under a name of which only the characters that ids lack differ: `Lyon (2)`."""
    stems = {path.with_name(path.name.removesuffix(path.suffix)) for path in root.iterdir() if path.is_file()}
    stems |= {path for path in root.iterdir() if path.is_dir()}
    return sorted(path for path in stems if path.name != cohort and name_in_ids(path.name) == cohort)


def _read_matrix(collected: CollectedRows, path: Path, layout: str, patches: pd.DataFrame) -> None:
    """Read the values of `collected` from one file with a row per patch."""
    where = collected.name(path)
    with matrix_files.reading_errors(where):
        real = collected.open(path)
        if layout == "parquet":
            matrix = matrix_files.parquet(real, where)
            check_labels(real, where, matrix.keys, patches)
        elif layout == "npy":
            matrix = matrix_files.npy(real, where, _manifest(collected, path, patches))
        else:
            matrix = matrix_files.tensors(real, where, _manifest(collected, path, patches))
        matrix_files.check_dtype(matrix.dtype, f"'{where}'")
        target = collected.match(matrix.keys, {key: row for row, key in enumerate(collected.keys)}, where)
        collected.check_complete([target])
        keep: npt.NDArray[np.bool_] = target >= 0
        rows = target[keep]
        for block in matrix.blocks(keep):
            collected.put(rows[: len(block)], block, matrix.dtype, where)
            rows = rows[len(block) :]


def _manifest(collected: CollectedRows, path: Path, patches: pd.DataFrame) -> list[str] | None:
    """Patch keys from the table beside an .npy or .safetensors; None when there is none."""
    stem = "manifest" if path.stem == "embeddings" else path.stem
    tables = [table for suffix in (".csv", ".parquet") if (table := path.with_name(stem + suffix)).exists()]
    for table in tables:
        if not table.is_file():
            raise EmbeddingError(
                f"the manifest '{collected.name(table)}' is not a file", remedy="write a table there"
            )
    if len(tables) > 1:
        raise EmbeddingError(
            f"there are two manifests, '{collected.name(tables[0])}' and '{collected.name(tables[1])}'",
            remedy="keep one of them",
        )
    if not tables:
        return None
    where = collected.name(tables[0])
    with matrix_files.reading_errors(where):
        real = collected.open(tables[0])
        read_keys = key_tables.csv_keys if tables[0].suffix == ".csv" else key_tables.parquet_keys
        keys = read_keys(real, where)
        check_labels(real, where, keys, patches)
    return keys


def _digest(keys: Sequence[str], values: npt.NDArray[np.float32]) -> str:
    order = sorted(range(len(keys)), key=keys.__getitem__)
    digest = hashlib.sha256(canonical_json([[keys[row] for row in order], values.shape[1]]).encode())
    for start in range(0, len(order), matrix_files.BLOCK):
        digest.update(
            np.ascontiguousarray(values[order[start : start + matrix_files.BLOCK]], dtype="<f4").data
        )
    return digest.hexdigest()
