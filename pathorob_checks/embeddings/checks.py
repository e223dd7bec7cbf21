"""Embeddings without information are refused before a metric is computed.

A metric would give a number for each of them: NaN sorts somewhere, among equal rows the nearest neighbor is
the first one, squares of 1e19 overflow in float32, and a classifier whose regularization is fixed learns
nothing from embeddings of length 1e-6, which looks as if it lost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import EmbeddingError

# Rows count as equal when no column varies by more than a few float32 steps of the largest value.
CONSTANT_TOLERANCE = 1e-6
# Typical lengths of embeddings: 1 where they are normalized, 10 to 100 where they are not.
LEAST_LENGTH, LARGEST_LENGTH = 1e-3, 1e6
MOST_UNEQUAL = 1e4  # how many times longer or shorter than the typical one an embedding may be
FLOAT16_MAX = 65504.0  # where float16 stops; a number that reached it was larger
_SHOWN = 3
_BLOCK = 4096  # rows


def check_embeddings(values: npt.NDArray[np.float32], keys: Sequence[str]) -> None:
    """Refuse embeddings without information.

    Parameters
    ----------
    values : (N, D) float32.
    keys : N names of patches, for the messages.

    Raises
    ------
    EmbeddingError : wrong shape or dtype, no columns, NaN, infinite or saturated values, rows of zeros,
        lengths out of range or very unequal, or all rows equal.
    """
    check_rows(values, keys)
    _check_lengths(values, keys)
    if len(values) < 2:
        return
    largest = float(np.abs(values).max())
    # float64, because the difference of two large float32 may overflow.
    spread = float((values.max(axis=0).astype(np.float64) - values.min(axis=0).astype(np.float64)).max())
    if spread <= CONSTANT_TOLERANCE * largest:
        raise EmbeddingError(
            f"all {len(values)} patches have the same embedding",
            remedy="check that the weights were loaded, that preprocessing does not blank the images, "
            "and that --fm-pooling reads the right token",
        )


def check_rows(values: npt.NDArray[np.float32], keys: Sequence[str]) -> None:
    """The part of `check_embeddings` that applies to any subset of the rows, such as one batch."""
    if values.ndim != 2 or len(values) != len(keys) or len(values) == 0:
        raise EmbeddingError(
            f"embeddings have the shape {values.shape} where ({len(keys)}, D) is needed, one row per patch",
            remedy="let the model return one vector per image, e.g. with another --fm-pooling",
        )
    if values.shape[1] == 0:
        raise EmbeddingError(
            "embeddings have no columns", remedy="let the model return its embedding, not its logits"
        )
    if values.dtype != np.float32:
        raise EmbeddingError(
            f"embeddings have the dtype {values.dtype} where float32 is needed",
            remedy="convert them with .astype('float32') or, in a model, .float()",
        )
    broken: npt.NDArray[np.bool_] = np.asarray(~np.isfinite(values).all(axis=1))
    if broken.any():
        raise EmbeddingError(
            f"embeddings of {_patches(broken, keys)} contain NaN or infinite values",
            remedy="try --fm-precision=fp32, and check the preprocessing's mean and std",
        )
    saturated: npt.NDArray[np.bool_] = np.asarray((np.abs(values) == FLOAT16_MAX).any(axis=1))
    if saturated.any():
        raise EmbeddingError(
            f"embeddings of {_patches(saturated, keys)} contain {FLOAT16_MAX:.0f}, the largest number of "
            "float16, so that larger ones were cut off",
            remedy="try --fm-precision=bf16 or fp32",
        )
    zero: npt.NDArray[np.bool_] = np.asarray(~values.any(axis=1))
    if zero.any():
        raise EmbeddingError(
            f"embeddings of {_patches(zero, keys)} are all zeros",
            remedy="check the preprocessing and --fm-pooling, and try --fm-precision=fp32",
        )


def _check_lengths(values: npt.NDArray[np.float32], keys: Sequence[str]) -> None:
    lengths = np.empty(len(values))
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK].astype(np.float64)  # squares of float32 may overflow
        lengths[start : start + _BLOCK] = np.sqrt(np.einsum("nd,nd->n", block, block))
    typical = float(np.median(lengths))
    if not LEAST_LENGTH <= typical <= LARGEST_LENGTH:
        raise EmbeddingError(
            f"embeddings have a typical length of {typical:.2g} where {LEAST_LENGTH:g} to {LARGEST_LENGTH:g} "
            "is needed, beyond which rounding and regularization decide the metrics",
            remedy="multiply all of them by one number in the model, and look for an overflow",
        )
    unequal: npt.NDArray[np.bool_] = np.asarray(
        (lengths > MOST_UNEQUAL * typical) | (lengths * MOST_UNEQUAL < typical)
    )
    if unequal.any():
        raise EmbeddingError(
            f"embeddings of {_patches(unequal, keys)} are more than {MOST_UNEQUAL:g} times longer or shorter "
            f"than the typical one, which has the length {typical:.2g}",
            remedy="look for an overflow, e.g. with --fm-precision=fp32, and for patches that preprocessing "
            "blanks",
        )


def _patches(bad: npt.NDArray[np.bool_], keys: Sequence[str]) -> str:
    """'2 of 90 patches ('s1-p1', 's1-p2')', at most three named."""
    rows = np.flatnonzero(bad)
    names = ", ".join(f"'{keys[row]}'" for row in rows[:_SHOWN])
    more = ", ..." if len(rows) > _SHOWN else ""
    return f"{len(rows)} of {len(keys)} patches ({names}{more})"
