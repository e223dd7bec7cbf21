"""A domain-adversarial head: features of embeddings that tell the class and not the medical center."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.fitted import Codes, FittedRepair
from pathorob_checks.methods.repair import Float32, State
from pathorob_checks.methods.seen_patches import SeenPatches
from pathorob_checks.wording import counted


class Dann(FittedRepair):
    """A hidden layer on the embeddings, trained to tell the class and, adversarially, not the center.

    A linear head reads the biological class off the hidden features, another one the medical center. The
    gradient of the second is reversed on its way into the hidden layer, which so learns features that help
    the first head and mislead the second. `transform` gives the features, the same way for every center.

    Parameters
    ----------
    hidden : number of features, H.
    steps : of the optimizer, each with 128 patches.
    strength : the largest factor (lambda) of the reversed gradient; 0 trains without an adversary.
    seed : of the initial parameters and of the order of patches, at least 0.

    Notes
    -----
    Patches of an unknown class train the head of the centers only. Where class and center go together
    completely, what misleads one head misleads the other: the features cannot separate what the patches do
    not. Training is on the CPU, and equal patches give equal features on any number of threads.
    Source: Ganin et al., Domain-adversarial training of neural networks, JMLR 17 (2016).

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.methods.dann import Dann
    >>> x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    >>> centers, classes = ["Aachen", "Bonn"] * 20, ["normal"] * 20 + ["tumor"] * 20
    >>> Dann(hidden=8).fit(x, centers=centers, classes=classes).transform(x, centers=centers).shape
    (40, 8)
    """

    name = "dann"
    uses_classes = True
    repairs_embeddings = False
    arrays = {  # noqa: RUF012
        "mean": (np.float32, "D"),
        "weights": (np.float32, "HD"),
        "shift": (np.float32, "H"),
    }

    def __init__(self, *, hidden: int = 128, steps: int = 1000, strength: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self._settings: dict[str, Any] = {
            "hidden": hidden,
            "steps": steps,
            "strength": strength,
            "seed": seed,
        }
        for name, least in (("hidden", 1), ("steps", 1), ("strength", 0), ("seed", 0)):
            if not least <= self._settings[name] < float("inf"):
                raise MethodError(
                    f"method {self.name!r}: its {name} is {self._settings[name]}",
                    remedy=f"give a finite number from {least}",
                )

    @property
    def settings(self) -> dict[str, Any]:
        """See `Repair`."""
        return dict(self._settings)

    def _misfit(self, state: State, centers: Sequence[str]) -> str | None:
        """Also where the number of features is not that of the settings."""
        if problem := super()._misfit(state, centers):
            return problem
        kept, hidden = len(state["shift"]), self._settings["hidden"]
        return None if kept == hidden else f"its arrays are of {kept} features, its settings of {hidden}"

    def _learned(self, seen: SeenPatches) -> dict[str, npt.NDArray[Any]]:
        from pathorob_checks.numerics.adversarial import UNKNOWN, adversarial_layer

        labels = [label for of_center in seen.labels for label in of_center]
        known = sorted({label for label in labels if label is not None})
        if len(known) < 2:
            classes = counted(len(known), "known biological class", "known biological classes")
            raise MethodError(
                f"method {self.name!r}: its patches are of {classes}",
                remedy="fit it on patches of two or more classes",
            )
        code = {label: number for number, label in enumerate(known)}
        layer = adversarial_layer(
            np.concatenate(seen.embeddings),
            np.array([UNKNOWN if label is None else code[label] for label in labels]),
            np.repeat(np.arange(len(seen.centers)), list(map(len, seen.embeddings))),
            **self._settings,
        )
        return {name: getattr(layer, name) for name in self.arrays}

    def _repaired(self, state: State, embeddings: Float32, codes: Codes) -> npt.NDArray[Any]:  # noqa: ARG002
        from pathorob_checks.numerics.adversarial import Hidden

        return Hidden(**state).features(embeddings)


METHODS = (Dann,)
