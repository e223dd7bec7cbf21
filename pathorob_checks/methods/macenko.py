"""Macenko's stain normalization: every patch gets the target's hematoxylin and eosin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pathorob_checks.methods.stain_normalization import StainNormalization

if TYPE_CHECKING:
    import torch


class Macenko(StainNormalization):
    """The two stains of a patch are separated, scaled, and mixed again in the colors of the target.

    A pixel is stained where its optical density is at least 0.15 in every channel, and not above 2.5 in all
    of them, which is outside of the scan, ink or a fold. A patch is returned unchanged if less than 5 % of it
    is stained, or if its two stains are less than 3 degrees apart: it then shows one stain only.

    Parameters
    ----------
    target : mapping, optional
        `stains`, the directions (red, green, blue) of hematoxylin and eosin in optical density, and `most`,
        the amounts of both that 1 % of the pixels exceed. None: `fit` takes the means over patches.

    Raises
    ------
    MethodError : the target has other parts or another shape, or a number that is not finite, or `most` is
        not above zero.

    Notes
    -----
    Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009. Light
    that passed nothing has the gray level 240; the plane of the stains passes through the origin.

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.macenko import Macenko
    >>> amounts = np.random.default_rng(0).uniform(0.2, 1, (32, 32, 2))
    >>> stains = np.array([[0.65, 0.70, 0.29], [0.27, 0.85, 0.45]])
    >>> patch = (240 * np.exp(-amounts @ stains) - 1).round().astype(np.uint8)
    >>> method = Macenko(target={"stains": [[0.56, 0.72, 0.41], [0.22, 0.80, 0.56]], "most": [1.9, 1.0]})
    >>> normalized, enough = method.transform(patch)
    >>> normalized.shape, enough
    ((32, 32, 3), True)
    """

    name = "macenko"
    shapes: ClassVar = {"stains": (2, 3), "most": (2,)}
    positive: ClassVar = frozenset({"most"})

    def statistics(self, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Directions and amounts of the stains of each image; see the base class."""
        from pathorob_checks.numerics.stains import stains_of

        stains = stains_of(images)
        return {"stains": stains.vectors, "most": stains.most}, stains.enough

    def normalized(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Stain many images anew at once, on the device where they are; see the base class."""
        from pathorob_checks.numerics.stains import restained

        return restained(images, self._part("stains"), self._part("most"))

    def _averaged(self, means: dict[str, Any]) -> dict[str, Any]:
        # The mean of directions is shorter than they are.
        length = np.linalg.norm(means["stains"], axis=1, keepdims=True)
        return {**means, "stains": means["stains"] / length}


METHODS = (Macenko,)
