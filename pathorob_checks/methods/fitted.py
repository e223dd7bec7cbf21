"""What repairs of this package share: checked input, arrays that are learned, kept and restored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.covariance import Shrinkage
from pathorob_checks.methods.repair import Float32, Repair, State
from pathorob_checks.methods.seen_patches import (
    SeenPatches,
    checked_embeddings,
    checked_labels,
    seen_patches,
)

Codes = npt.NDArray[np.intp]
Arrays: TypeAlias = Mapping[str, tuple[type[np.generic], str]]


class FittedRepair(Repair):
    """A repair that learns arrays of known types and shapes from patches by medical center.

    Attributes
    ----------
    arrays : mapping
        Type and axes of every array: `C` is the centers of the fit, `D` the dimension; other letters are
        lengths that the arrays themselves set, the same one for the same letter.
    fewest_patches : int
        How many patches it needs of every center.
    """

    arrays: ClassVar[Arrays]
    fewest_patches: ClassVar[int] = 1

    def __init__(self) -> None:
        self._state: State | None = None
        self._centers: tuple[str, ...] = ()

    def fit(
        self, embeddings: Float32, *, centers: Sequence[str], classes: Sequence[str | None] | None = None
    ) -> Self:
        """Learn from patches that may be seen; see `Repair.fit`."""
        if self.uses_classes and classes is None:
            remedy = "give the biological class of every patch, None where it is unknown"
            raise MethodError(
                f"method {self.name!r} is fitted with classes, and none were given", remedy=remedy
            )
        used = classes if self.uses_classes else None
        seen = seen_patches(self.name, embeddings, centers, used, fewest=self.fewest_patches)
        return self.restore(self._learned(seen), seen.centers)

    @abstractmethod
    def _learned(self, seen: SeenPatches) -> dict[str, npt.NDArray[Any]]:
        """The arrays of `arrays`."""

    def transform(self, embeddings: Float32, *, centers: Sequence[str]) -> Float32:
        """Repair patches; see `Repair.transform`."""
        state = self.state()
        matrix = checked_embeddings(self.name, embeddings, self.dimension)
        codes = self._codes(checked_labels(self.name, "medical center", centers, len(matrix)))
        return self._float32(self._repaired(state, matrix, codes))

    @abstractmethod
    def _repaired(self, state: State, embeddings: Float32, codes: Codes) -> npt.NDArray[Any]:
        """New (M, D) repaired embeddings; a code is the center's number, -1 for one that was not seen."""

    def _codes(self, centers: Sequence[str]) -> Codes:
        number = {center: code for code, center in enumerate(self._centers)}
        return np.array([number.get(center, -1) for center in centers], dtype=np.intp)

    def _float32(self, repaired: npt.NDArray[Any]) -> Float32:
        with np.errstate(over="ignore"):
            values = repaired.astype(np.float32, copy=False)
        if not np.isfinite(values).all():
            problem = f"method {self.name!r}: repaired embeddings are too large for float32"
            raise MethodError(problem, remedy="check the embeddings for outliers, or scale them down")
        return values

    def state(self) -> State:
        """What `fit` has learned; raises MethodError before that."""
        if self._state is None:
            raise MethodError(f"method {self.name!r} is not fitted", remedy="call fit first")
        return self._state

    def restore(self, state: State, centers: Sequence[str]) -> Self:
        """Undo `state`; see `Repair.restore`."""
        if problem := self._misfit(state, centers):
            raise MethodError(f"method {self.name!r}: {problem}", remedy="save the fitted repair again")
        kept = {name: np.array(state[name], order="C") for name in self.arrays}  # copies
        for values in kept.values():
            values.flags.writeable = False
        self._state, self._centers = kept, tuple(centers)
        return self

    def _misfit(self, state: State, centers: Sequence[str]) -> str | None:
        """What is wrong with arrays that claim to be those of a fit."""
        if set(state) != set(self.arrays):
            return (
                f"its arrays are {', '.join(sorted(state)) or 'none'}, not {', '.join(sorted(self.arrays))}"
            )
        if list(centers) != sorted(set(centers)) or len(centers) < 2:
            return "its medical centers are not two or more different names in order"
        lengths = {"C": len(centers)}
        for name, (kind, axes) in self.arrays.items():
            values = state[name]
            if values.dtype != kind or values.ndim != len(axes):
                return f"its array {name!r} is {values.dtype} with {values.ndim} axes"
            for axis, length in zip(axes, values.shape, strict=True):
                if lengths.setdefault(axis, length) != length:
                    return f"its array {name!r} has the shape {values.shape}, which does not fit the others"
            if not np.isfinite(values).all():
                return f"its array {name!r} has values that are not finite"
        return None

    @property
    def centers(self) -> tuple[str, ...]:
        """The medical centers of `fit`, sorted; none before that."""
        return self._centers

    @property
    def dimension(self) -> int | None:
        """D of the embeddings of `fit`; None before that."""
        if self._state is None:
            return None
        name, axes = next((name, axes) for name, (_, axes) in self.arrays.items() if "D" in axes)
        return int(self._state[name].shape[axes.index("D")])


class FeaturewiseRepair(FittedRepair):
    """A repair that scales and moves every feature, with one scale and offset for each medical center."""

    arrays: ClassVar[Arrays] = {"scale": (np.float64, "CD"), "offset": (np.float64, "CD")}

    def _repaired(self, state: State, embeddings: Float32, codes: Codes) -> npt.NDArray[Any]:
        repaired = embeddings.copy()
        with np.errstate(over="ignore"):
            for code in np.unique(codes[codes >= 0]):
                rows = codes == code
                repaired[rows] = embeddings[rows] * state["scale"][code] + state["offset"][code]
        return repaired


class ShrinkingRepair(FittedRepair):
    """A repair by covariances, each shrunken to a multiple of the identity.

    Parameters
    ----------
    shrinkage : float, optional
        Share in (0, 1] of the shrinkage; that of Ledoit and Wolf (2004) for every covariance if None.
    """

    fewest_patches = 2

    def __init__(self, shrinkage: float | None = None) -> None:
        super().__init__()
        self._shrinkage = Shrinkage(self.name, shrinkage)

    @property
    def settings(self) -> dict[str, Any]:
        """The shrinkage; None for Ledoit and Wolf's."""
        return {"shrinkage": self._shrinkage.share}


def mapped(
    embeddings: Float32,
    rows: npt.NDArray[np.bool_],
    means: npt.NDArray[np.float64],
    matrix: Float32,
    target: npt.NDArray[np.float64],
    into: Float32,
) -> None:
    """Write `(x - means) @ matrix + target` of the rows x that are True to the same rows of `into`."""
    with np.errstate(over="ignore", invalid="ignore"):
        centered = (embeddings[rows] - means).astype(np.float32)
        into[rows] = centered @ matrix + target
