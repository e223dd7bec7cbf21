"""Interval of the robustness index, and what each center, class, cell and slide contributes to its value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.ends import own_interval, own_intervals
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.measurement import CellValue, GroupValue, Interval, SlideValue
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.slide_effects import (
    counts_without_slides,
    first_order_effects,
    log_odds_effects,
)
from pathorob_checks.metrics.strata import Strata
from pathorob_checks.wording import counted

METRIC = "robustness_index"
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
_SLIDES_NAMED = 10
_PAIRS = 1 << 23  # of unit and part of the queries, for which changes are kept one by one


@dataclass(frozen=True, kw_only=True)
class NeighborCounts:
    """Queries and their neighbor lists, L >= k ranks long.

    `same_class`, `same_center` are (Q, L) bool; `neighbor_units` (Q, L) and `query_*` (Q,) integer codes
    into the names `units`, `slides`, `classes`, `centers`. `unit` says what is drawn: "slide" or "case".
    """

    k: int
    same_class: Bool
    same_center: Bool
    neighbor_units: npt.NDArray[np.integer[Any]]
    query_units: Int64
    query_slides: Int64
    query_classes: Int64
    query_centers: Int64
    units: tuple[str, ...]
    unit: str
    slides: tuple[str, ...]
    classes: tuple[str, ...]
    centers: tuple[str, ...]

    @property
    def metric(self) -> str:
        """Name of the metric that weighs them so."""
        return METRIC

    @cached_property
    def so_count(self) -> Int64:
        """(Q,) neighbors of the same class and another center among the k."""
        return np.asarray((self.same_class & ~self.same_center)[:, : self.k].sum(axis=1))

    @cached_property
    def os_count(self) -> Int64:
        """(Q,) neighbors of another class and the same center among the k."""
        return np.asarray((~self.same_class & self.same_center)[:, : self.k].sum(axis=1))

    @property
    def so(self) -> npt.NDArray[Any]:
        """(Q,) what SO neighbors weigh together."""
        return self.so_count

    @property
    def os(self) -> npt.NDArray[Any]:
        """(Q,) what OS neighbors weigh together."""
        return self.os_count

    def changes_without_units(self, part: Int64, parts: int) -> Float64:
        """(units, parts, 2) change of the parts' SO and OS without each unit; `part` (Q,) of each query."""
        return counts_without_slides(
            self.same_class & ~self.same_center,
            ~self.same_class & self.same_center,
            self.neighbor_units,
            self.query_units,
            part,
            parts,
            self.k,
        )

    @cached_property
    def cells(self) -> Int64:
        """(Q,) number of the query's center x class."""
        return self.query_centers * len(self.classes) + self.query_classes

    @property
    def cell_names(self) -> tuple[str, ...]:
        """Names of center x class, in the order of their numbers."""
        return tuple(f"{center} / {cls}" for center in self.centers for cls in self.classes)


@dataclass(frozen=True, kw_only=True)
class IndexUncertainty:
    """Result of `index_uncertainty`; see `RobustnessIndex`."""

    interval: Interval | None
    note: str
    resampling: Resampling | None
    slides: tuple[SlideValue, ...]
    groups: Mapping[str, tuple[GroupValue, ...]]


def index_uncertainty(
    counted: NeighborCounts, confidence: float, draws: int, seed: int, protocol: Mapping[str, object]
) -> IndexUncertainty:
    """Interval of the index, and index and interval of each center and class of the queries.

    Parameters
    ----------
    counted : with at least one SO or OS neighbor.
    confidence, draws, seed : as in `robustness_index`; without draws there are values only.
    protocol : what another measurement must share to be compared.
    """
    units = _Units(counted, protocol, confidence, draws, seed)
    everything = np.ones(len(counted.cell_names), dtype=bool)
    cell_center, cell_class = np.divmod(np.arange(len(everything)), len(counted.classes))
    resampling = units.resampling(everything) if draws else None
    interval = own_interval(resampling, confidence, draws, seed) if resampling else None
    return IndexUncertainty(
        interval=interval,
        note=units.note(resampling, interval),
        resampling=resampling,
        slides=worst_slides(counted),
        groups={
            "medical_center": units.groups(counted.centers, cell_center),
            "biological_class": units.groups(counted.classes, cell_class),
        },
    )


