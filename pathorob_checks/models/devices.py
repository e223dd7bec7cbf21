"""The device that a model runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathorob_checks.errors import ModelError

if TYPE_CHECKING:
    import torch

_ON_CPU = 32
# Patches per batch by a GPU's memory in GB. Where a large model needs more, extraction halves the batch.
_BY_MEMORY = ((40, 256), (16, 128), (0, 64))


def batch_size_for(device: torch.device) -> int:
    """Patches per batch that suit a device."""
    import torch

    if device.type != "cuda":
        return _ON_CPU
    memory = torch.cuda.get_device_properties(device).total_memory / 1e9
    return next(size for least, size in _BY_MEMORY if memory >= least)


def resolve_device(device: str) -> str:
    """`cpu`, `cuda` or `cuda:N`, present on this machine.

    Raises
    ------
    ModelError : when the device is unknown or not present.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, index = device.partition(":")
    if device != "cpu" and (kind != "cuda" or (colon and not index.isdecimal())):
        raise ModelError(f"there is no device {device}", remedy="choose auto, cpu, cuda or cuda:N")
    if kind == "cuda" and not torch.cuda.is_available():
        reason = "is built for CUDA but sees no GPU" if torch.version.cuda else "is built without CUDA"
        raise ModelError(
            f"device {device} is not available, as torch {torch.__version__} {reason}",
            remedy="choose --fm-device=cpu, or check the driver and torch's build",
        )
    count = torch.cuda.device_count()
    if index and int(index) >= count:
        raise ModelError(
            f"device {device} is not available, as there {'is 1 GPU' if count == 1 else f'are {count} GPUs'}",
            remedy="count GPUs from cuda:0",
        )
    return device


def spread_over_gpus(device: str, worker: int) -> str:
    """`cuda` as `cuda:N`, by the worker's number, where there are several GPUs; other devices unchanged."""
    import torch

    if device != "cuda" or torch.cuda.device_count() < 2:
        return device
    return f"cuda:{worker % torch.cuda.device_count()}"


def share_held_by_others(device: torch.device) -> float:
    """Share of a GPU's memory that is taken and not by this process' tensors; 0 for the CPU."""
    import torch

    if device.type != "cuda":
        return 0.0
    free, total = torch.cuda.mem_get_info(device)
    return (total - free - torch.cuda.memory_reserved(device)) / total


def give_back_memory(device: str) -> None:
    """Let other processes have the memory that torch keeps for later on a GPU."""
    import torch

    if device.startswith("cuda") and torch.cuda.is_available():
        with torch.cuda.device(torch.device(device)):
            torch.cuda.empty_cache()


def name_of(device: str) -> str:
    """A name that identifies a device on this machine however devices are numbered: a GPU's UUID."""
    import torch

    if not device.startswith("cuda"):
        return device
    properties = torch.cuda.get_device_properties(torch.device(device))
    return f"gpu-{getattr(properties, 'uuid', device.replace(':', '-'))}"
