"""Repairs that remove, for patches of any medical center, the directions that tell centers apart."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.covariance import axes_of
from pathorob_checks.methods.fitted import Arrays, Codes, FittedRepair
from pathorob_checks.methods.repair import Float32, State
from pathorob_checks.methods.seen_patches import RESOLUTION, Float64, SeenPatches, moments
from pathorob_checks.numerics import threads
from pathorob_checks.wording import counted

_ROUNDING = 1e-12  # share of a feature's largest value below which means, summed in float64, are equal
_NO_CORRELATION = 1e-8  # a canonical correlation of embeddings and center below which there is none


class _Projection(FittedRepair):
    """`x - (x - mean) right left`, the same for every medical center."""

    arrays: ClassVar[Arrays] = {
        "mean": (np.float64, "D"),
        "right": (np.float64, "DR"),
        "left": (np.float64, "RD"),
    }

    def _repaired(self, state: State, embeddings: Float32, codes: Codes) -> npt.NDArray[Any]:  # noqa: ARG002
        coordinates = (embeddings - state["mean"]) @ state["right"]
        return np.asarray(embeddings - coordinates @ state["left"])

    def _check_rest(self, seen: SeenPatches, rank: int) -> None:
        """Refuse a projection that makes all seen patches equal."""
        most = min(seen.dimension, seen.count - 1)
        if rank >= most:
            of = f"{counted(seen.count, 'patch', 'patches')} of dimension {seen.dimension:,}"
            centers = counted(len(seen.centers), "medical center")
            problem = f"method {self.name!r}: the means of {centers} leave nothing of {of}"
            raise MethodError(problem, remedy="fit it on more patches of each center, or on fewer centers")


def _means_about(seen: SeenPatches, mean: Float64) -> Float64:
    """(C, D) means of centers less the mean of all; exactly 0 in features in which they are equal."""
    of_centers = [moments(group) for group in seen.embeddings]
    means = np.stack([one.mean for one in of_centers]) - mean
    largest = np.max([one.largest for one in of_centers], axis=0)
    return np.where(np.abs(means).max(axis=0) > _ROUNDING * largest, means, 0.0)


class Subspace(_Projection):
    """Project out the span of the differences between the centers' means, at most C - 1 directions.

    The mean of all seen patches stays. It works for patches of a center that was not seen, too: they lose
    the same directions.

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.subspace import Subspace
    >>> x = np.array([[0, 1], [0, 3], [8, 1], [8, 3]], dtype=np.float32)
    >>> repair = Subspace().fit(x, centers=["Aachen", "Aachen", "Bonn", "Bonn"])
    >>> repair.transform(np.float32([[5, 7]]), centers=["Cork"]).round(3).tolist()
    [[4.0, 7.0]]
    """

    name = "subspace"

    def _learned(self, seen: SeenPatches) -> dict[str, npt.NDArray[Any]]:
        mean = seen.mean()
        means = _means_about(seen, mean)
        _, sizes, directions = np.linalg.svd(means, full_matrices=False)
        directions = directions[sizes > RESOLUTION * max(sizes[0], np.finfo(np.float64).tiny)]
        self._check_rest(seen, len(directions))
        return {"mean": mean, "right": directions.T, "left": directions}


class Leace(_Projection):
    """Least-squares concept erasure (LEACE) of the medical center.

    Afterwards no linear classifier finds anything of the center in the seen patches: the centers' means are
    equal. Of all affine maps with this property it changes the embeddings least (in mean squares). Patches of
    a center that was not seen are treated alike.

    Notes
    -----
    With the covariance S of all seen patches and the covariance T of embeddings and centers, x becomes `x -
    S^(1/2) U U' S^(-1/2) (x - mean)`, where the columns of U span `S^(-1/2) T` and the inverse root is a
    pseudo-inverse. Source: Belrose et al., LEACE: Perfect linear concept erasure in closed form, NeurIPS
    2023, theorem 4.3.

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.subspace import Leace
    >>> x = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    >>> x[::2, 0] += 5
    >>> centers = ["Aachen", "Bonn"] * 50
    >>> erased = Leace().fit(x, centers=centers).transform(x, centers=centers)
    >>> bool(np.allclose(erased[::2].mean(axis=0), erased[1::2].mean(axis=0), atol=1e-6))
    True
    """

    name = "leace"

    def _learned(self, seen: SeenPatches) -> dict[str, npt.NDArray[Any]]:
        mean = seen.mean()
        with threads.limited(1):  # on busy cores two threads took up to ten times as long as one
            axes = axes_of(np.concatenate(seen.embeddings) - mean, seen.count)
        shares = np.array([len(group) for group in seen.embeddings]) / seen.count
        roots = np.sqrt(axes.variances)
        # The whitened means in the axes; their singular values are the canonical correlations with the
        # center.
        whitened = (axes.vectors.T @ (_means_about(seen, mean) * np.sqrt(shares)[:, None]).T) / roots[:, None]
        directions, correlations, _ = np.linalg.svd(whitened, full_matrices=False)
        directions = directions[:, correlations > _NO_CORRELATION]
        self._check_rest(seen, directions.shape[1])
        return {
            "mean": mean,
            "right": axes.vectors @ (directions / roots[:, None]),
            "left": (axes.vectors @ (directions * roots[:, None])).T,
        }


METHODS = (Subspace, Leace)
