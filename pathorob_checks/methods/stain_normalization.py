"""What normalizations of stained images share: a target, which is a mean over patches, and its use."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.image_method import ImageMethod, Uint8
from pathorob_checks.wording import counted, quoted

if TYPE_CHECKING:
    import torch

# Decimals of a target. The last bits of a sum differ between machines, which must not make another target.
DECIMALS = 6


class StainNormalization(ImageMethod):
    """A normalization whose target is a few numbers.

    Parameters
    ----------
    target : mapping of str to nested lists of float, optional
        As the attribute `target` of a fitted one; None: `fit` finds it.

    Raises
    ------
    MethodError : the target has other parts or another shape than `shapes`, or a number that is not finite.
    """

    shapes: ClassVar[Mapping[str, tuple[int, ...]]]
    positive: ClassVar[frozenset[str]]  # the parts whose numbers are above zero

    def __init__(self, target: Mapping[str, Any] | None = None) -> None:
        self._target = None if target is None else self._checked(target)

    @abstractmethod
    def statistics(self, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """What the target is the mean of, for each image.

        Parameters
        ----------
        images : (B, 3, H, W) uint8, on any device.

        Returns
        -------
        parts : (B, *shape) float64 for each of `shapes`.
        enough : (B,) bool, whether the image has enough tissue.
        """

    @abstractmethod
    def normalized(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalize many images at once, on the device where they are.

        Parameters
        ----------
        images : (B, 3, H, W) uint8.

        Returns
        -------
        images : (B, 3, H, W) uint8; those without enough tissue are unchanged.
        enough : (B,) bool, whether the image has enough tissue.

        Raises
        ------
        MethodError : there is no target yet.
        """

    def fit(self, images: Iterable[Uint8]) -> Self:
        """Make the mean over images with enough tissue the target, whatever their order.

        Parameters
        ----------
        images : (H, W, 3) uint8, of any sizes.

        Raises
        ------
        MethodError : no image has enough tissue, or one is no RGB image.
        """
        import torch

        from pathorob_checks.numerics.threads import limited

        targets: list[dict[str, list[float]]] = []
        number = 0
        # One thread: images are small, and those that read them are at work.
        with limited(1), torch.inference_mode():
            for image in images:
                number += 1
                parts, enough = self.statistics(_batch_of(self.name, image))
                if bool(enough[0]):
                    targets.append({name: values[0].flatten().tolist() for name, values in parts.items()})
        if not targets:
            raise MethodError(
                f"{self.name} has no target, as none of {counted(number, 'patch', 'patches')} "
                f"shows enough tissue",
                remedy="fit it to patches of stained tissue",
            )
        target = {}
        for name, shape in self.shapes.items():
            columns = zip(*(parts[name] for parts in targets), strict=True)
            # The exact sum, rounded once, does not depend on the order.
            means = [math.fsum(column) / len(targets) for column in columns]
            target[name] = np.reshape(means, shape)
        self._target = self._checked(self._averaged(target))
        return self

    def transform(self, image: Uint8) -> tuple[Uint8, bool]:
        """Normalize one image on the CPU.

        Parameters
        ----------
        image : (H, W, 3) uint8; it is not changed.

        Returns
        -------
        image : (H, W, 3) uint8; equal to the one given where that does not have enough tissue.
        enough : whether it has.

        Raises
        ------
        MethodError : there is no target yet, or this is no RGB image.
        """
        import torch

        with torch.inference_mode():
            images, enough = self.normalized(_batch_of(self.name, image))
        if not bool(enough[0]):
            return image, False
        return np.ascontiguousarray(images[0].permute(1, 2, 0).numpy()), True

    @property
    def target(self) -> dict[str, Any]:
        """The parts of the target as nested lists; raises MethodError where there is none yet."""
        if self._target is None:
            raise MethodError(f"{self.name} has no target yet", remedy="fit it to patches, or give a target")
        return {name: values.tolist() for name, values in self._target.items()}

    def _averaged(self, means: dict[str, Any]) -> dict[str, Any]:
        """The target from the means of the images' parts."""
        return means

    def _part(self, name: str) -> torch.Tensor:
        import torch

        return torch.tensor(self.target[name], dtype=torch.float64)

    def _checked(self, target: Mapping[str, Any]) -> dict[str, Any]:
        shown = ", ".join(f"{name} of the shape {shape}" for name, shape in self.shapes.items())
        remedy = f"give {shown}"
        if not isinstance(target, Mapping) or set(target) != set(self.shapes):
            raise MethodError(
                f"the target of {self.name} does not have the parts {quoted(self.shapes)}", remedy=remedy
            )
        checked = {}
        for name, shape in self.shapes.items():
            try:
                values = np.array(target[name], dtype=np.float64)
            except (TypeError, ValueError):
                values = np.empty(0)
            if values.shape != shape or not np.isfinite(values).all():
                raise MethodError(
                    f"'{name}' in the target of {self.name} is not finite numbers of the shape {shape}",
                    remedy=remedy,
                )
            if name in self.positive and not (values > 0).all():
                raise MethodError(
                    f"'{name}' in the target of {self.name} has a number not above zero",
                    remedy=remedy,
                )
            checked[name] = values.round(DECIMALS)
        return checked


def _batch_of(name: str, image: Uint8) -> torch.Tensor:
    """(1, 3, H, W) uint8, a copy: the image may be read-only."""
    import torch

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise MethodError(
            f"{name} was given {image.dtype} of the shape {image.shape}, which is no RGB image",
            remedy="give (H, W, 3) uint8",
        )
    return torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))[None]
