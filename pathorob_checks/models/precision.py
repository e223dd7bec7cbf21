"""The precision in which a network computes.

torch is imported only where it is used, so that the options of pytest can import `PRECISIONS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PRECISIONS = ("fp32", "bf16", "fp16")


def autocast_type(precision: str) -> torch.dtype | None:
    """The type that autocast computes in; None for `fp32`, which needs no autocast."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Full float32 products on GPUs that would round to 10 bits; restores the settings afterwards."""
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    switches: list[tuple[Any, str, Any]] = [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)]
    # Newer torch also has a finer setting; where that was used, the older one does not override it.
    finer = [matmul, getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None)]
    switches += [(owner, "fp32_precision", "ieee") for owner in finer if hasattr(owner, "fp32_precision")]
    saved: list[tuple[Any, str, Any]] = []
    for owner, name, _ in switches:
        # torch refuses to read the older setting where the newer one disagrees; the newer one is restored.
        with suppress(RuntimeError):
            saved.append((owner, name, getattr(owner, name)))
    try:
        for owner, name, value in switches:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in saved:
            setattr(owner, name, value)
