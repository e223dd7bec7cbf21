"""Silhouettes of many clusterings of the same points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import one_hot

Int64 = npt.NDArray[np.int64]
_COLUMNS = 512  # clusters in one product


def cosine_silhouettes(points: Tensor, squared_norms: Tensor, labelings: Sequence[Int64]) -> list[float]:
    """Mean silhouette of each labeling with the cosine distance 1 - x.y (Rousseeuw 1987).

    The mean distance to a cluster is 1 - x.c with the mean c of its members, so no matrix of distances
    is needed.

    Parameters
    ----------
    points : (N, D) float32 of Euclidean length 1 up to rounding; `squared_norms` (N,) float64 theirs.
    labelings : (N,) labels 0..K-1 each, 2 <= K < N, no cluster empty.
    """
    silhouettes = []
    for together in _batches(labelings):
        places = torch.from_numpy(np.stack(together)).to(points.device)
        counts = [int(labels.max()) + 1 for labels in together]
        members = [
            one_hot(labels, count).to(points.dtype) for labels, count in zip(places, counts, strict=True)
        ]
        products = points @ (torch.cat(members, dim=1).T @ points).T
        begin = 0
        for labels, clusters in zip(places, members, strict=True):
            share = products[:, begin : begin + clusters.shape[1]].double()
            begin += clusters.shape[1]
            silhouettes.append(_mean_silhouette(share, clusters.sum(dim=0), squared_norms, labels))
    return [float(value) for value in torch.stack(silhouettes).tolist()]


def _batches(labelings: Sequence[Int64]) -> Iterator[list[Int64]]:
    """Labelings whose clusters are multiplied together."""
    batch: list[Int64] = []
    clusters = 0
    for labels in labelings:
        more = int(labels.max()) + 1
        if batch and clusters + more > _COLUMNS:
            yield batch
            batch, clusters = [], 0
        batch.append(labels)
        clusters += more
    yield batch


def _mean_silhouette(products: Tensor, sizes: Tensor, squared_norms: Tensor, labels: Tensor) -> Tensor:
    """Mean silhouette from each point's products with the clusters' sums, (N, K) float64, and their sizes."""
    own = labels[:, None]
    sizes = sizes.double()
    size = sizes[labels]
    within = size - 1 - (products.gather(1, own)[:, 0] - squared_norms)
    within = (within / (size - 1).clamp(min=1)).clamp(min=0)
    between = (1 - products / sizes).clamp(min=0).scatter(1, own, torch.inf).amin(dim=1)
    silhouettes = (between - within) / torch.maximum(between, within)
    return torch.where(size > 1, silhouettes.nan_to_num(0), 0).mean()
