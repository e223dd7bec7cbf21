"""A repair that gives every medical center the same mean and the same covariance."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pathorob_checks.methods.covariance import ShrunkenCovariance, covariance_of
from pathorob_checks.methods.fitted import Arrays, Codes, ShrinkingRepair, mapped
from pathorob_checks.methods.repair import State
from pathorob_checks.methods.seen_patches import Float64, SeenPatches, deviations, moments
from pathorob_checks.numerics import threads


class Coral(ShrinkingRepair):
    """Whiten the embeddings of every medical center and recolor them with the pooled covariance.

    A patch x of center c becomes `(x - mean_c) S_c^(-1/2) S^(1/2) + mean` with the center's shrunken
    covariance S_c, the mean of all seen patches, and S, the shrunken covariance within centers (of deviations
    from the centers' means, divided by N - C). Patches of a center that was not seen stay as they are.

    Parameters
    ----------
    shrinkage : float, optional
        Share in (0, 1] of every covariance's shrinkage to a multiple of the identity; that of Ledoit and Wolf
        (2004) for every covariance if None. They take patches as independent.

    Notes
    -----
    Source: Sun, Feng and Saenko, Return of frustratingly easy domain adaptation, AAAI 2016. They add the
    identity to every covariance instead; shrinkage does not depend on the scale of an FM.

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.coral import Coral
    >>> x = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    >>> x[::2] *= np.float32([1, 3])
    >>> centers = ["Aachen", "Bonn"] * 100
    >>> repaired = Coral(shrinkage=1e-6).fit(x, centers=centers).transform(x, centers=centers)
    >>> bool(np.allclose(np.cov(repaired[::2].T), np.cov(repaired[1::2].T), rtol=1e-4))
    True
    """

    name = "coral"
    arrays: ClassVar[Arrays] = {
        "means": (np.float64, "CD"),
        "mean": (np.float64, "D"),
        "matrices": (np.float32, "CDD"),
    }

    def _learned(self, seen: SeenPatches) -> dict[str, npt.NDArray[Any]]:
        within = [deviations(group) for group in seen.embeddings]
        groups = {
            f"the medical center {center!r}": (group, len(group) - 1)
            for center, group in zip(seen.centers, within, strict=True)
        }
        groups["the medical centers"] = np.concatenate(within), seen.count - len(seen.centers)
        *centers, pooled = threads.spread(self._covariance, groups.items())
        color = pooled.power(0.5)
        matrices = [(one.power(-0.5) @ color).astype(np.float32) for one in centers]
        return {
            "means": np.stack([moments(group).mean for group in seen.embeddings]),
            "mean": seen.mean(),
            "matrices": np.stack(matrices),
        }

    def _covariance(self, group: tuple[str, tuple[Float64, int]]) -> ShrunkenCovariance:
        where, (centered, freedom) = group
        return covariance_of(centered, freedom, self._shrinkage, where)

    def _repaired(self, state: State, embeddings: npt.NDArray[np.float32], codes: Codes) -> npt.NDArray[Any]:
        repaired = embeddings.copy()
        for code in np.unique(codes[codes >= 0]):
            means, matrix = state["means"][code], state["matrices"][code]
            mapped(embeddings, codes == code, means, matrix, state["mean"], repaired)
        return repaired


METHODS = (Coral,)
