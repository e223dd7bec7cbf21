"""Robustness index: do a patch's neighbors share its biology or its medical center?

Source: PathoROB, Nature Communications 17, 5218 (2026). For every patch the k nearest neighbors from other
slides are typed by biological class and medical center: SO (same class, other center), OS (other
class, same center), SS and OO. The index is sum SO / (sum SO + sum OS).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import normalize

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import (
    Float32,
    Int64,
    Labels,
    Progress,
    as_embeddings,
    labels,
    refuse_zero_rows,
)
from pathorob_checks.metrics.measurement import Measurement, Weakness
from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics import threads
from pathorob_checks.numerics.neighbors import block_products, finish, nearest_neighbors

if TYPE_CHECKING:
    import pandas as pd
    import torch

METRIC = "robustness_index"
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Neighborhoods:
    """How often each type of neighbor stands at each rank.

    All arrays are (k,) float64 shares of all (query, neighbor) pairs among the first k ranks, the last
    index of the types in the order same class / other class, same center / other center.
    """

    ss: Float64
    so: Float64
    os: Float64
    oo: Float64

    @property
    def robustness_index(self) -> Float64:
        """SO / (SO + OS) at every k; NaN where no neighbor is of either type."""
        return _ratio(self.so, self.so + self.os)

    @property
    def id_performance(self) -> Float64:
        """SS / (SS + OS): among neighbors of the same center, those of the same class."""
        return _ratio(self.ss, self.ss + self.os)

    @property
    def ood_performance(self) -> Float64:
        """SO / (SO + OO): among neighbors of other centers, those of the same class."""
        return _ratio(self.so, self.so + self.oo)

    @property
    def prediction_performance(self) -> Float64:
        """SS + SO, as a share of all neighbors."""
        return self.ss + self.so

    @property
    def generalization_index(self) -> Float64:
        """(SS SO + SO OS) / (SS SO + SS OO)."""
        return _ratio(self.ss * self.so + self.so * self.os, self.ss * self.so + self.ss * self.oo)

    @property
    def bio_vs_confounding(self) -> Float64:
        """(SS + SO) / (SS + OS): same class against same center."""
        return _ratio(self.ss + self.so, self.ss + self.os)

    @property
    def confounder_insensitivity(self) -> Float64:
        """(SO + OO) / (SS + OS): other centers against the same center."""
        return _ratio(self.so + self.oo, self.ss + self.os)

    @property
    def normalized_confounder_insensitivity(self) -> Float64:
        """`confounder_insensitivity` divided by its value at the largest k."""
        whole = self.confounder_insensitivity
        return _ratio(whole, np.broadcast_to(whole[-1], whole.shape))


@dataclass(frozen=True, kw_only=True)
class RobustnessIndex:
    """Result of `robustness_index`.

    Attributes
    ----------
    value : index at `k`, 0 (center only) to 1 (biology only); 0.5 is balance.
    k : number of neighbors.
    support : share of patches with at least one SO or OS neighbor among their k.
    interval : None; a slide bootstrap is not part of this function.
    balanced_accuracy : of the majority vote of the k neighbors, ties to the lowest label.
    by_k : (largest k,) float64, the index at k = 1, 2, ...; NaN where undefined.
    neighborhoods : shares of the four types at every k, and the figures derived from them.
    cells : centers x classes, lowest index first; cells without SO and OS neighbors are left out.
    rows : number of queries.
    """

    value: float
    k: int
    support: float
    interval: tuple[float, float] | None
    balanced_accuracy: float
    by_k: Float64
    neighborhoods: Neighborhoods
    cells: tuple[Weakness, ...]
    rows: int
    paired: bool

    def measurement(self) -> Measurement:
        """The value as criteria and reports take it."""
        return Measurement(
            metric=METRIC,
            value=self.value,
            interval=self.interval,
            support=self.support,
            rows=self.rows,
            protocol={"k": self.k, "paired": self.paired, "balanced_accuracy": self.balanced_accuracy},
            weakest=self.cells,
        )


def robustness_index(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    k: int | None,
    paired: bool = False,
    largest_k: int | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> RobustnessIndex:
    """Robustness index of embeddings on a cohort.

    Parameters
    ----------
    embeddings : (N, D) array or tensor, raw (they are L2-normalised here).
    patches : N rows with `slide_id`, `biological_class`, `medical_center`, and `subset` when paired.
    k : number of neighbors; None picks the k on the grid 1, 3, 5, 7, 9, 11, 21, 31, ... whose
        majority vote has the best balanced accuracy, up to `largest_k`, among those for which the
        index is defined.
    paired : seek neighbors inside each value of `subset` and pool the counts.
    largest_k : up to where `by_k` and the search for k go. Default: k itself; when k is None, the
        size of the smallest biological class, as far as the neighbor lists reach.
    device : where to compute; None takes the GPU where there is one.
    progress : wraps the products of blocks of patches (iterable, total, description), to show a bar.

    Raises
    ------
    MetricError
        Fewer neighbors than k, one class or one center only, or no informative neighbor at all.
    """
    array = as_embeddings(embeddings, patches, METRIC)
    refuse_zero_rows(array, METRIC)
    classes = labels(patches, "biological_class", METRIC, at_least=2)
    centers = labels(patches, "medical_center", METRIC, at_least=2)
    slides = labels(patches, "slide_id", METRIC)
    subsets = labels(patches, "subset", METRIC).codes if paired else np.zeros(len(array), dtype=np.int64)

    parts = [np.flatnonzero(subsets == part) for part in np.unique(subsets)]
    shortest, where = min((len(rows) - int(np.bincount(slides.codes[rows]).max()), rows[0]) for rows in parts)
    reach = largest_k if largest_k is not None else k
    if reach is None:
        reach = max(1, min(shortest, int(np.bincount(classes.codes).min())))
    if (k is not None and not 1 <= k <= reach) or not 1 <= reach <= shortest:
        raise MetricError(
            f"{METRIC}: k = {k if k is not None else reach} neighbors are asked for, but {max(shortest, 0)} "
            f"are left for the patches of the largest slide (subset of row {int(where)})",
            remedy="lower k, or add slides",
        )

    rows = np.concatenate(parts)
    neighbors = _neighbors(array, parts, slides.codes, reach, devices.choose(device), progress)
    same_class = classes.codes[neighbors] == classes.codes[rows, None]
    same_center = centers.codes[neighbors] == centers.codes[rows, None]
    shares = _neighborhoods(same_class, same_center)
    truth = classes.codes[rows]
    votes = classes.codes[neighbors]
    if k is None:
        grid = [n for n in (1, 3, 5, 7, 9, *range(11, reach + 1, 10)) if n <= reach]
        defined = [n for n in grid if np.isfinite(shares.robustness_index[n - 1])] or grid[-1:]
        accuracies = [_vote_accuracy(votes[:, :n], truth, len(classes)) for n in defined]
        k = defined[int(np.argmax(accuracies))]

    so = (same_class & ~same_center)[:, :k].sum(axis=1)
    os_ = (~same_class & same_center)[:, :k].sum(axis=1)
    if so.sum() + os_.sum() == 0:
        raise MetricError(
            f"{METRIC}: none of the {k} nearest neighbors of any patch shares exactly one of class and "
            "center with it",
            remedy="raise k, so that neighborhoods reach beyond their own class and center",
        )
    return RobustnessIndex(
        value=float(shares.robustness_index[k - 1]),
        k=k,
        support=float(((so + os_) > 0).mean()),
        interval=None,
        balanced_accuracy=_vote_accuracy(votes[:, :k], truth, len(classes)),
        by_k=shares.robustness_index,
        neighborhoods=shares,
        cells=_cells(so, os_, classes, centers, rows),
        rows=len(rows),
        paired=paired,
    )


def _neighbors(
    array: Float32, parts: list[Int64], slides: Int64, k: int, device: torch.device, progress: Progress | None
) -> Int64:
    """(rows of all parts, k) row numbers of the neighbors within the part."""
    found: list[Int64] = []

    def steps(rows: Int64) -> Generator[None, None, Int64]:
        # scikit-learn's rounding decides which of two nearly equal neighbors the published values count
        # first. Part by part, so that no second copy of all embeddings is in memory.
        unit = np.asarray(normalize(array[rows]), dtype=np.float32)
        return nearest_neighbors(unit, slides[rows], k, device)

    def one_after_the_other() -> Iterator[None]:
        for rows in parts:
            nearest = yield from steps(rows)
            found.append(nearest)

    def one_per_core() -> Iterator[None]:
        for nearest in threads.spread(lambda rows: finish(steps(rows)), parts):
            found.append(nearest)
            yield

    many = len(parts) > 1 and device.type == "cpu"
    total = len(parts) if many else sum(block_products(len(rows), k, device) for rows in parts)
    work: Iterable[object] = one_per_core() if many else one_after_the_other()
    if progress is not None:
        work = progress(work, total, "neighbors")
    with devices.full_precision():
        for _ in work:
            pass
    return np.concatenate([rows[nearest] for rows, nearest in zip(parts, found, strict=True)])


def _neighborhoods(same_class: npt.NDArray[np.bool_], same_center: npt.NDArray[np.bool_]) -> Neighborhoods:
    pairs = same_class.shape[0] * np.arange(1, same_class.shape[1] + 1, dtype=np.float64)

    def share(kind: npt.NDArray[np.bool_]) -> Float64:
        return np.asarray(np.cumsum(kind.sum(axis=0)) / pairs, dtype=np.float64)

    return Neighborhoods(
        ss=share(same_class & same_center),
        so=share(same_class & ~same_center),
        os=share(~same_class & same_center),
        oo=share(~same_class & ~same_center),
    )


def _vote_accuracy(votes: Int64, truth: Int64, classes: int) -> float:
    """Balanced accuracy of the majority vote; argmax takes the lowest label among equals."""
    counts = np.stack([(votes == label).sum(axis=1) for label in range(classes)], axis=1)
    correct = counts.argmax(axis=1) == truth
    return float(np.mean([correct[truth == label].mean() for label in np.unique(truth)]))


def _cells(so: Int64, os_: Int64, classes: Labels, centers: Labels, rows: Int64) -> tuple[Weakness, ...]:
    cells = []
    for center, center_name in enumerate(centers.names):
        for cls, class_name in enumerate(classes.names):
            here = (centers.codes[rows] == center) & (classes.codes[rows] == cls)
            same_biology, same_center = int(so[here].sum()), int(os_[here].sum())
            if same_biology + same_center == 0:
                continue
            index = same_biology / (same_biology + same_center)
            cells.append(
                Weakness(
                    medical_center=center_name,
                    biological_class=class_name,
                    value=index,
                    meaning=f"{same_center} of its {same_biology + same_center} informative neighbors share "
                    "the medical center instead of the class",
                )
            )
    return tuple(sorted(cells, key=lambda cell: cell.value))


def _ratio(numerator: Float64, denominator: Float64) -> Float64:
    out = np.full_like(numerator, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
