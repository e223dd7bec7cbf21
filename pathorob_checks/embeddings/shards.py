"""How an extraction is cut into shards, and what the file of a shard holds.

A shard is what is embedded, written and, when it is damaged, repeated as one. Shards follow the order in
which the images are read and have a fixed number of patches, so that batches, and with them the last bits
of an embedding, are the same whether an extraction ran through or was interrupted.
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

from pathorob_checks.embeddings.identity import canonical_json

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort

SHARD_PATCHES = 256  # a multiple of the usual batch sizes; 1.5 MB at dimension 1,536
PATTERN = "shard-*.safetensors"
_TENSOR, _ABOUT = "embeddings", "pathorob-checks"

Float32 = npt.NDArray[np.float32]

# What reading a damaged file raises: it is gone, no JSON, no safetensors, or lacks a piece.
DAMAGE = (OSError, ValueError, LookupError, TypeError, RecursionError, safetensors.SafetensorError)


@dataclass(frozen=True)
class ShardPlan:
    """The patches of an extraction, cut into shards.

    Attributes
    ----------
    key : what the embeddings are stored under.
    names : N patch keys in the order in which they are embedded.
    size : patches per shard; the last one has what is left.
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
    """A plan together with where each shard's patches stand in a cohort."""

    plan: ShardPlan
    cohort: Cohort

    @cached_property
    def _row(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.cohort.keys)}

    def rows(self, shard: int) -> list[int]:
        """Row numbers in the cohort of a shard's patches, in the plan's order."""
        return [self._row[name] for name in self.plan.patches(shard)]


def plan_of(cohort: Cohort, key: str, size: int = SHARD_PATCHES) -> ShardPlan:
    """The plan for a cohort: never in the table's order, because bits must not depend on that."""
    if cohort.reading_order is None:
        return ShardPlan(key, tuple(sorted(cohort.keys)), size)
    keys = cohort.keys
    return ShardPlan(key, tuple(keys[int(row)] for row in cohort.reading_order()), size)


def file_name(shard: int) -> str:
    """Name of a shard's file."""
    return f"shard-{shard:05}.safetensors"


def digest(values: Float32) -> str:
    """SHA-256 (hex) of the values as they lie in memory."""
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def pack(plan: ShardPlan, shard: int, values: Float32) -> bytes:
    """The file of a shard: its values, and whose they are."""
    about = canonical_json({**_about(plan, shard), "sha256": digest(values)})
    return safetensors.numpy.save({_TENSOR: np.ascontiguousarray(values)}, metadata={_ABOUT: about})


def unpack(plan: ShardPlan, shard: int, path: Path) -> tuple[Float32, str]:
    """Values and their digest from the (memory-mapped) file of a shard.

    Raises
    ------
    One of `DAMAGE` : it is missing or damaged, or belongs to another extraction.
    """
    with safetensors.safe_open(path, framework="np") as file:
        about = json.loads((file.metadata() or {})[_ABOUT])
        values: Float32 = file.get_tensor(_TENSOR)
    found = about.pop("sha256", None)
    expect(about == _about(plan, shard), "it is of another extraction")
    expect(values.dtype == np.float32 and values.ndim == 2, "it does not hold a float32 matrix")
    expect(len(values) == len(plan.patches(shard)), "it has another number of rows")
    expect(digest(values) == found, "it has another digest")
    return values, found


def _about(plan: ShardPlan, shard: int) -> dict[str, object]:
    patches = hashlib.sha256(canonical_json(plan.patches(shard)).encode()).hexdigest()
    return {"key": plan.key, "patches": patches, "shard": shard}


def expect(condition: bool, otherwise: str) -> None:
    """Raise a ValueError that says `otherwise` unless the condition holds."""
    if not condition:
        raise ValueError(otherwise)
