"""What a matrix of embeddings shows by itself, whichever model it comes from.

Each check raises an `EmbeddingError` for a matrix that is not a sound measurement of its patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pathorob_checks.embeddings.shards import Float32
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.wording import named

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

# Where patches differ by less than 1 % of an embedding's length, rounding in bf16 (0.4 %) would decide which
# patches are neighbors. Networks with random weights reach 20 %.
LEAST_SPREAD = 0.01
# An embedding of nothing but class and medical center has two directions; one that describes tissue has
# more. Networks with random weights need 7 for this share of the variance, the demo encoders 10 and 21.
LEAST_DIRECTIONS, SHARE_OF_VARIANCE = 3, 0.99
# Only equal images have equal embeddings, and a cohort has next to none. Metrics read directions: embeddings
# that differ in length only are equal. In few dimensions patches come this close by chance.
MOST_TWINS, TWIN_TOLERANCE, TWIN_TOLERANCE_OF_FEW = 0.05, 1e-3, 1e-5
FEW_DIMENSIONS = 8
# Half of the columns are constant when one of two concatenated tokens is blank; trained networks have no or
# few constant columns.
MOST_DEAD_COLUMNS, DEAD_TOLERANCE = 0.25, 1e-6

_COVARIANCE_ROWS = 512
_BLOCK_ROWS = 512
_CELL_AXES, _CELL_TABLES = 8, 3


def check_spread(values: Float32) -> float:
    """How far patches lie from their mean, as a share of an embedding's length (root mean squares).

    Parameters
    ----------
    values : (N, D) float32, finite.

    Raises
    ------
    EmbeddingError : less than `LEAST_SPREAD`.
    """
    length = float(np.sqrt(np.square(values, dtype=np.float64).sum(axis=1).mean()))
    spread = float(np.sqrt(values.var(axis=0, dtype=np.float64).sum()))
    if not spread >= LEAST_SPREAD * length:
        raise EmbeddingError(
            f"the embeddings of {len(values)} patches are nearly constant: they differ by "
            f"{spread / length:.2g} of their length where at least {LEAST_SPREAD:.2g} is needed",
            remedy="check that the weights were loaded, that preprocessing keeps the image's contrast, and "
            "that --fm-pooling reads the right token",
        )
    return spread / length


def check_directions(values: Float32) -> int:
    """How many principal directions hold `SHARE_OF_VARIANCE` of the variance between patches.

    At most 512 patches, drawn with a fixed seed, are used.

    Raises
    ------
    EmbeddingError : fewer than `LEAST_DIRECTIONS`, or than the shape of the matrix allows.
    """
    count = directions(values)
    least = min(LEAST_DIRECTIONS, values.shape[1], len(values) - 1)
    if count < least:
        raise EmbeddingError(
            f"the embeddings have collapsed: {count} of {values.shape[1]} directions hold "
            f"{SHARE_OF_VARIANCE:.0%} of the variance of {len(values)} patches where at least {least} are "
            "needed",
            remedy="check that the weights were loaded and trained, and look for a column that outweighs all "
            "others",
        )
    return count


def directions(values: Float32) -> int:
    """See `check_directions`; 0 where all rows are equal."""
    rows = np.random.default_rng(0).permutation(len(values))[:_COVARIANCE_ROWS]
    centered = (values[rows] - values[rows].mean(axis=0, dtype=np.float64)).astype(np.float32)
    # The covariance and the Gram matrix have the same eigenvalues; the smaller one is cheaper.
    product = centered @ centered.T if len(centered) < centered.shape[1] else centered.T @ centered
    variances = np.maximum(np.linalg.eigvalsh(product.astype(np.float64))[::-1], 0)
    if not variances.sum() > 0:
        return 0
    shares = np.cumsum(variances) / variances.sum()
    return int(np.searchsorted(shares, SHARE_OF_VARIANCE)) + 1


def check_twins(values: Float32, keys: Sequence[str]) -> float:
    """Share of patches whose embedding points where that of another patch does, to `TWIN_TOLERANCE`.

    Parameters
    ----------
    values : (N, D) float32, finite, without rows of zeros.
    keys : N patch keys, for the message.

    Raises
    ------
    EmbeddingError : more than `MOST_TWINS`.
    """
    twins = _twins(values)
    share = float(twins.mean())
    if share > MOST_TWINS:
        raise EmbeddingError(
            f"{named(keys[row] for row in np.flatnonzero(twins).tolist())} of {len(values)} have the "
            f"embedding of another patch: {share:.0%} where at most {MOST_TWINS:.0%} is allowed",
            remedy="look at these patches; if their images differ, check that preprocessing keeps what they "
            "show and that the model does not saturate",
        )
    return share


def _twins(values: Float32) -> npt.NDArray[np.bool_]:
    """Which rows have a twin: equal ones all, nearly equal ones nearly all.

    Two rows are compared if they are next to each other when projected on a random direction, or if one is
    the first in the other's cell of a grid over several random directions.
    """
    few = values.shape[1] < FEW_DIMENSIONS
    tolerance = TWIN_TOLERANCE_OF_FEW if few else TWIN_TOLERANCE
    rng = np.random.default_rng(0)
    axes = rng.standard_normal((values.shape[1], _CELL_AXES * _CELL_TABLES))
    starts = range(0, len(values), _BLOCK_ROWS)
    places = np.concatenate([_units(values[start : start + _BLOCK_ROWS]) @ axes for start in starts])
    order = np.argsort(places[:, 0])
    pairs = [(order[1:], order[:-1])]
    for table in np.split(places, _CELL_TABLES, axis=1):
        cells = np.floor(table / (20 * tolerance) + rng.random(_CELL_AXES)).astype(np.int64)
        _, first, cell = np.unique(cells, axis=0, return_index=True, return_inverse=True)
        others = np.flatnonzero(first[cell.reshape(-1)] != np.arange(len(values)))
        pairs.append((others, first[cell.reshape(-1)[others]]))
    twins = np.zeros(len(values), dtype=np.bool_)
    for ones, others in pairs:
        for start in range(0, len(ones), _BLOCK_ROWS):
            one, other = ones[start : start + _BLOCK_ROWS], others[start : start + _BLOCK_ROWS]
            close = row_lengths(_units(values[one]) - _units(values[other])) <= tolerance
            twins[one[close]] = twins[other[close]] = True
    return twins


def _units(rows: Float32) -> Float64:
    wide = rows.astype(np.float64)
    return np.asarray(wide / row_lengths(wide)[:, None])


def check_columns(values: Float32) -> float:
    """Share of columns that have the same value on all patches, to `DEAD_TOLERANCE` of that value.

    Raises
    ------
    EmbeddingError : more than `MOST_DEAD_COLUMNS`.
    """
    range_ = values.max(axis=0).astype(np.float64) - values.min(axis=0)
    dead = range_ <= DEAD_TOLERANCE * np.abs(values).max(axis=0)
    share = float(dead.mean())
    if share > MOST_DEAD_COLUMNS:
        raise EmbeddingError(
            f"{int(dead.sum())} of {len(dead)} columns have the same value on all {len(values)} patches: "
            f"{share:.0%} where at most {MOST_DEAD_COLUMNS:.0%} is allowed (the first is column "
            f"{int(np.flatnonzero(dead)[0])})",
            remedy="check that all weights were loaded and that --fm-pooling does not concatenate a blank "
            "token",
        )
    return share


def row_lengths(rows: Float64) -> Float64:
    """(N,) Euclidean length of each row of (N, D) float64."""
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", rows, rows)))
