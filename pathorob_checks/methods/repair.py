"""What a repair of embeddings is: fitted on patches that may be seen, applied to any patch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
State = Mapping[str, npt.NDArray[Any]]


class Repair(ABC):
    """A repair of embeddings; another package adds one by an entry point of `pathorob_checks.methods`.

    Attributes
    ----------
    name : str
        In `--fm-method`: lower-case letters, digits and `-`.
    uses_classes : bool
        Whether `fit` reads the biological classes. It then never sees those of patches that are tested.
    repairs_embeddings : bool
        Whether the repaired embeddings are embeddings like the FM's. False for what is only good as input of
        a classifier that is trained on the same patches: metrics without such a classifier leave it out.
    removes_centers : bool
        Whether it removes what differs between medical centers. Where biological class and center go
        together, that is biology too: `confounding` says when such a repair is refused.
    version : int
        To be raised when the same settings give other embeddings than before.

    Notes
    -----
    A patch of a medical center that `fit` has not seen is treated as well as possible without knowing the
    center: a method with parameters for each center leaves it as it is, or uses parameters of all seen
    patches.
    """

    name: ClassVar[str]
    uses_classes: ClassVar[bool] = False
    repairs_embeddings: ClassVar[bool] = True
    removes_centers: ClassVar[bool] = True
    version: ClassVar[int] = 1

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, of builtin types; `type(self)(**settings)` makes an equal repair."""
        return {}

    @abstractmethod
    def fit(
        self, embeddings: Float32, *, centers: Sequence[str], classes: Sequence[str | None] | None = None
    ) -> Self:
        """Learn from patches that may be seen.

        Parameters
        ----------
        embeddings : (N, D) float32.
        centers : N medical centers.
        classes : N biological classes, None where unknown; None where the repair does not use them.

        Raises
        ------
        MethodError : it cannot be fitted on these patches.
        """

    @abstractmethod
    def transform(self, embeddings: Float32, *, centers: Sequence[str]) -> Float32:
        """Repair patches of which no biological class is known.

        Parameters
        ----------
        embeddings : (M, D) float32; they are not changed.
        centers : M medical centers, also ones that `fit` has not seen.

        Returns
        -------
        (M, E) float32; E is D unless the repair says otherwise.
        """

    @abstractmethod
    def state(self) -> State:
        """What `fit` has learned, as arrays by name."""

    @abstractmethod
    def restore(self, state: State, centers: Sequence[str]) -> Self:
        """Undo `state`; `centers` are those of `fit`, in the order of `self.centers`.

        Raises
        ------
        MethodError : the arrays do not fit each other.
        """

    @property
    @abstractmethod
    def centers(self) -> tuple[str, ...]:
        """The medical centers of `fit`, sorted."""

    @property
    def dimension(self) -> int | None:
        """D of the embeddings of `fit`; None where the repair does not say."""
        return None
