"""Repairs by ComBat: location and scale of every medical center, shrunken over the features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.fitted import Arrays, FeaturewiseRepair
from pathorob_checks.methods.repair import Float32, State
from pathorob_checks.methods.seen_patches import (
    RESOLUTION,
    Float64,
    Moments,
    SeenPatches,
    checked_classes,
    moments,
)
from pathorob_checks.wording import counted, named, quoted

_TOLERANCE = 1e-10  # of the iteration, in standard deviations of a feature and relative to a variance
_MOST_STEPS = 10_000


@dataclass(frozen=True)
class _Standardized:
    """Least squares of the embeddings on medical center and biological class.

    Attributes
    ----------
    effects : (K, D), of the classes, about their mean over all patches.
    deviation : (D,), root of the mean squared residual.
    locations : (C, D), of the centers about the mean of all patches, in deviations.
    variances : (C, D), of the residuals of the centers, in squared deviations.
    adjusted : (D,), whether the feature varies in every center.
    """

    effects: Float64
    deviation: Float64
    locations: Float64
    variances: Float64
    adjusted: npt.NDArray[np.bool_]


def _standardized(cells: dict[tuple[int, int], Moments], C: int, K: int) -> _Standardized:
    """From the moments of the patches of every (center, class) that has some."""
    counts = np.array([cell.count for cell in cells.values()], dtype=np.float64)
    means = np.stack([cell.mean for cell in cells.values()])
    of_center, of_class = np.array(list(cells)).T
    N, mean = counts.sum(), counts @ means / counts.sum()
    design = np.hstack([np.eye(C)[of_center], np.eye(K)[of_class][:, 1:]])
    roots = np.sqrt(counts)[:, None]
    fit = np.linalg.lstsq(roots * design, roots * (means - mean), rcond=None)[0]
    effects = np.vstack([np.zeros_like(mean), fit[C:]])
    average = counts @ effects[of_class] / N
    misfit = means - mean - design @ fit
    squares = np.stack([cell.squares for cell in cells.values()]) + counts[:, None] * misfit**2
    in_center = np.eye(C)[of_center]
    largest = np.stack(
        [
            np.max([cell.largest for (c, _), cell in cells.items() if c == center], axis=0)
            for center in range(C)
        ]
    )
    variances = in_center.T @ squares / (in_center.T @ counts - 1)[:, None]
    adjusted = (np.sqrt(variances) > RESOLUTION * largest).all(axis=0)
    deviation = np.where(adjusted, np.sqrt(squares.sum(axis=0) / N), 1.0)
    return _Standardized(
        effects=effects - average,
        deviation=deviation,
        locations=(fit[:C] + average) / deviation,
        variances=variances / deviation**2,
        adjusted=adjusted,
    )


def _posterior(location: Float64, variance: Float64, count: int) -> tuple[Float64, Float64] | None:
    """Posterior location and variance of every feature of one center; None if they do not settle.

    The priors' parameters are moments over the features. In the equation of the variance, numerator and
    denominator are multiplied by the variance of the variances, so that it may be 0.
    """
    prior, spread = location.mean(), location.var(ddof=1)
    typical, noise = variance.mean(), variance.var(ddof=1)
    new_location, new_variance = location, variance
    for _ in range(_MOST_STEPS):
        old_location, old_variance = new_location, new_variance
        new_location = (spread * count * location + old_variance * prior) / (spread * count + old_variance)
        squares = (count - 1) * variance + count * (location - new_location) ** 2
        new_variance = (0.5 * squares * noise + typical * (noise + typical**2)) / (
            (count / 2 + 1) * noise + typical**2
        )
        moved = np.abs(new_location - old_location).max()
        if max(moved, (np.abs(new_variance - old_variance) / old_variance).max()) < _TOLERANCE:
            return new_location, new_variance
    return None


class Combat(FeaturewiseRepair):
    """ComBat with parametric empirical Bayes, without biological classes.

    Location and scale of every feature in every medical center are shrunken to what is usual over the
    features of that center, then removed. Where classes and centers go together this removes biology, too:
    see `confounding`. A feature that does not vary in some center stays as it is. Patches of a center that
    was not seen stay as they are.

    Notes
    -----
    Source: Johnson, Li and Rabinovic, Biostatistics 8 (2007). The iteration goes on until no location changes
    by 1e-10 standard deviations and no variance by that share.

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.combat import Combat
    >>> x = np.random.default_rng(0).standard_normal((100, 20)).astype(np.float32)
    >>> x[::2] += 5
    >>> centers = ["Aachen", "Bonn"] * 50
    >>> repaired = Combat().fit(x, centers=centers).transform(x, centers=centers)
    >>> bool(abs(repaired[::2].mean() - repaired[1::2].mean()) < 0.01)
    True
    """

    name = "combat"
    fewest_patches = 2

    def _learned(self, seen: SeenPatches) -> dict[str, npt.NDArray[Any]]:
        cells = {(center, 0): moments(group) for center, group in enumerate(seen.embeddings)}
        return self._adjustments(seen, _standardized(cells, len(seen.centers), 1))

    def _adjustments(self, seen: SeenPatches, fit: _Standardized) -> dict[str, npt.NDArray[Any]]:
        adjusted = fit.adjusted
        if adjusted.sum() < 2:
            number = counted(int(adjusted.sum()), "feature varies", "features vary")
            problem = f"method {self.name!r}: {number} within every medical center, but two are needed"
            raise MethodError(problem, remedy="fit it on more patches, or use the method 'center'")
        shape = (len(seen.centers), seen.dimension)
        scale, shift = np.ones(shape), np.zeros(shape)
        for code, (center, group) in enumerate(seen.by_center()):
            posterior = _posterior(fit.locations[code, adjusted], fit.variances[code, adjusted], len(group))
            if posterior is None:
                problem = (
                    f"method {self.name!r}: its parameters do not settle in the medical center {center!r}"
                )
                raise MethodError(problem, remedy="use another method, such as 'standardize'")
            location, variance = posterior
            scale[code, adjusted] = 1 / np.sqrt(variance)
            shift[code, adjusted] = location * fit.deviation[adjusted]
        return {"scale": scale, "offset": seen.mean() * (1 - scale) - scale * shift}


class CombatClass(Combat):
    """ComBat with the biological class as covariate of the fit.

    Differences between classes are no differences between medical centers then, also where the centers have
    unlike shares of the classes. Patches of unknown class are left out of the fit. To be repaired, a patch
    needs no class: the mean of the fit takes the place of its class's mean. `transform` with `classes` gives
    what ComBat is in the literature, but only for patches whose class is known.

    Notes
    -----
    Source: Johnson, Li and Rabinovic, Biostatistics 8 (2007).

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.combat import CombatClass
    >>> x = np.random.default_rng(0).standard_normal((100, 20)).astype(np.float32)
    >>> centers, classes = ["Aachen", "Bonn"] * 50, ["tumor"] * 49 + ["normal"] * 51
    >>> repair = CombatClass().fit(x, centers=centers, classes=classes)
    >>> repair.transform(x, centers=centers).shape
    (100, 20)
    """

    name = "combat-class"
    uses_classes = True
    arrays: ClassVar[Arrays] = {
        **Combat.arrays,
        "effects": (np.float64, "KD"),
        "classes": (np.uint8, "B"),  # JSON: names have no type of their own among tensors
    }

    def transform(
        self,
        embeddings: Float32,
        *,
        centers: Sequence[str],
        classes: Sequence[str | None] | None = None,
    ) -> Float32:
        """Repair patches; see `Repair.transform`.

        Parameters
        ----------
        embeddings, centers : as of `Repair.transform`.
        classes : M biological classes of the fit, None where unknown, or None: none is known.

        Raises
        ------
        MethodError : a class is not one of the fit, or see `Repair.transform`.
        """
        repaired = super().transform(embeddings, centers=centers)
        if classes is None:
            return repaired
        state, numbers = self.state(), {kind: number for number, kind in enumerate(self.classes)}
        labels = checked_classes(self.name, classes, len(repaired))
        if new := sorted({label for label in labels if label is not None} - set(numbers)):
            problem = (
                f"method {self.name!r}: its fit lacks {named(new, 'biological class', 'biological classes')}"
            )
            raise MethodError(problem, remedy=f"use classes of the fit: {quoted(self.classes)}, or None")
        # A center that was not seen has the scale 1: nothing is added there.
        scale = np.vstack([state["scale"], np.ones(repaired.shape[1])])[self._codes(centers)]
        effects = np.vstack([state["effects"], np.zeros(repaired.shape[1])])
        own = effects[[len(numbers) if label is None else numbers[label] for label in labels]]
        return self._float32(repaired + own * (1 - scale))

    @property
    def classes(self) -> tuple[str, ...]:
        """The biological classes of `fit`, sorted."""
        return tuple(json.loads(self.state()["classes"].tobytes()))

    def _learned(self, seen: SeenPatches) -> dict[str, npt.NDArray[Any]]:
        labeled = self._labeled(seen)
        kinds = sorted({label for labels in labeled.labels for label in labels if label is not None})
        cells: dict[tuple[int, int], Moments] = {}
        for center, (group, labels) in enumerate(zip(labeled.embeddings, labeled.labels, strict=True)):
            for number, kind in enumerate(kinds):
                rows = [row for row, label in enumerate(labels) if label == kind]
                if rows:
                    cells[center, number] = moments(group[rows])
        self._check_linked(labeled.centers, list(cells))
        fit = _standardized(cells, len(labeled.centers), len(kinds))
        return {
            **self._adjustments(labeled, fit),
            "effects": fit.effects,
            "classes": np.frombuffer(json.dumps(kinds).encode(), dtype=np.uint8),
        }

    def _labeled(self, seen: SeenPatches) -> SeenPatches:
        """The seen patches whose class is known; refuses a center that has too few of them."""
        rows_of = [[row for row, label in enumerate(labels) if label is not None] for labels in seen.labels]
        for center, rows in zip(seen.centers, rows_of, strict=True):
            if len(rows) < self.fewest_patches:
                patches = counted(len(rows), "patch", "patches")
                problem = (
                    f"method {self.name!r}: the medical center {center!r} has {patches} of known class, "
                )
                remedy = "leave the center out of the fit, or use the method 'combat'"
                raise MethodError(f"{problem}but {self.fewest_patches} are needed", remedy=remedy)
        return SeenPatches(
            seen.centers,
            tuple(group[rows] for group, rows in zip(seen.embeddings, rows_of, strict=True)),
            tuple(
                tuple(labels[row] for row in rows) for labels, rows in zip(seen.labels, rows_of, strict=True)
            ),
        )

    def _check_linked(self, centers: Sequence[str], cells: list[tuple[int, int]]) -> None:
        """Refuse centers without a common class, directly or through others: nothing compares them."""
        center, kind = np.array(cells).T
        size = len(centers) + int(kind.max()) + 1
        links = coo_array((np.ones(len(cells)), (center, len(centers) + kind)), shape=(size, size))
        _, part = connected_components(links, directed=False)
        if apart := [name for name, one in zip(centers, part, strict=False) if one != part[0]]:
            others = named(apart, "medical center", "medical centers")
            problem = f"method {self.name!r}: no biological class links {others} with {centers[0]!r}"
            raise MethodError(problem, remedy="add patches of a class that both sides have")

    def _misfit(self, state: State, centers: Sequence[str]) -> str | None:
        if problem := super()._misfit(state, centers):
            return problem
        try:
            kinds = json.loads(state["classes"].tobytes())
        except (ValueError, RecursionError):
            kinds = None
        named_kinds = isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)
        if not named_kinds or kinds != sorted(set(kinds)) or len(kinds) != len(state["effects"]):
            return "its biological classes do not fit their effects"
        return None


METHODS = (Combat, CombatClass)
