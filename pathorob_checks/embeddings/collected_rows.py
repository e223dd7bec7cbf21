"""Rows of given embeddings, matched to a cohort by patch key and collected in the cohort's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings.declared import check_dimension
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.files import shown
from pathorob_checks.wording import named

if TYPE_CHECKING:
    import pandas as pd

Rows = npt.NDArray[np.int64]


@dataclass
class CollectedRows:
    """Embeddings under construction: first the keys of all files are matched, then values are read.

    Attributes
    ----------
    root : the folder that was given.
    keys : N patch keys of the cohort.
    values : (N, D) float32, or None as long as no values are read.
    unused : patch keys in the files that the cohort does not have.
    converted : number of rows by the dtype that they were converted from.
    notes : further sentences for the report.
    files : the files that were read, relative to `root`.
    """

    root: Path
    keys: list[str]
    values: npt.NDArray[np.float32] | None = None
    unused: list[str] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    _matched: int = 0

    def open(self, path: Path) -> Path:
        """The real path of a file that may be read: links must not lead out of the folder."""
        real = path.resolve()
        if not real.is_relative_to(self.root.resolve()):
            raise EmbeddingError(
                f"'{self.name(path)}' is a link that leads out of the folder '{shown(self.root)}'",
                remedy="copy the file into the folder, or give the folder that really holds it",
            )
        relative = path.relative_to(self.root).as_posix()
        if relative not in self.files:
            self.files.append(relative)
        return real

    def name(self, path: Path) -> str:
        """A path in messages: whole, so that it can be copied."""
        return shown(path)

    def match(self, names: Sequence[str], row_of: Mapping[str, int], where: str) -> Rows:
        """The cohort's row for each of a file's patch keys; -1 for those that `row_of` does not have."""
        if len(set(names)) < len(names):
            repeated = [name for name, count in Counter(names).items() if count > 1]
            raise EmbeddingError(
                f"'{where}' has more than one embedding of {named(repeated)}",
                remedy="keep one embedding per patch key (slide_id-patch_id)",
            )
        rows = np.fromiter((row_of.get(name, -1) for name in names), np.int64, len(names))
        self.unused += [names[at] for at in np.flatnonzero(rows < 0).tolist()]
        self._matched += int((rows >= 0).sum())
        return rows

    def check_complete(self, matches: Iterable[Rows]) -> None:
        """Refuse files that lack patches of the cohort; `matches` is what `match` returned for each file."""
        if self._matched == len(self.keys):
            return
        present = np.zeros(len(self.keys), dtype=np.bool_)
        for rows in matches:
            present[rows[rows >= 0]] = True
        missing = [self.keys[row] for row in np.flatnonzero(~present).tolist()]
        misplaced = len(set(missing).intersection(self.unused))
        hint = ""
        if misplaced:
            verb = "is" if misplaced == 1 else "are"
            hint = f"; {misplaced} of them {verb} in the file of another medical center"
        elif self.unused:
            hint = f"; the files hold other patch keys instead: {named(self.unused)}"
        raise EmbeddingError(
            f"embeddings are missing for {named(missing)} of {len(self.keys)} in the cohort{hint}",
            remedy="add them, each under its patch key '<slide_id>-<patch_id>' as in the cohort's table",
        )

    def put(self, rows: Rows, block: npt.NDArray[Any], dtype: str, where: str) -> None:
        """Keep `block` (n, D) as the rows `rows` of the result."""
        check_dimension(block.shape[1], f"'{where}'")
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
        with np.errstate(over="ignore"):  # it becomes infinite, which `check_embeddings` refuses
            self.values[rows] = block

    def all_notes(self) -> Iterator[str]:
        """Sentences for the report."""
        if self.unused:
            yield f"Embeddings of {named(self.unused)} were not used: the cohort does not have them."
        for dtype, count in sorted(self.converted.items()):
            yield converted(count, dtype)
        yield from self.notes


def converted(count: int, dtype: str) -> str:
    """A sentence on embeddings that were not stored as float32."""
    patches = "1 patch was" if count == 1 else f"{count} patches were"
    return f"Embeddings of {patches} converted from {dtype} to float32."


def unique_patch_keys(patches: pd.DataFrame) -> list[str]:
    """The patch key of each row of a cohort's table.

    Raises
    ------
    EmbeddingError : the table is empty, or two rows have the same key.
    """
    keys = [f"{slide}-{patch}" for slide, patch in zip(patches["slide_id"], patches["patch_id"], strict=True)]
    if not keys:
        raise EmbeddingError("the cohort has no patches", remedy="give a table with one row per patch")
    repeated = [key for key, count in Counter(keys).items() if count > 1]
    if repeated:
        rows = [row for row, key in enumerate(keys) if key == repeated[0]]
        pairs = patches[["slide_id", "patch_id"]].iloc[rows[:2]].itertuples(index=False)
        shown = " and ".join(f"patch '{patch}' of slide '{slide}'" for slide, patch in pairs)
        raise EmbeddingError(
            f"the cohort's table has more than one row for {named(repeated)}: {shown}",
            remedy="give every patch one row, and ids whose '<slide_id>-<patch_id>' is unique",
        )
    return keys


def plain_name(name: str, what: str) -> str:
    """`name` itself; EmbeddingError where a file of this name would be in another folder."""
    if name in ("", ".", "..") or any(mark in "/\\:" or ord(mark) < 32 for mark in name):
        raise EmbeddingError(
            f"the {what} {name!r} cannot be the name of a file",
            remedy="rename it without slashes, colons, '..' and control characters",
        )
    return name
