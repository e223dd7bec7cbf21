"""Checks that every metric makes before it computes anything."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.numerics import threads

if TYPE_CHECKING:
    import pandas as pd

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
CASE = "case_id"
_BLOCK = 4096  # rows
_IDS = ("slide_id", "patch_id")  # as they are written
_USUAL = 2.0**40  # squares of numbers up to this and from its inverse on neither overflow nor vanish


@dataclass(frozen=True)
class Labels:
    """One label column as integer codes: `names[codes[i]]` is row i's label; names are sorted."""

    codes: Int64
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def are(self, name: str) -> npt.NDArray[np.bool_]:
        """(N,) whether each row has this label."""
        code = self.names.index(name) if name in self.names else -1
        return np.asarray(self.codes == code)

    def first(self, code: int) -> int:
        """The first row with a label."""
        return int(np.flatnonzero(self.codes == code)[0])

    def take(self, rows: Int64) -> Labels:
        """The labels of some rows; names that none of them has are gone."""
        kept, codes = np.unique(self.codes[rows], return_inverse=True)
        return Labels(codes.astype(np.int64), tuple(self.names[code] for code in kept))

    def texts(self) -> npt.NDArray[np.object_]:
        """(N,) the label of every row."""
        return np.array(self.names, dtype=object)[self.codes]


@dataclass(frozen=True)
class Units(Labels):
    """What an interval draws anew, as labels; `noun` says what they are."""

    noun: Literal["slide", "case"]

    @property
    def protocol(self) -> dict[str, str]:
        """What two resamplings must share (see `Resampling.noun`); nothing for slides, as without cases."""
        return {} if self.noun == "slide" else {"drawn": "cases"}

    def take(self, rows: Int64) -> Units:
        """As `Labels.take`."""
        taken = super().take(rows)
        return Units(taken.codes, taken.names, self.noun)


def as_embeddings(embeddings: Any, patches: pd.DataFrame, metric: str) -> Float32:
    """Return `embeddings` as a C-contiguous (N, D) float32 array that matches `patches`.

    Accepts arrays and tensors of any float dtype.

    Raises
    ------
    MetricError
        Not two-dimensional, not one row per patch, no rows, or rows with NaN or infinity.
    """
    if hasattr(embeddings, "detach"):  # a tensor, perhaps on a device
        embeddings = embeddings.detach().cpu().float().numpy()
    array = np.ascontiguousarray(embeddings, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] == 0:
        raise MetricError(
            f"{metric}: the embeddings have shape {array.shape} instead of (patches, dimensions)",
            remedy="give one row of numbers for each patch",
        )
    if len(array) != len(patches):
        raise MetricError(
            f"{metric}: {len(array)} embeddings do not match {len(patches)} rows of the patch table",
            remedy="pass the table whose row i describes embedding i",
        )
    if len(array) == 0:
        raise MetricError(
            f"{metric}: there are no patches to read", remedy="check the cohort's subset column"
        )
    # Block by block: a mask of all values would take a quarter of their memory.
    blocks = [array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK)]
    run = threads.spread if len(blocks) > 1 else map
    finite = np.concatenate(list(run(lambda block: np.isfinite(block).all(axis=1), blocks)))
    if not finite.all():
        raise MetricError(
            f"{metric}: {int((~finite).sum())} embeddings have NaN or infinity, the first in row "
            f"{int(np.flatnonzero(~finite)[0])}",
            remedy="extract them again in fp32, or leave out the patches that cause it",
        )
    return array


def refuse_zero_rows(array: Float32, rows: Int64, metric: str) -> None:
    """Raise MetricError for rows without a direction, which cannot be normalised.

    Parameters
    ----------
    rows : (N,) where the rows of `array` are in what the caller gave.
    """
    zero = np.flatnonzero(array[:, 0] == 0)  # few, so that hardly any row is read whole
    zero = zero[~array[zero].any(axis=1)]
    if zero.size:
        raise MetricError(
            f"{metric}: {zero.size} embeddings are all zero, the first in row {int(rows[zero[0]])}",
            remedy="check the model's preprocessing, or leave out these patches",
        )


def in_range(array: Float32) -> Float32:
    """`array` with rows scaled so that their squares neither overflow nor vanish, for metrics of directions.

    Rows are multiplied by powers of two, which changes no direction by a bit. Usual embeddings are returned
    as they are. There must be no rows of zeros.
    """
    largest = np.maximum(array.max(axis=1), -array.min(axis=1))
    if (largest <= _USUAL).all() and (largest >= 1 / _USUAL).all():
        return array
    _, exponents = np.frexp(largest)
    return np.asarray(np.ldexp(array, -exponents[:, None]), dtype=np.float32)


def labels(patches: pd.DataFrame, column: str, metric: str) -> Labels:
    """Integer codes of a label column; names other than ids in Unicode's NFKC, as cohorts are read.

    Raises
    ------
    MetricError
        The column is missing, or a label is empty, has white space around it, or stands in two encodings.
    """
    if column not in patches.columns:
        raise MetricError(
            f"{metric}: the patch table has no column {column!r}",
            remedy="name the column as the cohort's tables do",
        )
    values = patches[column]
    if values.isna().any():
        row = int(np.flatnonzero(values.isna())[0])
        raise MetricError(
            f"{metric}: column {column!r} is empty in row {row}", remedy="fill it or drop the row"
        )
    codes, unique = values.astype(str).factorize()
    given = Labels(codes.astype(np.int64), tuple(map(str, unique)))
    for code, name in enumerate(given.names):
        if name != name.strip() or not name:
            what = "white space around its text" if name.strip() else "no visible text"
            raise MetricError(
                f"{metric}: column {column!r} has {what} in row {given.first(code)}",
                remedy="remove the white space" if name.strip() else "fill it or drop the row",
            )
    names = given.names
    if column not in _IDS:
        names = tuple(unicodedata.normalize("NFKC", name) for name in names)
    order = sorted(range(len(names)), key=names.__getitem__)
    for one, other in pairwise(order):
        if names[one] == names[other]:
            raise MetricError(
                f"{metric}: column {column!r} has the name {names[one]!r} in two encodings, in rows "
                f"{given.first(one)} and {given.first(other)}",
                remedy="write them alike",
            )
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return Labels(places[given.codes], tuple(names[code] for code in order))


def resampling_units(patches: pd.DataFrame, metric: str) -> Units:
    """What an interval draws anew: the cases (patients) of the column `case_id`, or the slides without it.

    Slides of one case have tissue of one patient and are prepared together, so they vary together.

    Raises
    ------
    MetricError
        As `labels` for `slide_id` and `case_id`; or a slide has patches of two cases.
    """
    slides = labels(patches, "slide_id", metric)
    if CASE not in patches.columns:
        return Units(slides.codes, slides.names, "slide")
    cases = labels(patches, CASE, metric)
    case_of = np.zeros(len(slides), dtype=np.int64)
    case_of[slides.codes] = cases.codes
    other = np.flatnonzero(case_of[slides.codes] != cases.codes)
    if other.size:
        slide, case = slides.codes[other[0]], cases.codes[other[0]]
        both = sorted((cases.names[case], cases.names[case_of[slide]]))
        raise MetricError(
            f"{metric}: slide {slides.names[slide]!r} has patches of the cases {both[0]!r} and {both[1]!r}",
            remedy=f"write the one case of every slide into the column {CASE!r}",
        )
    return Units(cases.codes, cases.names, "case")
