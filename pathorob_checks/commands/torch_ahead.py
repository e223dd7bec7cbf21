"""`doctor` on the builds of torch and torchvision: whether they fit each other and the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pathorob_checks.commands.findings import FAIL, PASS, WARN, Finding
from pathorob_checks.wording import counted, printable

_GPU_FILES = ("/dev/nvidia0", "/proc/driver/nvidia/version")  # where Linux shows an NVIDIA GPU or its driver
_INSTALL = "as PyTorch's installation page says"


def builds() -> Iterator[Finding]:
    """Which builds are installed, and what they can use."""
    import torch

    try:
        import torchvision
    except Exception as error:
        yield Finding(
            FAIL,
            "torch",
            f"torchvision cannot be imported beside torch {torch.__version__} "
            f"({printable(str(error))[:200]})",
            f"install torch and torchvision together, in one command, {_INSTALL}",
        )
        return
    text = f"torch {torch.__version__}, torchvision {torchvision.__version__}, {_build(torch)}"
    if torch.cuda.is_available():
        yield Finding(PASS, "torch", f"{text}, {counted(torch.cuda.device_count(), 'GPU')}")
    elif not _has_nvidia_gpu():
        yield Finding(PASS, "torch", f"{text}, no GPU is visible")
    elif torch.version.cuda is None:
        yield Finding(
            WARN,
            "torch",
            f"{text}, but this machine has an NVIDIA GPU, which it cannot use",
            f"install a CUDA build of torch and torchvision, {_INSTALL}",
        )
    else:
        yield Finding(
            WARN,
            "torch",
            f"{text}, but it cannot use the NVIDIA GPU of this machine",
            "update the driver or take builds for an older CUDA, unless CUDA_VISIBLE_DEVICES hides the GPU",
        )


def _build(torch: object) -> str:
    version = torch.version  # type: ignore[attr-defined]
    if version.cuda:
        return f"CUDA {version.cuda} build"
    return f"ROCm {version.hip} build" if getattr(version, "hip", None) else "CPU build"


def _has_nvidia_gpu() -> bool:
    return any(Path(path).exists() for path in _GPU_FILES)
