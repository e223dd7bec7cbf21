"""Embeddings as methods repair them, fitted on what may be seen.

A metric that trains no classifier reads the repaired patches of its view: repairs are fitted on the view's
in-domain patches without their biological classes. A repair that needs classes is fitted on other slides than
those that it repairs. A metric that trains classifiers has repairs fitted on the training patches of each of
them (see `Computation.takes_repair`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.confounding import Confounding, confounding_of
from pathorob_checks.methods.repair import Float32, Repair
from pathorob_checks.subsets import OUT_OF_DOMAIN

if TYPE_CHECKING:
    import pandas as pd

    from pathorob_checks.methods.chain import Chain

FOLDS = 5  # of slides, for a repair that needs classes
Rows = npt.NDArray[np.int64]


class Repairing:
    """The repairs of a chain on the patches of a view.

    Parameters
    ----------
    patches : of the view, N rows; `medical_center`, `biological_class`, `slide_id` and `subset` are read.
    unlabeled : whether repairs may see out-of-domain patches, without biological classes.
    """

    def __init__(self, chain: Chain, patches: pd.DataFrame, *, unlabeled: bool) -> None:
        self._chain, self._unlabeled = chain, unlabeled
        self._centers = patches["medical_center"].astype(str).to_numpy(dtype=object)
        self._classes = patches["biological_class"].astype(str).to_numpy(dtype=object)
        self._slides = patches["slide_id"].astype(str).to_numpy(dtype=object)
        self._outside = (
            patches["subset"].to_numpy() == OUT_OF_DOMAIN
            if "subset" in patches
            else np.zeros(len(patches), dtype=bool)
        )

    def __call__(self, embeddings: Float32, training: Rows) -> Float32:
        """All embeddings, repaired by what training rows show (and unlabeled out-of-domain rows, if allowed).

        Parameters
        ----------
        embeddings : (N, D) float32.
        training : rows whose classes may be seen.

        Raises
        ------
        MethodError : a repair cannot be fitted on these rows.
        """
        labeled = np.unique(training)
        for kind in self._chain.repairs:
            embeddings = self._fitted(kind, embeddings, labeled).transform(
                embeddings, centers=list(self._centers)
            )
        return embeddings

    def view(self, embeddings: Float32) -> Float32:
        """All embeddings of the view, as metrics without classifiers read them.

        Raises
        ------
        MethodError : class and center are so confounded in the view that a repair would remove biology, or
            it cannot be fitted.
        """
        for kind in self._chain.repairs:
            if kind.repairs_embeddings:
                self._confounding.check(kind)
        for kind in self._chain.repairs:
            if kind.repairs_embeddings:
                embeddings = (
                    self._across_slides(kind, embeddings)
                    if kind.uses_classes
                    else self._fitted(kind, embeddings, np.flatnonzero(~self._outside)).transform(
                        embeddings, centers=list(self._centers)
                    )
                )
        return embeddings

    @property
    def _confounding(self) -> Confounding:
        """Of class and center among the patches that repairs of the view are fitted on."""
        inside = ~self._outside
        return confounding_of(list(self._centers[inside]), list(self._classes[inside]))

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each repair that may remove biology."""
        kinds = [kind for kind in self._chain.repairs if kind.repairs_embeddings]
        sentences = [self._confounding.warning(kind) for kind in kinds]
        return tuple(sentence for sentence in sentences if sentence)

    def on_all(self, embeddings: Float32) -> list[Repair]:
        """Every repair of the chain, fitted on all in-domain patches and their classes, to be shipped."""
        fitted = []
        for kind in self._chain.repairs:
            fitted.append(self._fitted(kind, embeddings, np.flatnonzero(~self._outside)))
            embeddings = fitted[-1].transform(embeddings, centers=list(self._centers))
        return fitted

    @property
    def fitted_slides(self) -> list[str]:
        """Ids of the slides that repairs of the view are fitted on, sorted."""
        seen = np.full(len(self._outside), self._unlabeled) | ~self._outside
        return sorted(set(map(str, self._slides[seen])))

    def _across_slides(self, kind: type[Repair], embeddings: Float32) -> Float32:
        """Each slide repaired by what the slides of other folds show."""
        folds = self._folds()
        repaired: list[tuple[npt.NDArray[np.bool_], Float32]] = []
        for fold in range(int(folds.max()) + 1):
            here = folds == fold
            fitted = self._fitted(kind, embeddings, np.flatnonzero(~here & ~self._outside))
            repaired.append((here, fitted.transform(embeddings[here], centers=list(self._centers[here]))))
        result = np.empty((len(embeddings), repaired[0][1].shape[1]), dtype=np.float32)
        for here, values in repaired:
            result[here] = values
        return result

    def _folds(self) -> Rows:
        """The fold of every row, from its slide; the slides of a center are dealt out in turn, by name.

        Classes decide nothing here: they are what must not be seen.
        """
        fold_of: dict[object, int] = {}
        for center in sorted(set(self._centers)):
            for place, slide in enumerate(sorted(set(self._slides[self._centers == center]))):
                fold_of.setdefault(slide, place % FOLDS)
        if max(fold_of.values(), default=0) == 0:
            raise MethodError(
                f"{self._chain.text} needs biological classes, so it is fitted on other slides than it "
                "repairs, but no medical center has two slides",
                remedy="use a repair without classes",
            )
        return np.array([fold_of[slide] for slide in self._slides], dtype=np.int64)

    def _fitted(self, kind: type[Repair], embeddings: Float32, labeled: Rows) -> Repair:
        rows = labeled
        if self._unlabeled:
            rows = np.union1d(labeled, np.flatnonzero(self._outside))
        classes: Sequence[str | None] | None = None
        if kind.uses_classes:
            known = np.isin(rows, labeled) & ~self._outside[rows]
            classes = [
                name if is_known else None for name, is_known in zip(self._classes[rows], known, strict=True)
            ]
        return kind().fit(embeddings[rows], centers=list(self._centers[rows]), classes=classes)
