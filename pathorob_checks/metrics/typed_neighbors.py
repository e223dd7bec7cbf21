"""The nearest patches that share exactly one of class and center with a patch, however far they are.

SO neighbors share the biological class and come from other centers, OS neighbors share the medical center
and have another class. The lists of all neighbors end before most patches have several of either type, so
both types are searched for: SO among the patches of the class, OS among those of the center. Together these
are half of all pairs where there are two classes in two centers, and fewer where there are more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.progress import Progress

if TYPE_CHECKING:
    import torch

    from pathorob_checks.metrics.neighbor_search import SearchedPatches


@dataclass(frozen=True, kw_only=True)
class TypedNeighbors:
    """The nearest SO and OS neighbors of Q patches, none of them of the patch's own slide.

    Attributes
    ----------
    queries : (Q,) int64 ndarray
        Row of `SearchedPatches.array` of each query.
    so, os : (Q, L) int64 ndarray
        Rows of the neighbors of each type, nearest first; -1 where there are no more.
    """

    queries: Int64
    so: Int64
    os: Int64


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Patches of a part that share a label: neighbors are sought among them, outside of their own groups."""

    members: Int64
    places: Int64  # of the members among all queries
    lists: Int64  # where theirs are written
    groups: Int64


def typed_neighbors(
    patches: SearchedPatches,
    count: int,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> TypedNeighbors:
    """Search the `count` nearest neighbors of both types of every query.

    Parameters
    ----------
    patches : in the paired design, neighbors are sought inside each part.
    count : number of neighbors of each type; queries that have fewer end with -1.
    device, progress : as in `NeighborSearch.lists`.
    """
    from pathorob_checks.metrics.neighbor_lists import unit_rows
    from pathorob_checks.numerics import device as devices
    from pathorob_checks.numerics import threads
    from pathorob_checks.numerics.neighbors import NONE, finish, nearest_neighbors

    of_types = TypedNeighbors(
        queries=patches.queries,
        so=np.full((len(patches.queries), count), NONE),
        os=np.full((len(patches.queries), count), NONE),
    )
    blocks, chosen = list(_blocks(patches, of_types)), devices.choose(device)
    many = len(blocks) > 2 * len(patches.read.classes) + 2 * len(patches.read.centers)

    def search(block: _Block) -> None:
        points, most = unit_rows(patches.array[block.members]), min(count, len(block.members) - 1)
        nearest = finish(nearest_neighbors(points, block.groups, most, chosen, alone=not many)).rows
        block.lists[block.places, :most] = np.where(nearest == NONE, NONE, block.members[nearest])

    spread = many and chosen.type == "cpu"
    work: Iterable[None] = threads.spread(search, blocks) if spread else map(search, blocks)
    with devices.full_precision():
        for _ in work if progress is None else progress(work, len(blocks), "neighbors of each type"):
            pass
    return of_types


def _blocks(patches: SearchedPatches, of_types: TypedNeighbors) -> Iterator[_Block]:
    classes, centers, slides = patches.read.classes.codes, patches.read.centers.codes, patches.slides.codes
    start = 0
    for part in patches.lists.parts:
        for shared, others, lists in ((classes, centers, of_types.so), (centers, classes, of_types.os)):
            for label in np.unique(shared[part]):
                here = np.flatnonzero(shared[part] == label)
                members = part[here]
                if len(np.unique(others[members])) > 1:
                    groups = np.stack([others[members], slides[members]])
                    yield _Block(members=members, places=start + here, lists=lists, groups=groups)
        start += len(part)
