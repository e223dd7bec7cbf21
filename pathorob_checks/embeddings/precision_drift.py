"""How embeddings in a lower precision differ from those in fp32, on some of a cohort's patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from pathorob_checks.embeddings.shards import Float32
from pathorob_checks.embeddings.variations import embed, relative, sample
from pathorob_checks.errors import EmbeddingError, ModelError, PathorobChecksError
from pathorob_checks.progress import Progress

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.models.foundation_model import FoundationModel

PATCHES = 512
LEAST_NEIGHBORS = 5
# A cosine of 0.99 is a relative error of 14 %; in bf16, where each step rounds by 0.4 %, sound networks stay
# above 0.999.
LEAST_COSINE = 0.99

# Embeddings, patches, number of neighbors (None: the usual one), whether the design is paired ->
# robustness index, number of neighbors. The caller provides it, because this package of embeddings does not
# depend on metrics.
IndexOf = Callable[[Float32, "pd.DataFrame", int | None, bool], tuple[float, int]]


class PrecisionDrift(BaseModel):
    """How far embeddings in `precision` are from those in fp32.

    Attributes
    ----------
    patches : number of patches that were compared, spread over the slides of the robustness index's view.
    cosine_min, cosine_median : between the two embeddings of a patch.
    error_median, error_max : relative, the length of the difference over that of the fp32 embedding.
    k : number of neighbors on these patches, the view's scaled with their number, at least 5.
    robustness_index, robustness_index_fp32 : on these patches; None where it is not defined.
    reason : why it is not defined; empty otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    precision: str
    patches: int
    cosine_min: float
    cosine_median: float
    error_median: float
    error_max: float
    k: int | None
    robustness_index: float | None
    robustness_index_fp32: float | None
    reason: str = ""

    def by_metric(self) -> dict[str, float]:
        """Absolute drift of each metric for which it is known, in the metric's own unit."""
        if self.robustness_index is None or self.robustness_index_fp32 is None:
            return {}
        return {"robustness_index": abs(self.robustness_index - self.robustness_index_fp32)}

    def check(self) -> None:
        """Raise EmbeddingError where the embeddings differ by more than rounding explains."""
        if not self.cosine_min >= LEAST_COSINE:
            raise EmbeddingError(
                f"{self.precision} and fp32 give different embeddings: the smallest cosine between them is "
                f"{self.cosine_min:.4f} where at least {LEAST_COSINE} is needed (median "
                f"{self.cosine_median:.4f}, {self.patches} patches)",
                remedy="compute in another precision, e.g. --fm-precision=fp32",
            )


@dataclass(frozen=True)
class Excerpt:
    """The patches that two precisions are compared on.

    Attributes
    ----------
    rows : (n,) int64, rows of the cohort, in the order in which their images are read.
    positions : (m,) int64, for each row of the view that is kept, where its patch is in `rows`.
    patches : (m, ...) those rows of the view.
    k : number of neighbors; None is the usual one of these patches.
    paired : see `cohort.View`.
    """

    rows: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    patches: pd.DataFrame
    k: int | None
    paired: bool


def excerpt_of(cohort: Cohort) -> Excerpt:
    """Up to `PATCHES` patches of the robustness index's view, spread over its slides."""
    view = cohort.views["robustness_index"]
    present = np.unique(view.rows)
    keys, slides = cohort.keys, cohort.patches.slide_id.to_numpy()
    chosen = present[sample([keys[row] for row in present], slides[present], PATCHES)]
    order = cohort.reading_order() if cohort.reading_order else np.array(sorted(chosen, key=keys.__getitem__))
    rows = order[np.isin(order, chosen)].astype(np.int64)
    kept = np.isin(view.rows, rows)
    position_of = {int(row): n for n, row in enumerate(rows)}
    share = float(kept.mean())
    return Excerpt(
        rows=rows,
        positions=np.array([position_of[int(row)] for row in view.rows[kept]], dtype=np.int64),
        patches=view.patches[kept].reset_index(drop=True),
        # Neighborhoods with the same share of all patches have about the same radius.
        k=None if view.k is None else min(view.k, max(LEAST_NEIGHBORS, round(view.k * share))),
        paired=view.paired,
    )


def precision_drift(
    name: str,
    model: FoundationModel,
    precision: str,
    cohort: Cohort,
    excerpt: Excerpt,
    stored: Float32,
    index_of: IndexOf,
    *,
    batch_size: int,
    threads: int,
    progress: Progress | None = None,
) -> PrecisionDrift:
    """Embed the excerpt in fp32 and compare with the stored embeddings.

    Parameters
    ----------
    model : in the lower precision; its `in_fp32()` is the model that it is compared with.
    stored : (n, D) float32, the excerpt's rows as they were extracted in the lower precision.
    index_of : computes the robustness index; an error of this package means that it is not defined here.

    Raises
    ------
    ModelError : the model has no fp32 form, or fails.
    """
    in_fp32 = getattr(model, "in_fp32", None)
    if in_fp32 is None:
        raise ModelError(
            f"{name} computes in {precision} and has no fp32 form to compare with",
            remedy="leave --fm-precision out",
        )
    keys = [cohort.keys[row] for row in excerpt.rows]
    full = embed(name, in_fp32(), cohort, keys, batch_size=batch_size, threads=threads, progress=progress)
    errors = relative(stored, full)
    lengths = np.linalg.norm(stored.astype(np.float64), axis=1) * np.linalg.norm(
        full.astype(np.float64), axis=1
    )
    cosines = np.einsum("nd,nd->n", stored.astype(np.float64), full) / lengths
    index = index_fp32 = k = None
    reason = ""
    try:
        index_fp32, k = index_of(full[excerpt.positions], excerpt.patches, excerpt.k, excerpt.paired)
        index, _ = index_of(stored[excerpt.positions], excerpt.patches, k, excerpt.paired)
    except PathorobChecksError as error:
        reason = str(error)
    return PrecisionDrift(
        precision=precision,
        patches=len(keys),
        cosine_min=float(cosines.min()),
        cosine_median=float(np.median(cosines)),
        error_median=float(np.median(errors)),
        error_max=float(errors.max()),
        k=k,
        robustness_index=index,
        robustness_index_fp32=index_fp32,
        reason=reason,
    )
