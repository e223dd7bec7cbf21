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
def reproducible_kernels() -> Iterator[None]:
    """The same GPU gives the same embedding again, in full float32; restores the settings afterwards.

    Without TF32, to which torch rounds what a convolution multiplies (10 bits); with convolution kernels that
    are deterministic, not those that a race on this machine would choose.
    """
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    switches: list[tuple[Any, str, Any]] = [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)]
    switches += [(cudnn, "benchmark", False), (cudnn, "deterministic", True)]
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


def tf32_settings() -> dict[str, bool]:
    """Whether float32 products and convolutions are rounded to TF32 on GPUs, as this process is set now."""
    import torch

    places: dict[str, Any] = {"products": torch.backends.cuda.matmul, "convolutions": torch.backends.cudnn}
    settings = {}
    for name, place in places.items():
        try:
            settings[name] = bool(place.allow_tf32)
        except RuntimeError:  # only the finer setting was used
            finer: Any = getattr(place, "conv", place)
            settings[name] = finer.fp32_precision == "tf32"
    return settings
