"""Silhouettes of many clusterings of the same points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

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
    silhouettes: list[float] = []
    for together in _batches(labelings):
        labels = torch.from_numpy(np.stack(together)).to(points.device)
        counts = labels.amax(dim=1) + 1
        begins = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        members = points.new_zeros((len(points), int(begins[-1])))
        members.scatter_(1, (labels + begins[:-1, None]).T, 1)
        products = points @ (members.T @ points).T
        number = torch.arange(int(counts.max()), device=points.device)
        real = number < counts[:, None]
        column = (begins[:-1, None] + number).where(real, 0)
        share = products[:, column].transpose(0, 1).double()
        sizes = members.sum(dim=0)[column].double().where(real, 1)
        silhouettes += _mean_silhouettes(share, sizes, real, squared_norms, labels).tolist()
    return silhouettes


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


def _mean_silhouettes(
    products: Tensor, sizes: Tensor, real: Tensor, squared_norms: Tensor, labels: Tensor
) -> Tensor:
    """(L,) mean silhouettes from each point's products with the clusters' sums.

    Parameters
    ----------
    products : (L, N, K) float64; `sizes` (L, K) float64 of the clusters; `real` (L, K) bool, which there are.
    squared_norms : (N,) float64.
    labels : (L, N).
    """
    own = labels[..., None]
    size = sizes.gather(1, labels)
    within = size - 1 - (products.gather(2, own)[..., 0] - squared_norms)
    within = (within / (size - 1).clamp(min=1)).clamp(min=0)
    distances = (1 - products / sizes[:, None]).clamp(min=0).masked_fill_(~real[:, None], torch.inf)
    between = distances.scatter_(2, own, torch.inf).amin(dim=2)
    silhouettes = (between - within) / torch.maximum(between, within)
    return torch.where(size > 1, silhouettes.nan_to_num(0), 0).mean(dim=1)
