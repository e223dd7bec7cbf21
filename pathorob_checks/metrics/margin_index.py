"""MaRI: the robustness index with near neighbors weighing more than far ones.

Source: Grisi et al., A distributional robustness margin for pathology foundation models, arXiv 2607.25497. A
neighbor at cosine distance d weighs exp(-d / tau), tau being the median distance of the SO and OS neighbors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.definition import Computation, Metric
from pathorob_checks.metrics.index_and_drop_work import index_work
from pathorob_checks.metrics.index_pictures import misled
from pathorob_checks.metrics.index_uncertainty import NeighborCounts, cell_values, index_uncertainty
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.intervals import CONFIDENCE, DRAWS, SEED, check_settings
from pathorob_checks.metrics.measurement import CellValue, GroupValue, Measurement, SlideValue
from pathorob_checks.metrics.needs import index_needs
from pathorob_checks.metrics.neighbor_search import NeighborSearch, cosine_distances, searched_patches
from pathorob_checks.metrics.neighborhood_size import refuse_certain_index
from pathorob_checks.metrics.neighborhoods import labels_of_neighbors
from pathorob_checks.metrics.own_cell import fixed_neighbors, no_informative_neighbor
from pathorob_checks.metrics.pictured import NearestPatches
from pathorob_checks.metrics.remedies import OTHERWISE, REPAIR_EMBEDDINGS
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import patches_text, short_text, value_text
from pathorob_checks.metrics.sums_without_units import sums_without_units
from pathorob_checks.progress import Progress
from pathorob_checks.wording import rounded_percent

if TYPE_CHECKING:
    import pandas as pd
    import torch

METRIC = "mari"
_NEAR = 0.01  # with a smaller tau the rounding of float32 would move weights
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class WeightedNeighbors(NeighborCounts):
    """Queries and their neighbor lists; `weights` (Q, L) float64 of the neighbors."""

    weights: Float64

    @property
    def metric(self) -> str:
        """Name of the metric that weighs them so."""
        return METRIC

    @cached_property
    def _terms(self) -> tuple[Float64, Float64]:
        """(Q, L) weights of the SO neighbors and of the OS neighbors, 0 elsewhere."""
        kinds = (self.same_class & ~self.same_center, ~self.same_class & self.same_center)
        so, os_ = (np.where(kind, self.weights, 0.0) for kind in kinds)
        return so, os_

    @cached_property
    def so(self) -> Float64:
        """(Q,) what SO neighbors weigh together."""
        return np.asarray(self._terms[0][:, : self.k].sum(axis=1))

    @cached_property
    def os(self) -> Float64:
        """(Q,) what OS neighbors weigh together."""
        return np.asarray(self._terms[1][:, : self.k].sum(axis=1))

    def changes_without_units(self, part: Int64, parts: int) -> Float64:
        """(units, parts, 2) change of the parts' SO and OS without each unit; `part` (Q,) of each query."""
        lengths = np.full(len(self.weights), self.weights.shape[1])
        query, unit, changes = sums_without_units(self._terms, self.neighbor_units, lengths, self.k)
        others = unit != self.query_units[query]  # a case's own queries are gone already
        place = unit[others] * parts + part[query[others]]
        own = self.query_units * parts + part
        size = len(self.units) * parts
        both = [
            np.bincount(place, change[others], minlength=size) - np.bincount(own, whole, minlength=size)
            for change, whole in zip(changes, (self.so, self.os), strict=True)
        ]
        return np.stack(both, axis=1).reshape(len(self.units), parts, 2)