class _Units:
    """Counts by cell of the queries, their changes without each unit, and intervals for any cells."""

    def __init__(
        self,
        counted: NeighborCounts,
        protocol: Mapping[str, object],
        confidence: float,
        draws: int,
        seed: int,
    ) -> None:
        self._protocol = {**protocol, "patches": len(counted.cells)}
        self._confidence, self._draws, self._seed = confidence, draws, seed
        cells, units = len(counted.cell_names), len(counted.units)
        informative = (counted.so + counted.os) > 0
        self._so, self._os, self._informative, self._queries = (
            np.bincount(counted.cells, kind, minlength=cells)
            for kind in (counted.so, counted.os, informative, np.ones(len(informative)))
        )
        if draws == 0:
            return
        parts, part = np.unique(counted.query_units * cells + counted.cells, return_inverse=True)
        self._part_unit, self._part_cell = np.divmod(parts, cells)
        self._cell_of_part, self._is_informative = self._part_cell, np.bincount(part, informative) > 0
        names: list[list[str]] = [[] for _ in range(units)]
        for unit, cell in zip(self._part_unit, self._part_cell, strict=True):
            names[unit].append(counted.cell_names[cell])
        self._cells = tuple(map(tuple, names))
        self._names, self._noun, self._metric = counted.units, counted.unit, counted.metric
        self._strata = Strata(self._cells)
        self._pairs = units * len(parts) <= _PAIRS
        if not self._pairs:  # too many to keep the joint effect of every two units
            part, self._part_cell = counted.cells, np.arange(cells)
        self._changes = counted.changes_without_units(part, len(self._part_cell))

    def index(self, cells: Bool) -> float:
        """Index of the queries in these cells."""
        so, os_ = self._so[cells].sum(), self._os[cells].sum()
        return float(so / (so + os_))

    def resampling(self, cells: Bool) -> Resampling:
        """Effects on the log odds of SO; none at an end of the scale, where there are no odds."""
        so, os_ = self._so[cells].sum(), self._os[cells].sum()
        inside = so > 0 and os_ > 0
        here = cells[self._part_cell]
        effects = np.zeros(len(self._names))
        if inside and self._pairs:
            units = self._part_unit[here]
            effects = log_odds_effects(so, os_, self._changes[:, here], units, self._strata)
        elif inside:
            effects = first_order_effects(so, os_, self._changes[:, here]).sum(axis=1)
        informative = self._part_unit[self._is_informative & cells[self._cell_of_part]]
        return Resampling(
            metric=self._metric,
            value=self.index(cells),
            scale="logit" if inside else "identity",
            drawn="slides",
            units=self._names,
            cells=self._cells,
            effects=tuple(effects.tolist()),
            protocol=self._protocol,
            informative_slides=len(np.unique(informative))
            if not inside or self._strata.are_alike(effects)
            else None,
        )

    def groups(self, names: tuple[str, ...], group_of_cell: Int64) -> tuple[GroupValue, ...]:
        """Values of the groups that have SO or OS neighbors, lowest first."""
        masks = {name: group_of_cell == number for number, name in enumerate(names)}
        masks = {name: cells for name, cells in masks.items() if (self._so + self._os)[cells].sum() > 0}
        together = 1 - (1 - self._confidence) / max(1, len(masks))
        values = []
        for name, cells in masks.items():
            interval = simultaneous = None
            if self._draws:
                interval, simultaneous = own_intervals(
                    self.resampling(cells), (self._confidence, together), self._draws, self._seed
                )
            values.append(
                GroupValue(
                    name=name,
                    value=self.index(cells),
                    interval=interval,
                    simultaneous=simultaneous,
                    support=float(self._informative[cells].sum() / self._queries[cells].sum()),
                    rows=int(self._queries[cells].sum()),
                )
            )
        return tuple(sorted(values, key=lambda group: group.value))

    def note(self, whole: Resampling | None, interval: Interval | None) -> str:
        """How the interval was made and what it leaves out."""
        if whole is None or interval is None:
            return ""
        single = [
            name
            for name, units in Counter(cell for cells in self._cells for cell in cells).items()
            if units == 1
        ]
        text = (
            f"The interval is about other {self._noun}s of the same classes and centers: "
            f"{len(self._names)} {self._noun}s are drawn with replacement within each center x class, as "
            "queries and as neighbors. It does not cover other centers or the choice of k."
        )
        if whole.informative_slides is not None:
            alike = (
                "All informative neighbors are of one type"
                if whole.value in (0, 1)
                else f"All {self._noun}s contribute alike to the index"
            )
            text = (
                f"{alike}, so the {self._noun}s show no variation. The interval is that of Clopper and "
                f"Pearson, a trial for each {self._noun} with informative patches; it is wide."
            )
        if single:
            cells = counted(len(single), "cell")
            text += (
                f" {cells} with a single {self._noun} cannot show how {self._noun}s vary: the interval is "
                "too narrow."
            )
        return text


