"""CRoMa: by how much a patch lies nearer to its biology elsewhere than to another biology of its own center.

Source: Grisi et al., A distributional robustness margin for pathology foundation models, arXiv 2607.25497.
With d_SO the mean cosine distance of a patch to its m nearest patches of the same class from other centers,
and d_OS that to its m nearest of other classes from its own center, the margin is (d_OS - d_SO) / (d_OS +
d_SO).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.definition import Computation, Metric
from pathorob_checks.metrics.index_and_drop_work import index_work
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.intervals import CONFIDENCE, DRAWS, SEED, check_settings
from pathorob_checks.metrics.margin_pictures import (
    cell_values,
    distribution,
    misled,
    quantiles_by_cell,
    worst_slides,
)
from pathorob_checks.metrics.margin_statistics import STATISTICS, TAIL
from pathorob_checks.metrics.margin_uncertainty import MarginUncertainty, PatchMargins
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.needs import margin_needs
from pathorob_checks.metrics.neighbor_search import (
    NeighborSearch,
    SearchedPatches,
    cosine_distances,
    searched_patches,
)
from pathorob_checks.metrics.remedies import OTHERWISE, REPAIR_EMBEDDINGS
from pathorob_checks.metrics.short_text import patches_text, short_text, value_text
from pathorob_checks.metrics.slide_effects import spare_ranks
from pathorob_checks.metrics.sums_without_units import sums_without_units
from pathorob_checks.metrics.typed_neighbors import TypedNeighbors
from pathorob_checks.progress import Progress
from pathorob_checks.wording import counted, rounded_percent

if TYPE_CHECKING:
    import pandas as pd
    import torch

NAME = "croma"
M = 5
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RobustnessMargin:
    """Result of `robustness_margin`.

    Attributes
    ----------
    measured : mapping of str to Measurement
        `croma_median`, `croma_f0` and `croma_ltm10`, each with interval, cells, slides and groups.
    m : int
        Number of neighbors of each type.
    support : float
        Share (0 to 1) of the patches that have a margin.
    margins : (Q,) ndarray of float64
        Margin of every query, -1 to 1; NaN where it has none.
    queries : (Q,) ndarray of int64
        Row of each query in the table.
    rows : int
        Number of queries: all in-domain patches, in each subset.
    left_out : int
        Number of out-of-domain patches of the table, which it does not read.
    paired : bool
        Whether neighbors were sought inside each subset.
    median : float
        Median of the margins.
    f0 : float
        Share of the patches with a margin of 0 or less.
    ltm10 : float
        Mean of the margins up to the 10 % quantile.

    See Also
    --------
    robustness_margin : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import robustness_margin
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> result = robustness_margin(embeddings, patches)
    >>> result.support, result.margins.shape
    (1.0, (80,))
    >>> round(result.median, 2), round(result.f0, 3), round(result.ltm10, 2)
    (0.11, 0.325, -0.37)
    >>> list(result.measurements())
    ['croma_median', 'croma_f0', 'croma_ltm10']
    """

    measured: Mapping[str, Measurement]
    m: int
    support: float
    margins: Float64
    queries: Int64
    rows: int
    left_out: int
    paired: bool

    @property
    def median(self) -> float:
        """Median of the margins."""
        return self.measured["croma_median"].value

    @property
    def f0(self) -> float:
        """Share of the patches with a margin of 0 or less."""
        return self.measured["croma_f0"].value

    @property
    def ltm10(self) -> float:
        """Mean of the margins up to the 10 % quantile."""
        return self.measured["croma_ltm10"].value

    def __repr__(self) -> str:
        one = self.measured["croma_median"]
        rests_on = (
            f"F0 {rounded_percent(self.f0)}, LTM10 {self.ltm10:.3f}, m = {self.m}, support "
            f"{rounded_percent(self.support)}, {patches_text(self.rows)}"
        )
        median = f"median {value_text(one.value, one.interval, one.confidence)}"
        return short_text("RobustnessMargin", median, rests_on)

    def measurements(self) -> dict[str, Measurement]:
        """Return the three measurements by metric name.

        Returns
        -------
        dict of str to Measurement
            With the keys `croma_median`, `croma_f0` and `croma_ltm10`.
        """
        return dict(self.measured)


def robustness_margin(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    m: int = M,
    paired: bool | None = None,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = SEED,
    neighbors: NeighborSearch | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> RobustnessMargin:
    """Cross-confounder robustness margins (CRoMa) of embeddings on a cohort.

    With d_SO the mean cosine distance of a patch to its m nearest patches of the same class from other
    centers, and d_OS that to its m nearest patches of other classes from its own center and other slides,
    its margin is (d_OS - d_SO) / (d_OS + d_SO) [1]_: above 0 where biology is nearer, below 0 where the
    center is.

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        NumPy array or PyTorch tensor of any float dtype, read as float32, raw (directions count only).
    patches : pandas.DataFrame
        N rows with the columns `slide_id`, `biological_class`, `medical_center` and optionally `subset`,
        `patch_id`, and `case_id` where a patient has several slides; row i describes embedding i. Rows with
        the subset `OOD` are left out.
    m : int, default 5
        Number of neighbors of each type.
    paired : bool, optional
        Seek neighbors inside each value of `subset` and pool the margins. None does so where in-domain
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
        Wraps the searches (iterable, total, description), to show a bar.

    Returns
    -------
    RobustnessMargin
        Median, share of margins of 0 or less (F0), mean of the lowest 10 % (LTM10), and all margins.

    Raises
    ------
    MetricError
        m below 1, no patch with m neighbors of both types and a distance, one class or one center only
        (also in a paired subset), a confidence outside 0 to 1, too few draws, or embeddings or labels as in
        `robustness_index`.

    See Also
    --------
    robustness_index : Counts neighbors instead of measuring distances.

    Notes
    -----
    Distances are in float64. A patch that lacks m neighbors of one type, or lies at distance 0 from all of
    them, has no margin; `support` says how many have one. The interval is about other slides from the same
    centers and classes (cases, where `patches` has `case_id`): effects of leaving a slide out as queries
    and as neighbors, to first order by the influence function of each statistic.

    References
    ----------
    .. [1] Grisi et al. 2026. A distributional robustness margin for pathology foundation models. arXiv
       2607.25497.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import robustness_margin
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    >>> result = robustness_margin(embeddings, patches)
    >>> round(result.median, 2), round(result.f0, 3), round(result.ltm10, 2)
    (0.11, 0.325, -0.37)
    """
    if draws:
        check_settings(confidence, NAME, draws)
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 1:
        raise MetricError(f"{NAME}: m is {m!r}", remedy="give a whole number of 1 or more")
    searched = searched_patches(embeddings, patches, NAME, paired=paired)
    length = m + spare_ranks(m, searched.largest_unit) if draws else m
    typed = (neighbors or NeighborSearch()).typed(searched, length, device, progress)
    of = _margins(searched, typed, m)
    if not of.defined.any():
        raise MetricError(
            f"{NAME}: no patch has {counted(m, 'neighbor')} at a distance of its class in other centers and "
            "of other classes in its own center",
            remedy="lower m, or add patches so that two centers share two classes",
        )
    units, rows = searched.units, searched.read.rows
    protocol = {"m": m, "paired": searched.paired, **units.protocol}
    uncertainty = MarginUncertainty(of, protocol, confidence, draws, seed)
    support, shown = float(of.defined.mean()), (distribution(of),)
    nearest, grid = misled(of, rows[typed.queries], rows[typed.os[:, :m]]), quantiles_by_cell(of)
    measured = {}
    for statistic in STATISTICS:
        resampling = uncertainty.resampling(statistic, of.defined)
        interval, _ = uncertainty.intervals(resampling)
        lowest_first = _LOWEST_IS_WORST[statistic.metric]
        measured[statistic.metric] = Measurement(
            metric=statistic.metric,
            value=resampling.value,
            interval=interval,
            support=support,
            rows=len(of.margins),
            protocol=protocol,
            cells=cell_values(of, statistic, lowest_first=lowest_first),
            interval_note=uncertainty.note(resampling, interval),
            confidence=confidence,
            resampling=resampling if draws else None,
            slides=worst_slides(of, statistic, lowest_first=lowest_first),
            groups=uncertainty.groups(statistic, lowest_first=lowest_first),
            curves=shown,
            grids=(grid,),
            nearest=nearest,
        )
    return RobustnessMargin(
        measured=measured,
        m=m,
        support=support,
        margins=of.margins,
        queries=rows[typed.queries],
        rows=len(of.margins),
        left_out=searched.read.left_out,
        paired=searched.paired,
    )


def _margins(searched: SearchedPatches, typed: TypedNeighbors, m: int) -> PatchMargins:
    """Margins of the queries, and without each unit as far as the lists are longer than m."""
    read, units, slides, queries = searched.read, searched.units, searched.slides, typed.queries
    distances, lengths = {}, {}
    for name, lists in (("so", typed.so), ("os", typed.os)):
        there = lists >= 0
        query, _ = np.nonzero(there)
        distances[name] = np.zeros(lists.shape)
        distances[name][there] = cosine_distances(searched.array, queries[query], lists[there])
        lengths[name] = there.sum(axis=1)
    enough = (lengths["so"] >= m) & (lengths["os"] >= m)
    so, os_ = (distances[name][:, :m].sum(axis=1) for name in ("so", "os"))
    margins = np.full(len(queries), np.nan)
    np.divide(os_ - so, os_ + so, out=margins, where=enough & (os_ + so > 0))

    pair_query, pair_unit, pair_margin = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    if typed.so.shape[1] > m:
        of_so, of_os = (
            sums_without_units((distances[name],), units.codes[lists], lengths[name], m)
            for name, lists in (("so", typed.so), ("os", typed.os))
        )
        pairs, place = np.unique(
            np.concatenate([query * len(units) + unit for query, unit, _ in (of_so, of_os)]),
            return_inverse=True,
        )
        border = len(of_so[0])
        less_so = np.bincount(place[:border], of_so[2][0], minlength=len(pairs))
        less_os = np.bincount(place[border:], of_os[2][0], minlength=len(pairs))
        query, unit = np.divmod(pairs, len(units))
        new_so, new_os = so[query] + less_so, os_[query] + less_os
        kept = np.isfinite(margins[query]) & (units.codes[queries[query]] != unit) & (new_so + new_os > 0)
        pair_query, pair_unit = query[kept], unit[kept]
        pair_margin = ((new_os - new_so) / np.where(kept, new_so + new_os, 1))[kept]
    return PatchMargins(
        margins=margins,
        query_units=units.codes[queries],
        query_slides=slides.codes[queries],
        query_classes=read.classes.codes[queries],
        query_centers=read.centers.codes[queries],
        units=units.names,
        unit=units.noun,
        slides=slides.names,
        classes=read.classes.names,
        centers=read.centers.names,
        pair_query=pair_query,
        pair_unit=pair_unit,
        pair_margin=pair_margin,
    )


def _balance(value: float, margin: float) -> str:
    if abs(value) < margin:
        return "biology and medical center are about equally near"
    return "the biology is nearer" if value > 0 else "the medical center is nearer"


_MARGIN = 0.02


def _median_means(value: float) -> str:
    return (
        "half of the patches have a greater margin between their own class in other centers and other "
        f"classes in their own center, half a smaller one: {_balance(value, _MARGIN)}"
    )


def _share_means(value: float) -> str:
    return (
        f"{rounded_percent(value)} of the patches lie no nearer to their own class in other centers than to "
        "other classes in their own center"
    )


def _tail_means(value: float) -> str:
    return (
        f"the {rounded_percent(TAIL)} of the patches with the smallest margins have a margin of {value:.2f} "
        f"on average: {_balance(value, _MARGIN)} there"
    )


_COMPUTATION = Computation(
    name=NAME,
    function=robustness_margin,
    view="robustness_index",
    columns=("slide_id", "biological_class", "medical_center", "subset"),
    design=("paired",),
    settings={"m": M, "draws": DRAWS, "seed": SEED},
    takes_neighbors=True,
    work=index_work,
)
_REMEDIES = (
    "Look at the patches with the smallest margins and at the slides they come from (stain, scanner, "
    "artifacts).",
    "Stain normalization (Reinhard) before embedding brings the centers closer; check that the classes stay "
    "separable.",
    "Otherwise retrain with data of more centers, or use another FM.",
)
_metric = partial(
    Metric,
    computation=_COMPUTATION,
    remedies=_REMEDIES,
    remedies_without_images=(REPAIR_EMBEDDINGS, OTHERWISE),
    needs=margin_needs,
)

METRICS = (
    _metric(
        name="croma_median",
        label="median margin",
        lowest=-1.0,
        highest=1.0,
        neutral=0.0,
        margin=_MARGIN,
        meaning=_median_means,
        guaranteed=lambda p: 2 * p - 1,
    ),
    _metric(
        name="croma_f0",
        label="margins below 0",
        lowest=0.0,
        highest=1.0,
        neutral=0.5,
        margin=_MARGIN,
        meaning=_share_means,
        higher_is_better=False,
        guaranteed=lambda p: p,
    ),
    _metric(
        name="croma_ltm10",
        label="tail of margins",
        lowest=-1.0,
        highest=1.0,
        neutral=0.0,
        margin=_MARGIN,
        meaning=_tail_means,
        guaranteed=lambda p: 2 * p - 1,
    ),
)
_LOWEST_IS_WORST = {one.name: one.higher_is_better for one in METRICS}
