"""Embeddings without information are refused before a metric is computed.

A metric would give a number for each of them: NaN sorts somewhere, and among equal rows the nearest
neighbor is the first one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import EmbeddingError

# Rows count as equal when no column varies by more than a few float32 steps of the largest value.
CONSTANT_TOLERANCE = 1e-6
_SHOWN = 3


def check_embeddings(values: npt.NDArray[np.float32], keys: Sequence[str]) -> None:
    """Refuse embeddings without information.

    Parameters
    ----------
    values : (N, D) float32.
    keys : N names of patches, for the messages.

    Raises
    ------
    EmbeddingError : wrong shape or dtype, no columns, NaN or infinite values, rows of zeros, or all
        rows equal.
    """
    check_rows(values, keys)
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
    zero: npt.NDArray[np.bool_] = np.asarray(~values.any(axis=1))
    if zero.any():
        raise EmbeddingError(
            f"embeddings of {_patches(zero, keys)} are all zeros",
            remedy="check the preprocessing and --fm-pooling, and try --fm-precision=fp32",
        )


def _patches(bad: npt.NDArray[np.bool_], keys: Sequence[str]) -> str:
    """'2 of 90 patches ('s1-p1', 's1-p2')', at most three named."""
    rows = np.flatnonzero(bad)
    names = ", ".join(f"'{keys[row]}'" for row in rows[:_SHOWN])
    more = ", ..." if len(rows) > _SHOWN else ""
    return f"{len(rows)} of {len(keys)} patches ({names}{more})"
