"""The device to compute on, and full float32 products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def choose(device: str | torch.device | None) -> torch.device:
    """The requested device; for None or "auto" the GPU if there is one, else the CPU.

    Devices other than CPU and CUDA lack float64: the CPU is used instead of them.
    """
    if device is None or device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    return chosen if chosen.type in ("cpu", "cuda") else torch.device("cpu")


@contextmanager
def full_precision() -> Iterator[None]:
    """Within the block float32 products use neither TF32 nor bfloat16, whatever the program's settings."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def is_gpu(device: torch.device) -> bool:
    """Whether to work as on a GPU: in large batches, because a step takes longer to launch than to compute.

    Tests replace this function, so that what runs on a GPU runs in them on a CPU.
    """
    return device.type == "cuda"


def free_memory(device: torch.device) -> int:
    """Bytes that a GPU has left for this process, with those that torch keeps for later use.

    On a CPU 4 GiB, so that tests of what runs on a GPU work in small steps.
    """
    if device.type != "cuda":
        return 4 << 30
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept
