"""Reinhard's color transfer: every patch gets the target's mean and spread of color."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pathorob_checks.methods.stain_normalization import StainNormalization

if TYPE_CHECKING:
    import torch


class Reinhard(StainNormalization):
    """Mean and standard deviation of L*, a* and b* over the tissue of a patch become those of the target.

    A pixel is tissue where its L* is between 5 and 85: what is darker is outside of the scan or ink, what is
    brighter is glass. Only tissue is counted, and only tissue is changed. A patch is returned unchanged if
    less than 5 % of it is tissue, or if the standard deviation of its tissue is under 0.5 in L*, a* or b*:
    scaling it would show noise in color.

    Parameters
    ----------
    target : mapping, optional
        `mean` and `std`, three numbers each: L* (0..100), a* and b*. None: `fit` takes the means over
        patches.

    Raises
    ------
    MethodError : the target has other parts or another shape, or a number that is not finite, or `std` is not
        above zero.

    Notes
    -----
    Reinhard et al., "Color transfer between images", IEEE Computer Graphics and Applications 21, 2001,
    equations 10 and 11, in CIE L*a*b* instead of the paper's own space.

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.reinhard import Reinhard
    >>> patch = np.random.default_rng(0).integers(90, 200, (32, 32, 3)).astype(np.uint8)
    >>> method = Reinhard(target={"mean": [60, 20, -10], "std": [10, 6, 4]})
    >>> normalized, enough = method.transform(patch)
    >>> normalized.shape, enough
    ((32, 32, 3), True)
    """

    name = "reinhard"
    shapes: ClassVar = {"mean": (3,), "std": (3,)}
    positive: ClassVar = frozenset({"std"})

    def statistics(self, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Mean and standard deviation of L*, a* and b* over the tissue of each image; see the base class."""
        from pathorob_checks.numerics.lab import colors_of

        colors = colors_of(images)
        return {"mean": colors.mean, "std": colors.std}, colors.enough

    def normalized(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Recolor many images at once, on the device where they are; see the base class."""
        from pathorob_checks.numerics.lab import recolored

        return recolored(images, self._part("mean"), self._part("std"))


METHODS = (Reinhard,)
