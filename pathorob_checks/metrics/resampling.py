"""What an interval is drawn from: independent units (slides, repetitions, trials) and the effect of each.

A unit's effect is by how much the value falls, to first order, when the unit is left out (a jackknife).
Effects are few numbers, so that they fit into a results file, and a later run can form the paired interval
of a difference from two files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from pathorob_checks.errors import CacheError

Scale = Literal["logit", "bounded", "identity"]
Unit = Literal["slides", "repetitions"]


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """A value and the effects of the units that it was measured on.

    Attributes
    ----------
    metric, value : as in `Measurement`.
    scale : on which effects add up: `logit` (values from 0 to 1), `bounded` (as it is, cut off at -1 and 1)
        or `identity`.
    drawn : `slides` are drawn with replacement (and trials, where the metric has them); `repetitions`
        have a Student's t interval.
    units : their names; slide ids where slides are drawn.
    cells : the cells (center x class) in which each unit has patches. Units are drawn within strata:
        cells and what is linked to them by units that stand in several.
    effects : on the scale.
    protocol : settings that two resamplings must share to be compared.
    telling : number of slides with informative patches, where the value is at an end of its scale and
        leaving a slide out changes nothing; None elsewhere.
    """

    metric: str
    value: float
    scale: Scale
    drawn: Unit
    units: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    effects: tuple[float, ...]
    protocol: Mapping[str, object]
    telling: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Builtin types only; each cell's name is written once."""
        names = list(dict.fromkeys(cell for cells in self.cells for cell in cells))
        number = {name: place for place, name in enumerate(names)}
        return {
            "metric": self.metric,
            "value": self.value,
            "scale": self.scale,
            "drawn": self.drawn,
            "protocol": dict(self.protocol),
            "telling": self.telling,
            "cells": names,
            "units": [
                [unit, [number[cell] for cell in cells], effect]
                for unit, cells, effect in zip(self.units, self.cells, self.effects, strict=True)
            ],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Resampling:
        """Read what `to_dict` gave, also after a way through JSON.

        Raises
        ------
        CacheError : keys are missing, or values are of another kind.
        """
        try:
            names = [str(name) for name in content["cells"]]
            units = [
                (str(unit), tuple(names[n] for n in cells), float(effect))
                for unit, cells, effect in content["units"]
            ]
            if content["scale"] not in ("logit", "bounded", "identity"):
                raise ValueError(content["scale"])
            if content["drawn"] not in ("slides", "repetitions"):
                raise ValueError(content["drawn"])
            return cls(
                metric=str(content["metric"]),
                value=float(content["value"]),
                scale=cast(Scale, content["scale"]),
                drawn=cast(Unit, content["drawn"]),
                units=tuple(unit for unit, _, _ in units),
                cells=tuple(cells for _, cells, _ in units),
                effects=tuple(effect for _, _, effect in units),
                protocol=dict(content["protocol"]),
                telling=None if content["telling"] is None else int(content["telling"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CacheError(
                f"what a measurement's interval was drawn from cannot be read ({error!r})",
                remedy="measure again with this version",
            ) from None
