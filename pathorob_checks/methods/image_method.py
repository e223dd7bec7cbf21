"""What a repair of images is: applied to every patch before the foundation model sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

Uint8 = npt.NDArray[np.uint8]


class ImageMethod(ABC):
    """A normalization of stained images towards a target, which is fitted once.

    Attributes
    ----------
    name : str
        In `--fm-method`.
    version : int
        To be raised when the same target gives other images than before.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    @abstractmethod
    def fit(self, images: Iterable[Uint8]) -> Self:
        """Take the target from (H, W, 3) uint8 images; raises MethodError if none has tissue."""

    @abstractmethod
    def transform(self, image: Uint8) -> tuple[Uint8, bool]:
        """The normalized (H, W, 3) image, and whether there was enough tissue to normalize it at all."""

    @property
    @abstractmethod
    def target(self) -> dict[str, Any]:
        """The target, of builtin types: part of the identity of embeddings."""
