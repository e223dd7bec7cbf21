"""The results file: every record of a run with what produced it, as strict JSON."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pathorob_checks
from pathorob_checks.errors import CacheError
from pathorob_checks.report.record import CheckRecord, builtin

SCHEMA = "pathorob-checks/results/1"

# What decides embeddings and metrics, by distribution name.
_DISTRIBUTIONS = (
    "huggingface-hub",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "pydantic",
    "pytest",
    "pytest-xdist",
    "safetensors",
    "scikit-learn",
    "scipy",
    "timm",
    "torch",
    "torchvision",
    "transformers",
)


def environment() -> dict[str, Any]:
    """Versions and platform of this process, for the results file.

    Versions are read from installed metadata, without importing anything; None: not installed. Neither
    host name nor environment variables are part of it, because results files are passed on.
    """
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": {
            "pathorob-checks": pathorob_checks.__version__,
            **{name: _version(name) for name in _DISTRIBUTIONS},
        },
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def results_document(
    records: Sequence[CheckRecord],
    runs: Sequence[Mapping[str, object]],
    environment: Mapping[str, object],
    complete: bool,
    created: datetime,
) -> dict[str, Any]:
    """The content of a results file, of builtin types only.

    Parameters
    ----------
    runs : one mapping `{"fm": {...}, "cohort": {...}}` per FM and cohort.
    environment : what `environment()` returned where the metrics were computed.
    complete : False when a worker was lost or the run was stopped: the checks are then not all there.
    created : when the run ended; written in UTC, a naive time is taken as local.

    Raises
    ------
    MetricError : a number is not finite, or an object is nothing that JSON can say.
    """
    return {
        "schema": SCHEMA,
        "created": created.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "complete": bool(complete),
        "environment": _in_order(builtin(environment, where="environment")),
        "runs": _in_order(builtin(runs, where="runs")),
        "checks": [record.to_dict() for record in records],
    }


def _in_order(value: Any) -> Any:
    """Keys sorted: whether embeddings were extracted or found on disk must not show in their order."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(item) for item in value] if isinstance(value, list) else value


def write_results(path: str | os.PathLike[str], document: Mapping[str, object]) -> None:
    """Write a document as strict JSON, whole or not at all.

    Missing folders are made. Readers see the old file or the new one, never a part of it.

    Raises
    ------
    CacheError : the file cannot be written, or the document holds what JSON cannot say.
    """
    # Through a symbolic link the file behind it is replaced, not the link.
    target = Path(os.path.realpath(path))
    try:
        text = json.dumps(document, allow_nan=False, indent=2) + "\n"
    except (TypeError, ValueError) as error:
        raise CacheError(
            f"the results for {path} are no strict JSON ({error})", remedy="report this as a bug"
        ) from None
    if target.exists() and not target.is_file():
        raise CacheError(f"the results file {path} is not a regular file", remedy="name a file")
    temporary = target.with_name(f".pathorob-checks-{secrets.token_hex(8)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except (OSError, ValueError) as error:
        raise CacheError(
            f"the results file {path} cannot be written ({getattr(error, 'strerror', None) or error})",
            remedy="name a file in a folder that you may write to",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
