"""The adjusted Rand index (Hubert and Arabie 1985) of many clusterings at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.inputs import Int64

Float64 = npt.NDArray[np.float64]


def contingency(*columns: Int64) -> Int64:
    """Table of how many rows have each combination of the columns' codes 0.., one axis per column."""
    shape = tuple(int(column.max()) + 1 for column in columns)
    places = np.ravel_multi_index(columns, shape)
    return np.bincount(places, minlength=int(np.prod(shape))).reshape(shape)


def adjusted_rand(tables: Int64) -> Float64:
    """(...) float64 adjusted Rand index of (..., labels, clusters) tables of counts; 1 for one of each."""
    n = tables.sum(axis=(-2, -1))
    both = _pairs(tables).sum(axis=(-2, -1))
    rows = _pairs(tables.sum(axis=-1)).sum(axis=-1)
    columns = _pairs(tables.sum(axis=-2)).sum(axis=-1)
    expected = rows * columns / np.maximum(_pairs(n), 1)
    most = (rows + columns) / 2
    same = most == expected
    return np.asarray(np.where(same, 1.0, (both - expected) / np.where(same, 1, most - expected)))


def _pairs(count: Int64) -> Float64:
    return np.asarray(count * (count - 1.0) / 2)
