"""The batch size at which a model's memory was enough, remembered between runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from pathorob_checks.canonical import digest_of
from pathorob_checks.embeddings.ownership import FILE_MODE, make_folder
from pathorob_checks.files import write_atomically


class BatchSizes:
    """The batch size of one model on this machine's device, in a file under a root folder.

    It is only a hint: a file that cannot be read or written counts as no file.
    """

    def __init__(self, root: Path, identity: Mapping[str, object]) -> None:
        digest = digest_of({"model": identity, "device": _device()})
        self._root = root
        self._path = root / "batch-sizes" / f"{digest}.json"

    def usable(self, requested: int) -> int:
        """`requested`, or the smaller size that was remembered."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            return max(1, min(requested, int(json.loads(self._path.read_bytes())["batch_size"])))
        return requested

    def remember(self, size: int, *, instead_of: int) -> None:
        """Keep `size` for later runs if it is smaller than the requested one."""
        with contextlib.suppress(OSError):
            if size < instead_of:
                make_folder(self._root, self._path.parent)
                write_atomically(self._path, json.dumps({"batch_size": size}).encode(), FILE_MODE)


def _device() -> dict[str, object]:
    import torch

    if not torch.cuda.is_available():
        return {"name": "cpu"}
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {"name": properties.name, "memory": properties.total_memory}
