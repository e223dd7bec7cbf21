"""On which device a model lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathorob_checks.errors import ModelError

if TYPE_CHECKING:
    import torch

_ON_CPU = 32
# Patches per batch by a GPU's memory in GB. Where a large model needs more, the batch is halved on the way.
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
    ModelError : when the device is not known or not there.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, index = device.partition(":")
    if device != "cpu" and (kind != "cuda" or (colon and not index.isdecimal())):
        raise ModelError(f"there is no device {device}", remedy="choose auto, cpu, cuda or cuda:N")
    if kind == "cuda" and not torch.cuda.is_available():
        built_for = "for CUDA, and finds no GPU" if torch.version.cuda else "without CUDA"
        raise ModelError(
            f"device {device} was asked for and torch {torch.__version__} is built {built_for}",
            remedy="choose --fm-device=cpu, or check the driver and torch's build",
        )
    if index and int(index) >= torch.cuda.device_count():
        raise ModelError(
            f"device {device} was asked for and there are {torch.cuda.device_count()} GPUs",
            remedy="count them from cuda:0",
        )
    return device


def spread_over_gpus(device: str, worker: int) -> str:
    """`cuda` as one of the GPUs, by the number of the process that asks; other devices as they are."""
    import torch

    if device != "cuda" or torch.cuda.device_count() < 2:
        return device
    return f"cuda:{worker % torch.cuda.device_count()}"


def name_of(device: str) -> str:
    """What tells a device from all others of this machine, however it is numbered: a GPU's UUID."""
    import torch

    if not device.startswith("cuda"):
        return device
    about = torch.cuda.get_device_properties(torch.device(device))
    return f"gpu-{getattr(about, 'uuid', device.replace(':', '-'))}"
