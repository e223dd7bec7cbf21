"""Nearest neighbors by blocked matrix products."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch


def nearest_neighbors(
    points: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int64],
    k: int,
    *,
    block: int = 1024,
) -> npt.NDArray[np.int64]:
    """The k nearest rows of every row, leaving out rows of its own group.

    Parameters
    ----------
    points : (N, D) float32 of Euclidean length 1 up to rounding, so that the largest product marks
        the smallest Euclidean distance.
    groups : (N,) int64; rows of one group (a slide) are never each other's neighbors.
    k : at most N minus the size of the largest group.

    Returns
    -------
    (N, k) int64, nearest first; equal distances stand in the order of the rows. Products in float32
    find the candidates; these are ordered by distances in float64, so that the order does not depend
    on how a product was blocked.
    """
    x = torch.from_numpy(points)
    group = torch.from_numpy(groups)
    squared_length = x.double().square().sum(dim=1)
    count = len(points)
    candidates = min(k + 8, count)
    result = np.empty((count, k), dtype=np.int64)
    for start in range(0, count, block):
        rows = slice(start, min(start + block, count))
        similarity = x[rows] @ x.T
        similarity.masked_fill_(group[rows, None] == group[None, :], -torch.inf)
        # In the order of the rows, so that the stable sort below keeps ties in that order.
        found = similarity.topk(candidates, dim=1).indices.sort(dim=1).values
        products = torch.einsum("bd,bcd->bc", x[rows].double(), x[found].double())
        distances = squared_length[rows, None] + squared_length[found] - 2 * products
        distances.masked_fill_(group[rows, None] == group[found], torch.inf)
        nearest = distances.argsort(dim=1, stable=True)[:, :k]
        result[rows] = found.gather(1, nearest).numpy()
    return result
