"""Silhouettes of many clusterings of the same points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import one_hot


def cosine_silhouettes(
    points: npt.NDArray[np.float32], labelings: Sequence[npt.NDArray[np.int64]], device: torch.device
) -> list[float]:
    """Mean silhouette of each labeling with the cosine distance 1 - x.y (Rousseeuw 1987).

    The mean distance to a cluster is 1 - x.c with the mean c of its members, so no matrix of distances
    is needed.

    Parameters
    ----------
    points : (N, D) float32 of Euclidean length 1 up to rounding.
    labelings : (N,) labels 0..K-1 each, 2 <= K < N, no cluster empty.
    """
    x = torch.from_numpy(points).to(device)
    squared_norms = x.double().square().sum(dim=1)
    return [_mean_silhouette(x, squared_norms, torch.from_numpy(labels).to(device)) for labels in labelings]


def _mean_silhouette(x: Tensor, squared_norms: Tensor, labels: Tensor) -> float:
    members = one_hot(labels).to(x.dtype)
    sizes = members.sum(dim=0).double()
    products = (x @ (members.T @ x).T).double()
    own = labels[:, None]
    size = sizes[labels]
    within = size - 1 - (products.gather(1, own)[:, 0] - squared_norms)
    within = (within / (size - 1).clamp(min=1)).clamp(min=0)
    between = (1 - products / sizes).clamp(min=0).scatter(1, own, torch.inf).amin(dim=1)
    silhouettes = (between - within) / torch.maximum(between, within)
    return float(torch.where(size > 1, silhouettes.nan_to_num(0), 0).mean())