@dataclass(frozen=True, kw_only=True)
class MarginAwareIndex:
    """Result of `margin_aware_index`.

    Attributes
    ----------
    value : float
        Index at `k`, 0 (center only) to 1 (biology only); 0.5 is balance.
    k : int
        Number of neighbors.
    tau : float
        Median cosine distance of the SO and OS neighbors, at which a weight is 1 / e; 0 where half of them
        lie at distance 0, and all weigh the same.
    support : float
        Share (0 to 1) of patches with at least one SO or OS neighbor among their k.
    interval : tuple of (float, float) or None
        At `confidence`, for slides drawn anew; None where no cell has two slides, or without draws.
    interval_note : str
        How it was made and what it leaves out.
    confidence : float
        Of the intervals, between 0 and 1.
    cells : tuple of CellValue
        Centers x classes, lowest index first.
    slides : tuple of SlideValue
        Those that lower the index most, worst first.
    groups : mapping of str to tuple of GroupValue
        Index by "medical_center" and by "biological_class" of the queries, lowest first.
    rows : int
        Number of queries: all in-domain patches.
    left_out : int
        Number of out-of-domain patches of the table, which it does not read.
    paired : bool
        Whether neighbors were sought inside each subset.
    resampling : Resampling or None
        Effects of the slides, for paired intervals; None without draws.
    nearest : tuple of NearestPatches
        Patches whose OS neighbors outweigh the SO neighbors most, each from another slide.

    See Also
    --------
    margin_aware_index : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import margin_aware_index
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> result = margin_aware_index(embeddings, patches, k=5)
    >>> result.k, result.support
    (5, 0.95)
    >>> list(result.measurements())
    ['mari']
    """

    value: float
    k: int
    tau: float
    support: float
    interval: tuple[float, float] | None
    interval_note: str
    confidence: float
    cells: tuple[CellValue, ...]
    slides: tuple[SlideValue, ...]
    groups: Mapping[str, tuple[GroupValue, ...]]
    rows: int
    left_out: int
    paired: bool
    resampling: Resampling | None
    nearest: tuple[NearestPatches, ...]

    def __repr__(self) -> str:
        rests_on = (
            f"k = {self.k}, tau = {self.tau:.3g}, support {rounded_percent(self.support)}, "
            f"{patches_text(self.rows)}"
        )
        return short_text(
            "MarginAwareIndex", value_text(self.value, self.interval, self.confidence), rests_on
        )

    def measurements(self) -> dict[str, Measurement]:
        """Return the measurement by the metric's name, as every result has it.

        Returns
        -------
        dict of str to Measurement
            With the key `mari` alone.
        """
        measurement = Measurement(
            metric=METRIC,
            value=self.value,
            interval=self.interval,
            support=self.support,
            rows=self.rows,
            protocol={"k": self.k, "paired": self.paired, "tau": round(self.tau, 6)},
            cells=self.cells,
            interval_note=self.interval_note,
            confidence=self.confidence,
            resampling=self.resampling,
            slides=self.slides,
            groups=self.groups,
            nearest=self.nearest,
        )
        return {METRIC: measurement}