def cell_values(counted: NeighborCounts) -> tuple[CellValue, ...]:
    """Centers x classes of the queries with SO or OS neighbors, lowest index first."""
    same_center = counted.same_center[:, : counted.k].mean(axis=1)
    cells = []
    for center, center_name in enumerate(counted.centers):
        for cls, class_name in enumerate(counted.classes):
            here = (counted.query_centers == center) & (counted.query_classes == cls)
            so, os_ = float(counted.so[here].sum()), float(counted.os[here].sum())
            if so + os_ == 0:
                continue
            cells.append(
                CellValue(
                    medical_center=center_name,
                    biological_class=class_name,
                    value=so / (so + os_),
                    meaning=_shared_center(*_counts(counted, here)),
                    same_center=float(same_center[here].mean()),
                )
            )
    return tuple(sorted(cells, key=lambda cell: cell.value))


def worst_slides(counted: NeighborCounts) -> tuple[SlideValue, ...]:
    """Slides whose patches have most OS neighbors beyond what the index predicts."""
    slides = len(counted.slides)
    so, os_ = (np.bincount(counted.query_slides, kind, slides) for kind in (counted.so, counted.os))
    excess = os_ - (so + os_) * os_.sum() / (so.sum() + os_.sum())
    worst = [slide for slide in np.argsort(-excess, kind="stable")[:_SLIDES_NAMED] if excess[slide] > 0]
    named = []
    for slide in worst:
        rows = counted.query_slides == slide
        classes, centers = np.unique(counted.query_classes[rows]), np.unique(counted.query_centers[rows])
        named.append(
            SlideValue(
                slide_id=counted.slides[slide],
                medical_center=" + ".join(counted.centers[center] for center in centers),
                biological_class=" + ".join(counted.classes[cls] for cls in classes),
                value=float(so[slide] / (so[slide] + os_[slide])),
                meaning=_shared_center(*_counts(counted, rows)),
            )
        )
    return tuple(named)


def _counts(counted: NeighborCounts, queries: Bool) -> tuple[int, int]:
    """SO and OS neighbors of some queries."""
    return int(counted.so_count[queries].sum()), int(counted.os_count[queries].sum())


def _shared_center(so: int, os_: int) -> str:
    """How many informative neighbors are of the patch's own center, as a clause."""
    number = so + os_
    if number == 1:
        return f"its only informative neighbor shares the {'medical center' if os_ else 'class'}"
    share = "shares" if os_ == 1 else "share"
    some = "none" if os_ == 0 else "all" if os_ == number else f"{os_:,}"
    return f"{some} of its {number:,} informative neighbors {share} the medical center instead of the class"
