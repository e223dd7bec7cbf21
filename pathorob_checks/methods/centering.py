"""Repairs that give every medical center the same mean, the same spread, or uncorrelated features."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pathorob_checks.methods.covariance import covariance_of
from pathorob_checks.methods.fitted import Arrays, Codes, FeaturewiseRepair, ShrinkingRepair, mapped
from pathorob_checks.methods.repair import Float32, State
from pathorob_checks.methods.seen_patches import SeenPatches, deviations, moments
from pathorob_checks.numerics import threads


class Center(FeaturewiseRepair):
    """Move the mean of every medical center to the mean of all seen patches.

    Patches of a center that was not seen stay as they are. One patch of a center is enough.

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.centering import Center
    >>> x = np.array([[0, 1], [2, 1], [10, 5], [12, 5]], dtype=np.float32)
    >>> centers = ["Aachen", "Aachen", "Bonn", "Bonn"]
    >>> Center().fit(x, centers=centers).transform(x, centers=centers).tolist()
    [[5.0, 3.0], [7.0, 3.0], [5.0, 3.0], [7.0, 3.0]]
    """

    name = "center"

    def _learned(self, seen: SeenPatches) -> dict[str, npt.NDArray[Any]]:
        mean = seen.mean()
        offset = np.stack([mean - moments(group).mean for group in seen.embeddings])
        return {"scale": np.ones_like(offset), "offset": offset}


class Standardize(FeaturewiseRepair):
    """Give every feature the pooled mean and standard deviation in every medical center.

    The mean is that of all seen patches. The pooled standard deviation is that within centers: the root of
    the sum of squared deviations from the centers' means, divided by N - C. The deviation of all patches
    together would hold the differences between centers too. A feature that does not vary within a center is
    moved there, not scaled. Patches of a center that was not seen stay as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.centering import Standardize
    >>> x = np.array([[0], [2], [10], [16]], dtype=np.float32)
    >>> centers = ["Aachen", "Aachen", "Bonn", "Bonn"]
    >>> Standardize().fit(x, centers=centers).transform(x, centers=centers).ravel().round(1)
    array([4.8, 9.2, 4.8, 9.2], dtype=float32)
    """

    name = "standardize"
    fewest_patches = 2

    def _learned(self, seen: SeenPatches) -> dict[str, npt.NDArray[Any]]:
        of_centers = [moments(group) for group in seen.embeddings]
        squares = np.sum([one.squares for one in of_centers], axis=0)
        pooled = np.sqrt(squares / (seen.count - len(seen.centers)))
        scale = np.stack(
            [
                np.divide(pooled, one.deviation, out=np.ones_like(pooled), where=one.varies)
                for one in of_centers
            ]
        )
        return {"scale": scale, "offset": seen.mean() - scale * np.stack([one.mean for one in of_centers])}


class Whiten(ShrinkingRepair):
    """Whiten the embeddings of every medical center (ZCA) around the mean of all seen patches.

    A patch x of center c becomes `(x - mean_c) S_c^(-1/2) + mean` with the center's shrunken covariance S_c.
    A patch of a center that was not seen is whitened with the mean and the covariance of all seen patches:
    unchanged it would be in another space than the others.

    Parameters
    ----------
    shrinkage : float, optional
        Share in (0, 1] of the covariance's shrinkage to a multiple of the identity; that of Ledoit and Wolf
        (2004) for every covariance if None. They take patches as independent.

    Notes
    -----
    Source of ZCA-whitening: Kessy, Lewin and Strimmer, The American Statistician 72 (2018). Of all whitenings
    it keeps the features closest to what they were.

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.centering import Whiten
    >>> x = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32) * [1, 5, 9]
    >>> x, centers = x.astype(np.float32), ["Aachen", "Bonn"] * 100
    >>> whitened = Whiten(shrinkage=1e-6).fit(x, centers=centers).transform(x, centers=centers)
    >>> whitened[::2].std(axis=0, ddof=1).round(3).tolist()
    [1.0, 1.0, 1.0]
    """

    name = "whiten"
    arrays: ClassVar[Arrays] = {
        "means": (np.float64, "CD"),
        "mean": (np.float64, "D"),
        "matrices": (np.float32, "CDD"),
        "matrix_of_all": (np.float32, "DD"),
    }

    def _learned(self, seen: SeenPatches) -> dict[str, npt.NDArray[Any]]:
        groups = {f"the medical center {center!r}": group for center, group in seen.by_center()}
        groups["all patches"] = np.concatenate(seen.embeddings)
        *matrices, matrix_of_all = threads.spread(self._matrix, groups.items())
        return {
            "means": np.stack([moments(group).mean for group in seen.embeddings]),
            "mean": seen.mean(),
            "matrices": np.stack(matrices),
            "matrix_of_all": matrix_of_all,
        }

    def _matrix(self, group: tuple[str, Float32]) -> Float32:
        where, embeddings = group
        covariance = covariance_of(deviations(embeddings), len(embeddings) - 1, self._shrinkage, where)
        return covariance.power(-0.5).astype(np.float32)

    def _repaired(self, state: State, embeddings: Float32, codes: Codes) -> npt.NDArray[Any]:
        repaired = np.empty_like(embeddings)
        for code in np.unique(codes):
            means, matrix = (
                (state["mean"], state["matrix_of_all"])
                if code < 0
                else (state["means"][code], state["matrices"][code])
            )
            mapped(embeddings, codes == code, means, matrix, state["mean"], repaired)
        return repaired


METHODS = (Center, Standardize, Whiten)
