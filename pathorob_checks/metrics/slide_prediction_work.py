"""How long the slide-level predictions take, from the table of patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pathorob_checks.metrics.definition import Work
from pathorob_checks.subsets import OUT_OF_DOMAIN
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    import pandas as pd

# On 2 cores at dimension 1,536, from docs/metrics.md, with all splits and repetitions.
_SECONDS_PER_PATCH = 0.027
_MOST_PATCHES = 64  # of a bag that a step reads (numerics.attention_pooling)


def prediction_work(patches: pd.DataFrame) -> Work:
    """By the in-domain patches that a step could read: about the same share trains in every schedule."""
    inside = patches[patches.subset != OUT_OF_DOMAIN]
    sizes = inside.groupby(["slide_id", "biological_class"], observed=True).size().to_numpy()
    return Work(
        text=f"models of {counted(len(sizes), 'bag')} of patches",
        seconds=_SECONDS_PER_PATCH * float(np.minimum(sizes, _MOST_PATCHES).sum()),
    )
