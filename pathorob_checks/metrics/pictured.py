"""What a metric shows besides its value: curves, grids, and patches with their neighbors.

Reports and figures draw these without knowing the metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathorob_checks.metrics.short_text import short_text
from pathorob_checks.wording import counted


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A quantity over a setting.

    Attributes
    ----------
    name : str
        Of the quantity, such as `robustness index`.
    over : str
        Of the setting, such as `neighbors k`.
    x : tuple of float
        The settings, ascending.
    y : tuple of (float or None)
        The quantity at each of them; None where it is undefined.
    low, high : tuple of (float or None)
        Ends of the band around each value, or empty.
    band : str
        What the band is, such as `95 % interval`; "" without one.
    marked : float or None
        The setting at which the metric takes its value; None where it takes all of them.
    level : float or None
        A level to compare with, such as that of chance.
    level_name : str
        What that level is; "" without one.

    Examples
    --------
    >>> from pathorob_checks.metrics import Curve
    >>> curve = Curve(name="robustness index", over="neighbors k", x=(1, 2), y=(0.4, 0.5), marked=2)
    >>> curve.at(2)
    0.5
    """

    name: str
    over: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    band: str = ""
    marked: float | None = None
    level: float | None = None
    level_name: str = ""

    def __repr__(self) -> str:
        return short_text("Curve", f"{self.name} over {self.over}, {counted(len(self.x), 'value')}")

    def at(self, x: float) -> float | None:
        """Return the quantity at a setting.

        Parameters
        ----------
        x : float
            One of the settings.

        Returns
        -------
        float or None
            None where it is undefined.

        Raises
        ------
        ValueError
            There is no such setting.
        """
        return self.y[self.x.index(x)]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A quantity by two labels.

    Attributes
    ----------
    name : str
        Of the quantity, such as `clustering score`.
    row_name, column_name : str
        What rows and columns are, such as `classes` and `medical centers`.
    rows, columns : tuple of str
        Their labels.
    values : tuple of tuple of (float or None)
        A tuple for each row; None where there is no value.
    lowest, highest : float
        The ends of the scale.
    neutral : float or None
        A value on the scale from which both sides differ; None where there is none.
    is_share : bool
        Whether the values are shares, which are shown as percentages.

    Examples
    --------
    >>> from pathorob_checks.metrics import Grid
    >>> grid = Grid(
    ...     name="share of neighbors",
    ...     row_name="patches",
    ...     column_name="neighbors",
    ...     rows=("Bonn / tumor",),
    ...     columns=("same class", "other class"),
    ...     values=((0.9, 0.1),),
    ...     is_share=True,
    ... )
    >>> grid.values[0][0]
    0.9
    """

    name: str
    row_name: str
    column_name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    lowest: float = 0.0
    highest: float = 1.0
    neutral: float | None = None
    is_share: bool = False

    def __repr__(self) -> str:
        size = f"{counted(len(self.rows), 'row')} x {counted(len(self.columns), 'column')}"
        return short_text("Grid", f"{self.name}, {size}")


@dataclass(frozen=True, kw_only=True)
class NearestPatches:
    """A patch and its nearest neighbors.

    Attributes
    ----------
    row : int
        Of the patch in the table that was measured.
    neighbors : tuple of int
        Rows of its neighbors, nearest first.

    Examples
    --------
    >>> from pathorob_checks.metrics import NearestPatches
    >>> NearestPatches(row=3, neighbors=(7, 9)).neighbors
    (7, 9)
    """

    row: int
    neighbors: tuple[int, ...]


DECIMALS = 6


def rounded(values: Sequence[float] | np.ndarray) -> tuple[float | None, ...]:
    """Values for a picture: six decimals, None where not finite.

    >>> rounded([0.25, float("nan")])
    (0.25, None)
    """
    return tuple(
        round(float(value), DECIMALS) + 0.0 if np.isfinite(value) else None for value in np.asarray(values)
    )
