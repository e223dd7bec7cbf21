"""The batch size at which a model's memory was enough, remembered between runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pathorob_checks.embeddings.files import write
from pathorob_checks.embeddings.identity import canonical_json


class BatchSizes:
    """What is known of one model on this machine's device, under a root folder.

    It is a hint and nothing else: what cannot be read or written is as good as unknown.
    """

    def __init__(self, root: Path, identity: Mapping[str, object]) -> None:
        about = canonical_json({"model": identity, "device": _device()})
        self._path = root / "batch-sizes" / f"{hashlib.sha256(about.encode()).hexdigest()}.json"

    def usable(self, wanted: int) -> int:
        """`wanted`, or fewer where so many were too many before."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            return max(1, min(wanted, int(json.loads(self._path.read_bytes())["batch_size"])))
        return wanted

    def remember(self, size: int, *, instead_of: int) -> None:
        """Note `size` if it is less than was wanted; forget an older note if not."""
        with contextlib.suppress(OSError):
            if size < instead_of:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write(self._path, json.dumps({"batch_size": size}).encode())


def _device() -> dict[str, object]:
    import torch

    if not torch.cuda.is_available():
        return {"name": "cpu"}
    about = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {"name": about.name, "memory": about.total_memory}
