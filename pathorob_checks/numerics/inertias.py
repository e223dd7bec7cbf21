"""Inertias of many partitions on a device, to the bit as scikit-learn adds them up on one thread."""

from __future__ import annotations

import torch
from torch import Tensor

from pathorob_checks.numerics.grams import Grams, in_order

_NUMBERS = 1 << 28  # of differences between points and centers that are computed together


def inertias(grams: Grams, labels: Tensor, sets: Tensor) -> Tensor:
    """Sum of the squared distances of points to the mean of their cluster, for each partition.

    Equal to `rounding.inertia`, which computes one partition with NumPy.

    Parameters
    ----------
    labels : (P, N) int64 on the device, -1 for points that are in no cluster.
    sets : (P,) int64, the set of points that each partition is of.

    Returns
    -------
    (P,) float32.
    """
    at_once = max(1, _NUMBERS // (grams.count * grams.points.shape[1]))
    parts = [
        _inertias(grams, labels[start : start + at_once], sets[start : start + at_once])
        for start in range(0, len(labels), at_once)
    ]
    return torch.cat(parts) if parts else torch.empty(0, device=labels.device)


def _inertias(grams: Grams, labels: Tensor, sets: Tensor) -> Tensor:
    partition, point = torch.nonzero(labels >= 0, as_tuple=True)
    rows = point + sets[partition] * grams.count
    _, cluster, sizes = torch.unique(
        partition * (grams.count + 1) + labels[partition, point], return_inverse=True, return_counts=True
    )
    order = torch.argsort(cluster, stable=True)
    difference = grams.points[rows] - grams.means(rows[order], sizes)[cluster]
    distances = _squared_lengths(difference)
    every_row = torch.arange(len(rows), device=rows.device)
    points = torch.bincount(partition, minlength=len(labels))
    return in_order(distances[:, None], every_row, points)[:, 0]


def _squared_lengths(difference: Tensor) -> Tensor:
    """(M,) float32 of (M, D), added up four dimensions at a time."""
    squares = difference.square_()
    whole = squares.shape[1] // 4 * 4
    quads = squares[:, :whole].reshape(len(squares), -1, 4)
    fours = ((quads[..., 0] + quads[..., 1]) + quads[..., 2]) + quads[..., 3]
    terms = torch.cat([fours.T, squares[:, whole:].T]).contiguous()
    every_term = torch.arange(len(terms), device=terms.device)
    return in_order(terms, every_term, every_term.new_tensor([len(terms)]))[0]
