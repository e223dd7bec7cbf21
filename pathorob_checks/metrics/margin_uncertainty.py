"""Intervals of statistics of margins: what each slide adds to them, as query and as neighbor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.ends import own_intervals
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.margin_statistics import Statistic
from pathorob_checks.metrics.measurement import GroupValue, Interval
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.slide_effects import effects_counted_once
from pathorob_checks.metrics.strata import Strata
from pathorob_checks.wording import counted

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
_PAIRS = 1 << 23  # of unit and part of the queries, for which falls are kept one by one


@dataclass(frozen=True, kw_only=True)
class PatchMargins:
    """The margins of Q queries, and what they are without each slide.

    `margins` (Q,) float64, NaN where a query has none. `query_units`, `query_classes`, `query_centers` (Q,)
    are codes into the names `units`, `classes`, `centers`; `unit` says what is drawn: "slide" or "case".
    The pairs say that query `pair_query` has the margin `pair_margin` without the unit `pair_unit`, (P,)
    each; they are empty without draws.
    """

    margins: Float64
    query_units: Int64
    query_slides: Int64
    query_classes: Int64
    query_centers: Int64
    units: tuple[str, ...]
    unit: str
    slides: tuple[str, ...]
    classes: tuple[str, ...]
    centers: tuple[str, ...]
    pair_query: Int64
    pair_unit: Int64
    pair_margin: Float64

    @cached_property
    def defined(self) -> Bool:
        """(Q,) whether a query has a margin."""
        return np.isfinite(self.margins)

    @cached_property
    def cells(self) -> Int64:
        """(Q,) number of the query's center x class."""
        return self.query_centers * len(self.classes) + self.query_classes

    @property
    def cell_names(self) -> tuple[str, ...]:
        """Names of center x class, in the order of their numbers."""
        return tuple(f"{center} / {cls}" for center in self.centers for cls in self.classes)


class MarginUncertainty:
    """Resampling, intervals and groups of statistics of the same margins."""

    def __init__(
        self,
        margins: PatchMargins,
        protocol: Mapping[str, object],
        confidence: float,
        draws: int,
        seed: int,
    ) -> None:
        self._of, self._protocol = margins, {**protocol, "patches": len(margins.margins)}
        self._confidence, self._draws, self._seed = confidence, draws, seed
        names = margins.cell_names
        parts, self._part = np.unique(margins.query_units * len(names) + margins.cells, return_inverse=True)
        self._part_unit, part_cell = np.divmod(parts, len(names))
        cells: list[list[str]] = [[] for _ in margins.units]
        for unit, cell in zip(self._part_unit, part_cell, strict=True):
            cells[unit].append(names[cell])
        self.cells = tuple(map(tuple, cells))
        self._strata = Strata(self.cells)

    def resampling(self, statistic: Statistic, chosen: Bool) -> Resampling:
        """Of the statistic over the chosen queries, which have margins."""
        margins = self._of.margins[chosen]
        value = statistic.value(margins)
        inside = statistic.scale != "logit" or 0 < value < 1
        effects = np.zeros(len(self._of.units))
        if inside:
            effects = self._effects(statistic, chosen)
            if statistic.slope is not None:
                error = float(np.sqrt((self._strata.residuals(effects) ** 2).sum()))
                effects = effects * statistic.slope(margins, error)
            if statistic.scale == "logit":
                effects = effects / (value * (1 - value))
        alike = not inside or self._strata.are_alike(effects)
        return Resampling(
            metric=statistic.metric,
            value=value,
            scale=statistic.scale if inside else "identity",
            drawn="slides",
            units=self._of.units,
            cells=self.cells,
            effects=tuple(effects.tolist()),
            protocol=self._protocol,
            informative_slides=len(np.unique(self._of.query_units[chosen])) if alike else None,
        )

    def _effects(self, statistic: Statistic, chosen: Bool) -> Float64:
        """(units,) by how much the statistic falls without each unit, to first order."""
        of, units, parts = self._of, len(self._of.units), len(self._part_unit)
        influence, count = statistic.influence(of.margins[chosen]), int(chosen.sum())
        own = np.flatnonzero(chosen)
        pairs = np.flatnonzero(chosen[of.pair_query])
        query = of.pair_query[pairs]
        change = influence(of.pair_margin[pairs]) - influence(of.margins[query])
        unit = np.concatenate([of.query_units[own], of.pair_unit[pairs]])
        fall = np.concatenate([influence(of.margins[own]), -change]) / count
        if units * parts > _PAIRS:
            return np.bincount(unit, fall, minlength=units).astype(np.float64)
        place = unit * parts + self._part[np.concatenate([own, query])]
        each = np.bincount(place, fall, minlength=units * parts).astype(np.float64)
        return effects_counted_once(each.reshape(units, parts), self._part_unit, self._strata)

    def intervals(self, resampling: Resampling, groups: int = 1) -> tuple[Interval | None, Interval | None]:
        """At the confidence, and at that at which all of several groups' intervals hold together."""
        if not self._draws:
            return None, None
        together = 1 - (1 - self._confidence) / groups
        own, wide = own_intervals(resampling, (self._confidence, together), self._draws, self._seed)
        return own, wide

    def groups(self, statistic: Statistic, *, lowest_first: bool) -> dict[str, tuple[GroupValue, ...]]:
        """Of each medical center and biological class whose patches have margins, worst first."""
        of = self._of
        labels = {
            "medical_center": (of.query_centers, of.centers),
            "biological_class": (of.query_classes, of.classes),
        }
        return {
            name: self._groups(statistic, codes, names, lowest_first=lowest_first)
            for name, (codes, names) in labels.items()
        }

    def _groups(
        self, statistic: Statistic, codes: Int64, names: tuple[str, ...], *, lowest_first: bool
    ) -> tuple[GroupValue, ...]:
        defined, values = self._of.defined, []
        present = [code for code in range(len(names)) if (defined & (codes == code)).any()]
        for code in present:
            here = codes == code
            resampling = self.resampling(statistic, defined & here)
            own, wide = self.intervals(resampling, len(present))
            values.append(
                GroupValue(
                    name=names[code],
                    value=resampling.value,
                    interval=own,
                    simultaneous=wide,
                    support=float(defined[here].mean()),
                    rows=int(here.sum()),
                )
            )
        return tuple(sorted(values, key=lambda group: group.value if lowest_first else -group.value))

    def note(self, resampling: Resampling, interval: Interval | None) -> str:
        """How the interval was made and what it leaves out."""
        if interval is None:
            return ""
        noun = self._of.unit
        units_in = Counter(cell for cells in self.cells for cell in cells)
        single = sum(units == 1 for units in units_in.values())
        text = (
            f"The interval is about other {noun}s of the same classes and centers: {len(self._of.units)} "
            f"{noun}s are drawn with replacement within each center x class, as queries and as neighbors. It "
            "does not cover other centers or the choice of m."
        )
        if resampling.informative_slides is not None:
            text = (
                f"All {noun}s contribute alike, so the {noun}s show no variation. The interval is that of "
                f"Clopper and Pearson, a trial for each {noun} with margins; it is wide."
            )
        if single:
            text += (
                f" {counted(single, 'cell')} with a single {noun} cannot show how {noun}s vary: the interval "
                "is too narrow."
            )
        return text
