"""The machine that results come from, and the memory of its device."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("pathorob-checks", "torch", "torchvision", "triton", "timm", "numpy", "scipy", "scikit-learn")
_QUERY = "name,memory.total,driver_version"


def facts() -> dict[str, str]:
    """Card with memory and driver, processor, versions; asked of nvidia-smi, as this process uses no GPU."""
    from pathorob_checks.cpus import available_cpus

    try:
        query = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader"]
        card = subprocess.run(query, check=True, stdout=subprocess.PIPE, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        card = "none"
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return {
        "card, memory, driver": "; ".join(card.split("\n")).strip("; "),
        "processor": f"{platform.processor() or platform.machine()}, {available_cpus()} cores",
        "versions": f"Python {sys.version.split()[0]}, {versions}",
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def start(device: str) -> None:
    """Start the device, so that its start is not measured."""
    import torch

    if device == "cuda":
        x = torch.ones(256, 256, device=device)
        (x @ x).sum().item()


def synchronize(device: str) -> None:
    """Wait until the device has done its work."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def forget_peak(device: str) -> None:
    """Give kept memory back and begin to watch the peak anew."""
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_mib(device: str) -> float | None:
    """MiB of the device that tensors of this process held at most; None on a CPU."""
    import torch

    return torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else None


def used_mib() -> float:
    """MiB of the device in use now, by all processes together."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return float(total - free) / 2**20


def card(device: str) -> str:
    """The card's name; empty for a CPU."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else ""
