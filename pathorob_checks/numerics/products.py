"""Matrix products of float32."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def product(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """`a @ b`, in `out` where given. On a CPU by NumPy's BLAS: torch's reaches less of the rate of many."""
    if a.device.type != "cpu":
        return torch.matmul(a, b, out=out)
    if out is None:
        return torch.from_numpy(np.matmul(a.numpy(), b.numpy()))
    np.matmul(a.numpy(), b.numpy(), out=out.numpy())
    return out