def margin_aware_index(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    k: int | None = None,
    paired: bool | None = None,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = SEED,
    neighbors: NeighborSearch | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> MarginAwareIndex:
    """Margin-aware robustness index (MaRI) of embeddings on a cohort.

    As the robustness index, but a neighbor at cosine distance d counts exp(-d / tau) instead of 1, where
    tau is the median distance of the SO and OS neighbors among the k nearest of all patches [1]_.

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        NumPy array or PyTorch tensor of any float dtype, read as float32, raw (directions count only).
    patches : pandas.DataFrame
        N rows with the columns `slide_id`, `biological_class`, `medical_center` and optionally `subset`,
        `patch_id`, and `case_id` where a patient has several slides; row i describes embedding i. Rows with
        the subset `OOD` are left out.
    k : int, optional
        Number of neighbors; None is that of the table, as in `robustness_index`.
    paired : bool, optional
        Seek neighbors inside each value of `subset` and pool the weights. None does so where in-domain
        patches have subsets of other names than `ID`.
    confidence : float, default 0.95
        Of the intervals, between 0 and 1.
    draws : int, default 2000
        Of the bootstrap over slides. 0 draws leave intervals out.
    seed : int, default 17845
        Of the draws, from a NumPy generator of their own.
    neighbors : NeighborSearch, optional
        Shared with other metrics of the same embeddings and table. None searches for this call alone.
    device : str or torch.device, optional
        Where to compute; None takes the GPU where there is one.
    progress : callable, optional
        Wraps the products of blocks of patches (iterable, total, description), to show a bar.

    Returns
    -------
    MarginAwareIndex
        The index with its interval, support, cells, slides and groups.

    Raises
    ------
    MetricError
        As in `robustness_index`.

    See Also
    --------
    robustness_index : Counts each neighbor as 1.
    robustness_margin : A margin for every patch, also where none of the k neighbors is informative.

    Notes
    -----
    Distances are 1 less the float32 product of the directions, at most 2e-6 off, or in float64 where tau is
    below 0.01. In the interval tau stays as
    it is; the rest is as in `robustness_index`.

    References
    ----------
    .. [1] Grisi et al. 2026. A distributional robustness margin for pathology foundation models. arXiv
       2607.25497.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import margin_aware_index
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> result = margin_aware_index(embeddings, patches, k=5)
    >>> round(result.value, 2)
    0.69
    """
    if draws:
        check_settings(confidence, METRIC, draws)
    searched = searched_patches(embeddings, patches, METRIC, paired=paired)
    number, _ = searched.lists.reach(k, None)
    refuse_certain_index(searched.read, searched.lists)
    if number is None:
        raise MetricError(f"{METRIC}: k is {k!r}", remedy="give a whole number of 1 or more, or None")
    length = searched.length(number) if draws else number
    listed = (neighbors or NeighborSearch()).lists(searched, length, device, progress)
    labelled = labels_of_neighbors(searched, listed.rows)
    informative = labelled["same_class"] != labelled["same_center"]
    if not informative[:, :number].any():
        raise no_informative_neighbor(searched, METRIC, number, labelled["same_class"][:, :number])
    distances = listed.distances.astype(np.float64)
    tau = float(np.median(distances[:, :number][informative[:, :number]]))
    if tau < _NEAR:
        query, rank = np.nonzero(informative)
        others = listed.rows[query, rank]
        distances[query, rank] = cosine_distances(searched.array, listed.queries[query], others)
        tau = float(np.median(distances[:, :number][informative[:, :number]]))
    weights = np.exp(-distances / tau) if tau > 0 else np.ones(distances.shape)
    counted = WeightedNeighbors(k=number, weights=weights, **labelled)
    protocol = {"k": number, "paired": searched.paired, **searched.units.protocol}
    uncertainty = index_uncertainty(counted, confidence, draws, seed, protocol)
    read, rows = searched.read, searched.queries
    support = float(informative[:, :number].any(axis=1).mean())
    reach_of_k = {"neighbors": fixed_neighbors(searched, number, support)}
    return MarginAwareIndex(
        # Of the effects where there are some: another order of summands would give another last digit.
        value=float(counted.so.sum() / (counted.so.sum() + counted.os.sum()))
        if uncertainty.resampling is None
        else uncertainty.resampling.value,
        k=number,
        tau=tau,
        support=support,
        interval=uncertainty.interval,
        interval_note=uncertainty.note,
        confidence=confidence,
        cells=cell_values(counted),
        slides=uncertainty.slides,
        groups=uncertainty.groups,
        rows=len(rows),
        left_out=read.left_out,
        paired=searched.paired,
        resampling=uncertainty.resampling and uncertainty.resampling.model_copy(update=reach_of_k),
        nearest=misled(counted, read.rows[rows], read.rows[listed.rows]),
    )


_MARGIN = 0.02  # as of the robustness index


def _meaning(value: float) -> str:
    if abs(value - 0.5) < _MARGIN:
        balance = "biology and medical center weigh about the same"
    else:
        balance = f"the {'biology' if value > 0.5 else 'medical center'} outweighs the " + (
            "medical center" if value > 0.5 else "biology"
        )
    return (
        f"{rounded_percent(value)} of the weight of the nearest neighbors that share exactly one of class "
        f"and center with the patch, near ones weighing more, is of those that share the class: {balance}"
    )


METRICS = (
    Metric(
        name=METRIC,
        label="margin-aware index",
        computation=Computation(
            name=METRIC,
            function=margin_aware_index,
            view="robustness_index",
            columns=("slide_id", "biological_class", "medical_center", "subset"),
            design=("k", "paired"),
            settings={"draws": DRAWS, "seed": SEED},
            takes_neighbors=True,
            work=index_work,
        ),
        lowest=0.0,
        highest=1.0,
        neutral=0.5,
        margin=_MARGIN,
        meaning=_meaning,
        remedies=(
            "Compare it with the robustness index: if it is lower, the nearest neighbors are those of the "
            "same medical center.",
            "Stain normalization (Reinhard) before embedding usually raises it; check that the classes stay "
            "separable.",
            "Otherwise retrain with data of more centers, or use another FM.",
        ),
        remedies_without_images=(
            "Compare it with the robustness index: if it is lower, the nearest neighbors are those of the "
            "same medical center.",
            REPAIR_EMBEDDINGS,
            OTHERWISE,
        ),
        needs=index_needs,
        guaranteed=lambda p: p,
    ),
)
