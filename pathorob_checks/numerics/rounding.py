"""One step of scikit-learn's k-means in its own arithmetic, for decisions that depend on rounding.

k-means in another arithmetic agrees with scikit-learn's except where two distances are equal up to
rounding. For these ties the functions here repeat scikit-learn's computation on one thread, in the same
order and with the same BLAS routine, so that they are decided in the same way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from pathorob_checks.numerics.blas import minus_twice_product

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
_CHUNK = 256  # rows that scikit-learn multiplies at once


def centers(points: Float32, labels: Int64, K: int, clusters: Int64 | None = None) -> Float32:
    """(K, D) float32 means of `clusters` (None: all), added up in the order of the rows; zeros for others.

    Points with the label -1 are in no cluster.
    """
    if clusters is None:
        clusters = np.arange(K)
    members = [np.flatnonzero(labels == k) for k in clusters]
    counts = np.array([len(rows) for rows in members])
    ones = np.ones(int(counts.sum()), dtype=np.float32)
    membership = csr_matrix(
        (ones, np.concatenate(members), np.concatenate([[0], np.cumsum(counts)])),
        shape=(len(clusters), len(labels)),
    )
    means = np.zeros((K, points.shape[1]), dtype=np.float32)
    means[clusters] = (membership @ points) * (np.float32(1) / counts.astype(np.float32))[:, None]
    return means


def nearest_centers(
    points: Float32, centers: Float32, rows: Int64, candidates: npt.NDArray[np.bool_]
) -> Int64:
    """The nearest center to each of the `rows` among its `candidates`, (rows, K) bool; the first of ties."""
    squared_norms = np.einsum("ij,ij->i", centers, centers)  # as scikit-learn's row_norms
    nearest = np.empty(len(rows), dtype=np.int64)
    chunks = rows // _CHUNK
    for chunk in np.unique(chunks):
        block = points[chunk * _CHUNK : (chunk + 1) * _CHUNK]
        distances = np.repeat(squared_norms[None], len(block), axis=0)
        minus_twice_product(centers, block, distances)
        in_chunk = chunks == chunk
        of_rows = distances[rows[in_chunk] % _CHUNK]
        nearest[in_chunk] = np.where(candidates[in_chunk], of_rows, np.inf).argmin(axis=1)
    return nearest


def squared_shift(old: Float32, new: Float32) -> float:
    """Sum over the centers of the squared distance that each has moved."""
    return float((np.sqrt(_squared_distances(new, old)) ** 2).sum())


def inertia(points: Float32, labels: Int64, K: int) -> float:
    """Sum of the squared distances of the points to the mean of their cluster; the label -1 is left out."""
    means = centers(points, labels, K)
    if labels.min() < 0:
        points, labels = points[labels >= 0], labels[labels >= 0]
    distances = [
        _squared_distances(points[begin : begin + _CHUNK], means[labels[begin : begin + _CHUNK]])
        for begin in range(0, len(points), _CHUNK)
    ]
    return float(np.add.accumulate(np.concatenate(distances), dtype=np.float32)[-1])


def _squared_distances(a: Float32, b: Float32) -> Float32:
    """(rows,) float32 between each row of `a` and of `b`, added up four dimensions at a time."""
    difference = a - b
    squares = np.multiply(difference, difference, out=difference)
    whole = squares.shape[1] // 4 * 4
    quads = squares[:, :whole].reshape(len(a), -1, 4)
    fours = ((quads[..., 0] + quads[..., 1]) + quads[..., 2]) + quads[..., 3]
    terms = np.concatenate([np.zeros((len(a), 1), dtype=np.float32), fours, squares[:, whole:]], axis=1)
    return np.add.accumulate(terms, axis=1, dtype=np.float32)[:, -1]
