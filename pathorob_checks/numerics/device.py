"""Where to compute, and with full float32 products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def choose(device: str | torch.device | None) -> torch.device:
    """The device asked for; for None the GPU where there is one, else the CPU."""
    if device is not None:
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def full_precision() -> Iterator[None]:
    """Within the block float32 products use neither TF32 nor bfloat16, whatever the program has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
