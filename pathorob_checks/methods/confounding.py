"""How far biological class and medical center go together in patches, and what that means for a repair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.repair import Repair
from pathorob_checks.wording import counted, named

REFUSED_V = 0.5
"""From this Cramér's V on a repair is refused.

In two classes and two centers of equal size V is the difference between the centers' shares of a class. The
difference between the centers' means then holds V times the difference between the classes' means: at .5 half
of the biology goes with the center. Cohen (1988) calls an association of .5 large.
"""

WARNED_V = 0.2
"""From this Cramér's V on a repair is warned of.

At .2 a fifth of the difference between the classes' means goes with the center (see `REFUSED_V`), and 60 % of
a class come from one of two centers. A cohort that is balanced up to chance has a smaller V.
"""

_DECIMALS = 12  # so that .5 is .5 whatever the order of the sums


@dataclass(frozen=True)
class Confounding:
    """Of the patches that a repair is fitted on.

    Attributes
    ----------
    cramers_v : float
        Cramér's V of biological class and medical center over the patches of known class, 0 to 1; 0 where
        there is only one class or only one center.
    empty_cells : tuple of (str, str)
        Medical center and biological class that no patch has together, sorted.
    """

    cramers_v: float
    empty_cells: tuple[tuple[str, str], ...]

    def refuses(self, repair: type[Repair]) -> bool:
        """Whether the repair would remove biology for certain or to a large part.

        True for an empty cell or a V of `REFUSED_V` or more, if it is a repair that `removes_centers`.
        """
        return repair.removes_centers and bool(self.empty_cells or self.cramers_v >= REFUSED_V)

    def warns(self, repair: type[Repair]) -> bool:
        """Whether a repair that `removes_centers` is not refused, but V is `WARNED_V` or more."""
        return repair.removes_centers and not self.refuses(repair) and self.cramers_v >= WARNED_V

    def check(self, repair: type[Repair]) -> None:
        """Raise a MethodError if the repair is refused."""
        if self.refuses(repair):
            problem = f"method {repair.name!r} would remove biology: {self._observed(REFUSED_V)}"
            raise MethodError(
                problem, remedy="fit it on patches in which every medical center has every class"
            )

    def warning(self, repair: type[Repair]) -> str | None:
        """A sentence where `warns`, else None."""
        if not self.warns(repair):
            return None
        return f"Method {repair.name!r} may remove biology: {self._observed(WARNED_V)}."

    def _observed(self, bound: float) -> str:
        if self.empty_cells:
            cells = [f"{center}, {kind}" for center, kind in self.empty_cells]
            return f"no patch is known of {named(cells, 'pair', 'pairs')} of a medical center and a class"
        return (
            f"class and medical center go together in its patches "
            f"(Cramér's V {self.cramers_v:.3g}, limit {bound:g})"
        )


def confounding_of(centers: Sequence[str], classes: Sequence[str | None]) -> Confounding:
    """The confounding of class and center in N patches.

    Parameters
    ----------
    centers : N medical centers.
    classes : N biological classes, None where unknown; these patches are left out, but their centers count.

    Returns
    -------
    Confounding

    Raises
    ------
    MethodError : the numbers differ, or no class is known.

    Notes
    -----
    V is the root of chi-squared / (N (min(classes, centers) - 1)) without Yates's correction (Cramér 1946).

    Examples
    --------
    >>> from pathorob_checks.methods.confounding import confounding_of
    >>> classes = ["tumor"] * 3 + ["normal"] * 4 + ["tumor"]
    >>> confounding_of(["Aachen"] * 4 + ["Bonn"] * 4, classes)
    Confounding(cramers_v=0.5, empty_cells=())
    """
    if len(centers) != len(classes):
        sizes = f"{counted(len(centers), 'medical center')} and {counted(len(classes), 'class', 'classes')}"
        raise MethodError(f"the patches have {sizes}", remedy="give one of each for every patch")
    cells = Counter((center, kind) for center, kind in zip(centers, classes, strict=True) if kind is not None)
    if not cells:
        raise MethodError("no patch has a known biological class", remedy="fit on patches of known class")
    rows, columns = sorted(set(centers)), sorted({kind for _, kind in cells})
    counts = np.array([[cells[row, column] for column in columns] for row in rows], dtype=np.float64)
    empty = tuple(cell for cell in product(rows, columns) if cell not in cells)
    return Confounding(round(_cramers_v(counts), _DECIMALS), empty)


def _cramers_v(counts: np.typing.NDArray[np.float64]) -> float:
    from scipy.stats.contingency import association

    counts = counts[counts.any(axis=1)]
    return 0.0 if 1 in counts.shape else float(association(counts.astype(np.int64), method="cramer"))
