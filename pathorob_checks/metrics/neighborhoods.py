"""Robustness index: do a patch's neighbors share its biology or its medical center?

Source: PathoROB, Nature Communications 17, 5218 (2026). For every patch the k nearest neighbors from other
slides are typed by biological class and medical center: SO (same class, other center), OS (other
class, same center), SS and OO. The index is sum SO / (sum SO + sum OS).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.definition import Computation, Metric
from pathorob_checks.metrics.index_and_drop_work import index_work
from pathorob_checks.metrics.index_pictures import index_over_k, misled, shares_by_cell
from pathorob_checks.metrics.index_uncertainty import NeighborCounts, cell_values, index_uncertainty
from pathorob_checks.metrics.inputs import Int64, Labels
from pathorob_checks.metrics.intervals import CONFIDENCE, DRAWS, SEED, check_settings
from pathorob_checks.metrics.measurement import CellValue, GroupValue, Measurement, SlideValue
from pathorob_checks.metrics.needs import index_needs
from pathorob_checks.metrics.neighbor_search import NeighborSearch, SearchedPatches, searched_patches
from pathorob_checks.metrics.neighborhood_shares import Neighborhoods, best_k, neighborhoods, vote_accuracy
from pathorob_checks.metrics.neighborhood_size import METRIC, ChosenK, refuse_certain_index
from pathorob_checks.metrics.own_cell import fixed_neighbors, no_informative_neighbor
from pathorob_checks.metrics.pictured import Curve, Grid, NearestPatches
from pathorob_checks.metrics.published import published_scores
from pathorob_checks.metrics.remedies import OTHERWISE, REPAIR_EMBEDDINGS
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import patches_text, short_text, value_text
from pathorob_checks.metrics.slide_effects import spare_ranks
from pathorob_checks.progress import Progress
from pathorob_checks.wording import rounded_percent

if TYPE_CHECKING:
    import pandas as pd
    import torch

Float64 = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class RobustnessIndex:
    """Result of `robustness_index`.

    Attributes
    ----------
    value : float
        Index at `k`, 0 (center only) to 1 (biology only); 0.5 is balance.
    k : int
        Number of neighbors.
    support : float
        Share (0 to 1) of patches with at least one SO or OS neighbor among their k.
    interval : tuple of (float, float) or None
        At `confidence`, for slides drawn anew; None where no cell has two slides, or without draws.
    interval_note : str
        How it was made and what it leaves out.
    confidence : float
        Of the intervals, between 0 and 1.
    balanced_accuracy : float
        Of the majority vote of the k neighbors, ties to the lowest label; 0 to 1.
    by_k : (largest k,) ndarray of float64
        The index at k = 1, 2, ...; NaN where undefined.
    over_k : Curve
        The index for each number of neighbors that was read, which may be more than `by_k` has.
    neighborhoods : Neighborhoods
        Shares of the four types at every k, and the figures derived from them.
    cells : tuple of CellValue
        Centers x classes, lowest index first; cells without SO and OS neighbors are left out.
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
    by_cell : Grid
        Shares of the four types among the k neighbors, by center and class of the patch.
    nearest : tuple of NearestPatches
        Patches with most OS and fewest SO neighbors, each from another slide, with their first neighbors.

    See Also
    --------
    robustness_index : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import robustness_index
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> result = robustness_index(embeddings, patches, k=5)
    >>> result.k, result.support, result.by_k.shape
    (5, 0.95, (5,))
    >>> result.groups["medical_center"][0].name  # the center with the lowest index
    'Bonn'
    >>> result.measurements()["robustness_index"] == result.measurement()
    True
    """

    value: float
    k: int
    support: float
    interval: tuple[float, float] | None
    interval_note: str
    confidence: float
    balanced_accuracy: float
    by_k: Float64
    over_k: Curve
    neighborhoods: Neighborhoods
    cells: tuple[CellValue, ...]
    slides: tuple[SlideValue, ...]
    groups: Mapping[str, tuple[GroupValue, ...]]
    rows: int
    left_out: int
    paired: bool
    resampling: Resampling | None
    by_cell: Grid
    nearest: tuple[NearestPatches, ...]

    def __repr__(self) -> str:
        rests_on = f"k = {self.k}, support {rounded_percent(self.support)}, {patches_text(self.rows)}"
        return short_text("RobustnessIndex", value_text(self.value, self.interval, self.confidence), rests_on)

    def measurements(self) -> dict[str, Measurement]:
        """Return the measurement by the metric's name, as every result has it.

        Returns
        -------
        dict of str to Measurement
            With the key `robustness_index` alone.
        """
        return {METRIC: self.measurement()}

    def measurement(self) -> Measurement:
        """Return the value as criteria and reports take it.

        Returns
        -------
        Measurement
            Of the metric `robustness_index`.
        """
        return Measurement(
            metric=METRIC,
            value=self.value,
            interval=self.interval,
            support=self.support,
            rows=self.rows,
            protocol={"k": self.k, "paired": self.paired, "balanced_accuracy": self.balanced_accuracy},
            cells=self.cells,
            interval_note=self.interval_note,
            confidence=self.confidence,
            resampling=self.resampling,
            slides=self.slides,
            groups=self.groups,
            curves=(self.over_k,),
            grids=(self.by_cell,),
            nearest=self.nearest,
        )


def robustness_index(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    k: ChosenK = None,
    paired: bool | None = None,
    largest_k: int | None = None,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = SEED,
    neighbors: NeighborSearch | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> RobustnessIndex:
    """Robustness index of embeddings on a cohort.

    For every patch the k nearest neighbors from other slides are typed by biological class and medical
    center: SO (same class, other center), OS (other class, same center), SS and OO. The index is sum SO /
    (sum SO + sum OS) [1]_.

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        NumPy array or PyTorch tensor of any float dtype, read as float32, raw (they are L2-normalised here).
    patches : pandas.DataFrame
        N rows with the columns `slide_id`, `biological_class`, `medical_center` and optionally `subset`,
        `patch_id`, and `case_id` where a patient has several slides; row i describes embedding i. Rows with
        the subset `OOD` are left out.
    k : int or 'best', optional
        Number of neighbors. None is 11 for every table that allows it, whatever the FM: less where the
        smallest biological class has fewer patches, or the largest slide fewer patches on other slides.
        'best' searches the grid 1, 3, 5, 7, 9, 11, 21, 31, ... up to `largest_k` for the k whose majority
        vote has the best balanced accuracy, among those for which the index is defined; it differs between
        FMs.
    paired : bool, optional
        Seek neighbors inside each value of `subset` and pool the counts. None does so where in-domain patches
        have subsets of other names than `ID`.
    largest_k : int, optional
        Up to where `by_k` and the search for k go. Default: k itself; for 'best', the size of the smallest
        biological class, as far as the neighbor lists reach.
    confidence : float, default 0.95
        Of the intervals, between 0 and 1.
    draws : int, default 2000
        Of the bootstrap over slides. 0 draws leave intervals out, and with them the longer neighbor lists
        that they need: the value alone, in less time.
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
    RobustnessIndex
        The index with its interval, support, cells, slides and groups.

    Raises
    ------
    MetricError
        Fewer neighbors than k, one class or one center only (also in a paired subset), no informative
        neighbor at all, labels that alone decide the index (no center with two classes, no class in two
        centers), a confidence outside 0 to 1, too few draws, embeddings with NaN or infinity, a slide
        of two cases, a table that does not fit the embeddings, or labels that are ambiguous: an unknown
        subset, a slide in two centers, a patch twice; or `neighbors` were searched for other embeddings.

    Notes
    -----
    The interval is about other slides from the same centers and classes, or other cases (patients) where
    `patches` has the column `case_id`: the effect of one is the change of the log odds SO / OS when it is
    left out both as queries and as neighbors; effects are drawn with replacement within center x class. An
    index of exactly 0 or 1 has the interval of as many yes/no trials as slides (cases) have informative
    neighbors [2]_.

    References
    ----------
    .. [1] PathoROB. Nature Communications 17, 5218 (2026).
    .. [2] Clopper and Pearson 1934. The use of confidence or fiducial limits illustrated in the case of the
       binomial. Biometrika 26, 404-413.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import robustness_index
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> result = robustness_index(embeddings, patches, k=5)
    >>> round(result.value, 2)
    0.65
    >>> result.interval[0] < 0.65 < result.interval[1]
    True
    """
    if draws:
        check_settings(confidence, METRIC, draws)
    searched = searched_patches(embeddings, patches, METRIC, paired=paired)
    read, units, paired = searched.read, searched.units, searched.paired
    classes = read.classes
    fixed_k, reach = searched.lists.reach(k, largest_k)
    refuse_certain_index(read, searched.lists)

    spare = spare_ranks(fixed_k or reach, searched.largest_unit) if draws else 0
    length = min(searched.lists.longest, max(reach, (fixed_k or 0) + spare))
    rows = searched.queries
    listed = (neighbors or NeighborSearch()).lists(searched, length, device, progress).rows
    neighbor_classes = _narrow(classes)[listed]
    labelled = labels_of_neighbors(searched, listed)
    same_class, same_center = labelled["same_class"], labelled["same_center"]
    shares = neighborhoods(same_class[:, :reach], same_center[:, :reach])
    truth = classes.codes[rows]
    k = fixed_k
    if k is None:
        k = best_k(shares, neighbor_classes[:, :reach], truth, len(classes))
    counted = NeighborCounts(k=k, **labelled)
    if counted.so.sum() + counted.os.sum() == 0:
        raise no_informative_neighbor(searched, METRIC, k, same_class[:, :k])
    protocol = {"k": k, "paired": paired, **units.protocol}
    uncertainty = index_uncertainty(counted, confidence, draws, seed, protocol)
    value = float(shares.robustness_index[k - 1])
    support = float(((counted.so + counted.os) > 0).mean())
    reach_of_k = {"value": value, "neighbors": fixed_neighbors(searched, k, support)}
    return RobustnessIndex(
        value=value,
        k=k,
        support=support,
        interval=uncertainty.interval,
        interval_note=uncertainty.note,
        confidence=confidence,
        balanced_accuracy=vote_accuracy(neighbor_classes[:, :k], truth, len(classes)),
        by_k=shares.robustness_index,
        over_k=index_over_k(neighborhoods(same_class, same_center).robustness_index, k),
        neighborhoods=shares,
        cells=cell_values(counted),
        slides=uncertainty.slides,
        groups=uncertainty.groups,
        rows=len(rows),
        left_out=read.left_out,
        paired=paired,
        resampling=uncertainty.resampling and uncertainty.resampling.model_copy(update=reach_of_k),
        by_cell=shares_by_cell(counted),
        nearest=misled(counted, read.rows[rows], read.rows[listed]),
    )


def labels_of_neighbors(searched: SearchedPatches, listed: Int64) -> dict[str, Any]:
    """What `NeighborCounts` takes besides k, for (Q, L) rows of neighbors."""
    read, rows, units, slides = searched.read, searched.queries, searched.units, searched.slides
    return {
        "same_class": _narrow(read.classes)[listed] == _narrow(read.classes)[rows, None],
        "same_center": _narrow(read.centers)[listed] == _narrow(read.centers)[rows, None],
        "neighbor_units": _narrow(units)[listed],
        "query_units": units.codes[rows],
        "query_slides": slides.codes[rows],
        "query_classes": read.classes.codes[rows],
        "query_centers": read.centers.codes[rows],
        "units": units.names,
        "unit": units.noun,
        "slides": slides.names,
        "classes": read.classes.names,
        "centers": read.centers.names,
    }


def _narrow(labels: Labels) -> Codes:
    """In the smallest integers, as there are so many neighbors."""
    return labels.codes.astype(np.min_scalar_type(len(labels)))


_MARGIN = 0.02  # more than a change of precision was seen to move the index (0.017)


def _meaning(value: float) -> str:
    if abs(value - 0.5) < _MARGIN:
        balance = "biology and medical center weigh about the same"
    elif value < 0.5:
        balance = "the medical center outweighs the biology"
    else:
        balance = "the biology outweighs the medical center"
    return (
        "of the nearest neighbors that share exactly one of class and center with the patch, "
        f"{rounded_percent(value)} share the class: {balance}"
    )


METRICS = (
    Metric(
        name=METRIC,
        label="robustness index",
        computation=Computation(
            name=METRIC,
            function=robustness_index,
            view="robustness_index",
            columns=("slide_id", "biological_class", "medical_center", "subset"),
            design=("k", "paired"),
            settings={"draws": DRAWS, "seed": SEED},
            takes_neighbors=True,
            work=index_work,
            version=2,  # a table without k has one for every FM
        ),
        lowest=0.0,
        highest=1.0,
        neutral=0.5,
        margin=_MARGIN,
        meaning=_meaning,
        remedies=(
            "Compare images of the medical centers with each other (stain, scanner, sharpness).",
            "Stain normalization (Reinhard) before embedding usually raises the index; check that the "
            "classes stay separable.",
            "Otherwise retrain with data of more centers, or use another FM.",
        ),
        remedies_without_images=(REPAIR_EMBEDDINGS, OTHERWISE),
        needs=index_needs,
        guaranteed=lambda p: p,
        published=partial(published_scores, METRIC),
    ),
)
