"""Large matrix products of float32."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

_WORTH_TIMING = 2**30  # multiplications


class Multiplication:
    """`out = a @ b` for many large matrices, by the faster of two libraries.

    On a CPU NumPy's BLAS and torch's differ in speed by a third and more; which one is faster depends on the
    processor. Each computes one large product, then the faster one computes the rest. They round differently:
    use this only where results do not depend on rounding.
    """

    def __init__(self, device: torch.device) -> None:
        self._numpy = device.type == "cpu"
        self._untimed = [False, True] if device.type == "cpu" else []
        self._seconds: dict[bool, float] = {}

    def __call__(self, a: Tensor, b: Tensor, out: Tensor) -> None:
        """Write the product of (n, d) and (d, m) to (n, m) `out`."""
        work = a.shape[0] * a.shape[1] * b.shape[1]
        timed = bool(self._untimed) and work >= _WORTH_TIMING
        if timed:
            self._numpy = self._untimed.pop()
        begin = time.perf_counter()
        if self._numpy:
            np.matmul(a.numpy(), b.numpy(), out=out.numpy())
        else:
            torch.matmul(a, b, out=out)
        if timed:
            self._seconds[self._numpy] = (time.perf_counter() - begin) / work
            if not self._untimed:
                self._numpy = min(self._seconds, key=lambda choice: self._seconds[choice])
