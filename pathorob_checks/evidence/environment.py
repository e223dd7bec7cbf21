"""Where a run computed: every installed package, and the machine."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pathorob_checks.cpus import available_cpus
from pathorob_checks.evidence.layout import ENVIRONMENT_SCHEMA
from pathorob_checks.version import is_development_version, version
from pathorob_checks.wording import printable

# Variables that change how libraries compute; others are never told.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "PYTHONHASHSEED",
    "HF_HUB_OFFLINE",
)
_NVIDIA = Path("/proc/driver/nvidia/version")
_TIMEOUT_S = 10.0


def environment_document(*, processes: int = 1, identify: bool = False) -> dict[str, Any]:
    """The environment as JSON-like content.

    Parameters
    ----------
    processes : that measure at the same time.
    identify : name the person and the machine.
    """
    return {
        "schema": ENVIRONMENT_SCHEMA,
        "tool": {"name": "pathorob-checks", "version": version()},
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "compiler": platform.python_compiler(),
            "is_virtual_environment": sys.prefix != sys.base_prefix,
        },
        "system": {
            "platform": platform.platform(),
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "libc": "-".join(filter(None, platform.libc_ver())) or None,
            "distribution": _distribution(),
        },
        "processor": {
            "model": _processor(),
            "cores": os.cpu_count(),
            "cores_usable": available_cpus(),
            "memory_bytes": _memory(),
        },
        "processes": processes,
        "threads": _threads(),
        "gpu": gpu_facts(),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "packages": list(installed_packages()),
        **({"identified": {"person": _person(), "machine": socket.gethostname()}} if identify else {}),
    }


def installed_packages() -> Iterator[dict[str, Any]]:
    """Name, version and SHA-256 of the RECORD (the list of its files with their digests), by name.

    The RECORD is None where an installer wrote none. Of two packages of one name it is the one that Python
    imports.
    """
    distributions: dict[str, metadata.Distribution] = {}
    for one in metadata.distributions():
        name = one.metadata["Name"]
        if name:
            distributions.setdefault(_normalized(name), one)
    for name, one in sorted(distributions.items()):
        record = one.read_text("RECORD")
        yield {
            "name": name,
            "version": one.version,
            "record_sha256": None if record is None else hashlib.sha256(record.encode()).hexdigest(),
            "license": _license(one.metadata),
        }


def requirements_text(document: Mapping[str, Any]) -> str:
    """requirements.txt: every package of an environment with its version, for `pip install -r`.

    Parameters
    ----------
    document : of `environment_document`.

    Notes
    -----
    What no index of packages has, a version of this package between two releases, is a comment.
    """
    python, tool = document["python"], document["tool"]
    lines = [f"# Python {python['version']} ({python['implementation']}), {document['system']['platform']}"]
    for one in document["packages"]:
        known = tool["version"] if one["name"] == tool["name"] else one["version"]
        pinned = f"{one['name']}=={known}"
        is_unreleased = one["name"] == tool["name"] and is_development_version(known)
        lines.append(f"# {pinned} is no release: install it from its commit" if is_unreleased else pinned)
    return "\n".join(map(printable, lines)) + "\n"


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _license(fields: Any) -> str | None:
    """The expression, else a short text, else what the classifiers say; None where nothing states one."""
    for key in ("License-Expression", "License"):
        text = fields.get(key)
        if text and text.strip().upper() != "UNKNOWN" and len(text) < 100 and "\n" not in text.strip():
            return str(text.strip())
    classifiers = [one for one in fields.get_all("Classifier") or () if one.startswith("License :: ")]
    names = [one.rpartition(" :: ")[2] for one in classifiers]
    return ", ".join(names) or None


def gpu_facts() -> dict[str, Any] | None:
    """GPUs, driver and CUDA as torch sees them; None where torch sees no GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return {
        "devices": [
            {
                "name": one.name,
                "memory_bytes": one.total_memory,
                "capability": f"{one.major}.{one.minor}",
            }
            for one in devices
        ],
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "tf32": bool(torch.backends.cuda.matmul.allow_tf32),
    }


def _driver() -> str | None:
    """The version of NVIDIA's driver: by the kernel, else by its own tool."""
    with contextlib.suppress(OSError):
        if match := re.search(r"NVRM version:.*?\s(\d+(?:\.\d+)+)\s", _NVIDIA.read_text(encoding="utf-8")):
            return match[1]
    return _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def _processor() -> str | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() in ("model name", "cpu model", "hardware"):
                return value.strip()
    if sys.platform == "darwin":
        return _first_line("sysctl", "-n", "machdep.cpu.brand_string")
    return platform.processor() or None


def _memory() -> int | None:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _distribution() -> str | None:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    return None


def _threads() -> dict[str, Any]:
    """Threads of each library that computes in parallel."""
    import torch
    from threadpoolctl import threadpool_info

    pools = [
        {key: pool.get(key) for key in ("user_api", "internal_api", "version", "num_threads")}
        for pool in threadpool_info()
    ]
    return {"torch": torch.get_num_threads(), "pools": sorted(pools, key=str)}


def _first_line(*command: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 (constants)
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None


def _person() -> str | None:
    with contextlib.suppress(OSError, KeyError, ImportError):
        account = getpass.getuser()
        with contextlib.suppress(ImportError, KeyError, AttributeError):
            import pwd

            name = pwd.getpwnam(account).pw_gecos.partition(",")[0].strip()
            return f"{name} ({account})" if name else account
        return account
    return None


def environment_facts(document: Mapping[str, Any]) -> str:
    """One sentence about the machine, for pages that people read."""
    processor, gpu = document["processor"], document["gpu"]
    names = ", ".join(dict.fromkeys(one["name"] for one in gpu["devices"])) if gpu else "no GPU"
    return (
        f"Python {document['python']['version']}, {document['system']['platform']}, "
        f"{processor['model'] or 'an unknown processor'}, {processor['cores_usable']} usable cores, {names}"
    )
