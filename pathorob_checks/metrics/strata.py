"""Units in strata: which of them can be drawn in each other's place, and what is left of their effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
_ALIKE = 1e-9  # a spread below it is that of rounding
_ALONE = 1e-9  # a unit whose cells' means follow it to this fraction shows no spread


class Strata:
    """Units and the cells in which they stand.

    A stratum is a cell with what is linked to it by units that stand in several: within a stratum units are
    drawn with replacement. What its units have in common by their cells is no spread between them and is
    taken out of their effects by least squares.

    Parameters
    ----------
    cells : names of the cells of each unit, at least one.
    weights : of the units, such as their numbers of patches: effects are expected to grow with them. None
        weighs all alike.
    """

    def __init__(self, cells: tuple[tuple[str, ...], ...], weights: Sequence[float] | None = None) -> None:
        from scipy.sparse import csr_matrix  # takes long, and reading definitions needs none
        from scipy.sparse.csgraph import connected_components

        names = sorted({cell for those in cells for cell in those})
        place = {name: number for number, name in enumerate(names)}
        member = np.zeros((len(cells), len(names)))
        for unit, those in enumerate(cells):
            member[unit, [place[cell] for cell in those]] = 1
        count, of_cell = connected_components(csr_matrix(member.T @ member), directed=False)
        stratum = of_cell[member.argmax(axis=1)]
        self.units = [np.flatnonzero(stratum == number) for number in range(count)]
        roots = np.ones(len(cells)) if weights is None else np.sqrt(np.asarray(weights, dtype=np.float64))
        self._roots = [roots[units] for units in self.units]
        self._designs = [
            own[:, None] * member[np.ix_(units, of_cell == number)]
            for number, (units, own) in enumerate(zip(self.units, self._roots, strict=True))
        ]

    @cached_property
    def _hats(self) -> list[Float64]:
        return [np.asarray(design @ np.linalg.pinv(design)) for design in self._designs]

    @cached_property
    def freedom(self) -> Float64:
        """(strata,) degrees of freedom: units minus cells (their rank).

        Units of unequal weights count as so many equal ones as have the same variance of the mean (Kish
        1965).
        """
        return np.array(
            [
                max(_effective_number(roots**2) - np.linalg.matrix_rank(design), float(len(design) > 1))
                for design, roots in zip(self._designs, self._roots, strict=True)
            ]
        )

    @cached_property
    def alone(self) -> npt.NDArray[np.bool_]:
        """(units,) whether a unit is all that its cells can tell apart: such units show no spread."""
        alone = np.zeros(sum(map(len, self.units)), dtype=bool)
        for units, hat in zip(self.units, self._hats, strict=True):
            alone[units] = 1 - hat.diagonal() < _ALONE
        return alone

    def says_nothing(self, drawn: str) -> bool:
        """Whether the units give no interval: all are alone, or one is in a drop, which tests all of them."""
        return bool(self.alone.all() if drawn == "slides" else self.alone.any())

    def are_alike(self, effects: Float64) -> bool:
        """Whether units could differ and none does, so that their (units,) effects show no spread at all."""
        return not self.alone.all() and bool(np.abs(self.residuals(effects)).max() < _ALIKE)

    def residuals(self, effects: Float64) -> Float64:
        """What is left of (units, ...) effects, so scaled that the sum of squares is their sum's variance.

        Least squares on the cells, divided by sqrt(1 - leverage) (HC2). Where every unit stands in one cell
        and all weigh the same, that is the deviation from the cell's mean times sqrt(n / (n - 1)).
        """
        left = np.zeros_like(effects)
        for units, hat, roots in zip(self.units, self._hats, self._roots, strict=True):
            free = 1 - hat.diagonal()
            scale = np.where(free < _ALONE, 0, roots / np.sqrt(np.maximum(free, _ALONE)))
            own = (effects[units].T / roots).T
            left[units] = (scale * (own - hat @ own).T).T
        return left

    def degrees_of_freedom(self, residuals: Float64) -> float:
        """Satterthwaite's, of the sum of squares of (units,) residuals; infinite without spread."""
        variances = np.array([(residuals[units] ** 2).sum() for units in self.units])
        some = (variances > 0) & (self.freedom > 0)
        if not some.any():
            return math.inf
        return float(variances[some].sum() ** 2 / (variances[some] ** 2 / self.freedom[some]).sum())

    def draw(self, residuals: Float64, count: int, generator: np.random.Generator) -> Float64:
        """(count, values) sums of (units, values) residuals over units drawn with replacement within strata.

        Order and names of the units make no difference: they are drawn in the order of their residuals.
        """
        groups = [residuals[units] for units in self.units]
        ordered = [group[np.lexsort(group.T[::-1])] for group in groups]
        total = np.zeros((count, residuals.shape[1]))
        for group in sorted(ordered, key=lambda group: (len(group), *group.ravel().tolist())):
            n = len(group)
            total += group[generator.integers(n, size=(count, n))].sum(axis=1) - group.sum(axis=0)
        return total


def _effective_number(weights: Float64) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())
