"""How long the robustness index and the performance drop take, from the table of patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathorob_checks.metrics.definition import Work
from pathorob_checks.subsets import OUT_OF_DOMAIN
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    import pandas as pd

# Seconds on 2 cores at dimension 1,536, from docs/performance.md.
_SECONDS_PER_PAIR, _SECONDS_PER_QUERY = 4.5e-9, 1e-5
_SECONDS_PER_ROW_AND_CLASS = 1e-3


def index_work(patches: pd.DataFrame) -> Work:
    """As if neighbors were sought among all patches, which takes longest."""
    return Work(
        text=f"neighbors of {counted(len(patches), 'patch', 'patches')}",
        seconds=_SECONDS_PER_PAIR * len(patches) ** 2 + _SECONDS_PER_QUERY * len(patches),
    )


def drop_work(patches: pd.DataFrame) -> Work:
    """By the in-domain patches, of which about the same share trains in every schedule."""
    inside = patches[patches.subset != OUT_OF_DOMAIN]
    classes = int(inside.biological_class.nunique())
    return Work(
        text=f"classifiers of {counted(classes, 'class', 'classes')}",
        seconds=_SECONDS_PER_ROW_AND_CLASS * len(inside) * (classes if classes > 2 else 1),
    )
