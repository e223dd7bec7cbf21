"""`doctor` on torch: which build is there, whether it sees this machine's GPU, and torchvision beside it."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pathorob_checks.commands.findings import FAIL, PASS, WARN, Finding
from pathorob_checks.models.failures import brief
from pathorob_checks.wording import counted

_SUBJECT = "torch"
_BESIDE = "torchvision"
_PAGE = "as its installation page says"
# What the driver of NVIDIA puts on a machine that has its GPU; no program is run to look.
_NVIDIA = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidia0"), Path("/dev/dxg"))
_DRIVER = re.compile(r"driver on your system is too old(?: \(found version (?P<version>[\d.]+)\))?")


@dataclass(frozen=True, kw_only=True)
class TorchBuild:
    """What is known of torch and of the GPUs of this machine.

    Attributes
    ----------
    version : of torch.
    cuda : the version of CUDA that it was built for; None for a build without.
    rocm : the version of ROCm that it was built for; None for a build without.
    gpus : how many GPUs it sees.
    has_nvidia : whether this machine has a GPU of NVIDIA, as far as its driver shows.
    problem : what torch warned of when it looked for GPUs; "" for nothing.
    """

    version: str
    cuda: str | None
    rocm: str | None
    gpus: int
    has_nvidia: bool
    problem: str = ""


def findings(load: Callable[[str], ModuleType] = importlib.import_module) -> Iterator[Finding]:
    """What is found of torch and torchvision, which `load` imports."""
    try:
        torch = load(_SUBJECT)
        build = _build_of(torch)
    except Exception as error:  # a library that does not fit the machine raises anything while it is loaded
        yield Finding(
            FAIL, _SUBJECT, f"it cannot be imported ({brief(error)})", f"install torch again, {_PAGE}"
        )
        return
    yield judged(build)
    try:
        vision = load(_BESIDE)
        yield Finding(PASS, _BESIDE, str(vision.__version__))
    except Exception as error:
        yield Finding(
            FAIL,
            _BESIDE,
            f"it does not fit torch {build.version} ({brief(error)})",
            f"install torch and torchvision together, of one build, {_PAGE.replace('its', 'their')}",
        )


def judged(build: TorchBuild) -> Finding:
    """What a build means for a run on this machine."""
    made_for = f"CUDA {build.cuda}" if build.cuda else f"ROCm {build.rocm}" if build.rocm else None
    if made_for is None:
        text = f"{build.version} is a CPU build"
        if build.has_nvidia:
            remedy = f"install a CUDA build of torch, {_PAGE}"
            return Finding(WARN, _SUBJECT, f"{text}, but this machine has an NVIDIA GPU", remedy)
        return Finding(PASS, _SUBJECT, text)
    text = f"{build.version} is built for {made_for}"
    if build.gpus:
        return Finding(PASS, _SUBJECT, f"{text} and sees {counted(build.gpus, 'GPU')}")
    if (old := _DRIVER.search(build.problem)) is not None:
        version = f" ({old['version']})" if old["version"] else ""
        return Finding(
            WARN,
            _SUBJECT,
            f"{text}, for which the driver{version} is too old",
            "update the driver, or install a build of torch for an older CUDA",
        )
    if build.has_nvidia:
        reason = f" ({build.problem})" if build.problem else ""
        remedy = "check that the driver is loaded and that CUDA_VISIBLE_DEVICES does not hide the GPU"
        return Finding(WARN, _SUBJECT, f"{text}, but does not see this machine's GPU{reason}", remedy)
    return Finding(PASS, _SUBJECT, f"{text} and sees no GPU; a CPU build would be smaller")


def _build_of(torch: ModuleType) -> TorchBuild:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    problem = str(warned[0].message).splitlines()[0] if warned else ""
    return TorchBuild(
        version=str(torch.__version__),
        cuda=torch.version.cuda,
        rocm=getattr(torch.version, "hip", None),
        gpus=gpus,
        has_nvidia=any(path.exists() for path in _NVIDIA),
        problem=problem[:200],
    )
