"""How an extraction is divided into shards, and what the file of a shard holds.

A shard is embedded and written as a whole, and embedded again as a whole when its file is damaged. Shards
follow the order in which the images are read and have a fixed number of patches. So batches, and with them
the last bits of an embedding, are the same whether an extraction was interrupted or not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from pathorob_checks.canonical import canonical_json, digest_of

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort

SHARD_PATCHES = 256  # a multiple of the usual batch sizes; 1.5 MB at dimension 1,536
PATTERN = "shard-*.safetensors"
_TENSOR, _METADATA = "embeddings", "pathorob-checks"

Float32 = npt.NDArray[np.float32]

# Errors of reading a damaged file: it is missing, is not JSON or safetensors, or is incomplete.
DAMAGE = (OSError, ValueError, LookupError, TypeError, RecursionError, safetensors.SafetensorError)


@dataclass(frozen=True)
class ShardPlan:
    """The patches of an extraction, divided into shards.

    Attributes
    ----------
    key : what the embeddings are stored under.
    names : N patch keys in the order in which they are embedded.
    size : patches per shard; the last one has the remaining patches.
    """

    key: str
    names: tuple[str, ...]
    size: int = SHARD_PATCHES

    def __len__(self) -> int:
        return -(-len(self.names) // self.size)

    def patches(self, shard: int) -> tuple[str, ...]:
        """Patch keys of one shard, in order."""
        return self.names[shard * self.size : (shard + 1) * self.size]

    def count(self, shards: Sequence[int]) -> int:
        """Number of patches in these shards."""
        return sum(len(self.patches(shard)) for shard in shards)


@dataclass(frozen=True)
class ShardRows:
    """A plan and the rows of its patches in a cohort."""

    plan: ShardPlan
    cohort: Cohort

    @cached_property
    def _row(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.cohort.keys)}

    def rows(self, shard: int) -> list[int]:
        """Row numbers in the cohort of a shard's patches, in the plan's order."""
        return [self._row[name] for name in self.plan.patches(shard)]


def plan_of(cohort: Cohort, key: str, size: int = SHARD_PATCHES) -> ShardPlan:
    """The plan for a cohort. It does not follow the table's order, so that no bit depends on that order."""
    if cohort.reading_order is None:
        return ShardPlan(key, tuple(sorted(cohort.keys)), size)
    keys = cohort.keys
    return ShardPlan(key, tuple(keys[int(row)] for row in cohort.reading_order()), size)


def file_name(shard: int) -> str:
    """Name of a shard's file."""
    return f"shard-{shard:05}.safetensors"


def digest(values: Float32) -> str:
    """SHA-256 (hex) of the values' bytes in memory."""
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def pack(plan: ShardPlan, shard: int, values: Float32) -> bytes:
    """The content of a shard's file: its values, the key, the patches' digest and the values' digest."""
    metadata = canonical_json({**_metadata(plan, shard), "sha256": digest(values)})
    return safetensors.numpy.save({_TENSOR: np.ascontiguousarray(values)}, metadata={_METADATA: metadata})


def unpack(plan: ShardPlan, shard: int, path: Path) -> tuple[Float32, str]:
    """Values and their digest from the (memory-mapped) file of a shard.

    Raises
    ------
    One of `DAMAGE` : it is missing or damaged, or belongs to another extraction.
    """
    with safetensors.safe_open(path, framework="np") as file:
        metadata = json.loads((file.metadata() or {})[_METADATA])
        values: Float32 = file.get_tensor(_TENSOR)
    stated = metadata.pop("sha256", None)
    expect(metadata == _metadata(plan, shard), "it belongs to another extraction")
    expect(values.dtype == np.float32 and values.ndim == 2, "it does not hold a float32 matrix")
    expect(len(values) == len(plan.patches(shard)), "it has a wrong number of rows")
    expect(digest(values) == stated, "its values do not match its digest")
    return values, stated


def _metadata(plan: ShardPlan, shard: int) -> dict[str, object]:
    return {"key": plan.key, "patches": digest_of(plan.patches(shard)), "shard": shard}


def expect(condition: bool, problem: str) -> None:
    """Raise a ValueError with the text `problem` unless the condition holds."""
    if not condition:
        raise ValueError(problem)
