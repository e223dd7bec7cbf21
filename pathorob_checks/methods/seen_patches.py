"""The patches that a repair is fitted on: checked, by medical center, in an order of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.repair import Float32
from pathorob_checks.wording import counted, shortened

Float64 = npt.NDArray[np.float64]
# Deviations below this share of a feature's largest value are rounding of float32, not variation.
RESOLUTION = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Moments:
    """Of the D features of some patches.

    Attributes
    ----------
    count : patches.
    mean : (D,) float64.
    squares : (D,) float64, the sum of squared deviations from the mean.
    largest : (D,) float64, the largest absolute value.
    """

    count: int
    mean: Float64
    squares: Float64
    largest: Float64

    @property
    def deviation(self) -> Float64:
        """(D,) standard deviation, of two patches or more."""
        return np.sqrt(self.squares / (self.count - 1))

    @property
    def varies(self) -> npt.NDArray[np.bool_]:
        """(D,) whether a feature varies by more than the rounding of float32."""
        return self.deviation > RESOLUTION * self.largest


def moments(embeddings: Float32 | Float64) -> Moments:
    """The moments of (N, D) embeddings, N >= 1."""
    values = embeddings.astype(np.float64)
    mean = values.mean(axis=0)
    largest = np.abs(values).max(axis=0)
    values -= mean
    return Moments(len(values), mean, np.einsum("nd,nd->d", values, values), largest)


def deviations(embeddings: Float32) -> Float64:
    """(N, D) deviations from the mean, N >= 2; exactly 0 in features that do not vary."""
    of = moments(embeddings)
    return np.where(of.varies, embeddings - of.mean, 0.0)


@dataclass(frozen=True)
class SeenPatches:
    """Patches by medical center.

    Attributes
    ----------
    centers : C names, sorted.
    embeddings : for each center (N_c, D) float32; equal patches give equal arrays, whatever their order was.
    labels : for each center N_c biological classes; all None where none were given.
    """

    centers: tuple[str, ...]
    embeddings: tuple[Float32, ...]
    labels: tuple[tuple[str | None, ...], ...]

    @property
    def count(self) -> int:
        """N, the number of all patches."""
        return sum(map(len, self.embeddings))

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.embeddings[0].shape[1])

    def by_center(self) -> Iterator[tuple[str, Float32]]:
        """Each center with its embeddings."""
        return zip(self.centers, self.embeddings, strict=True)

    def mean(self) -> Float64:
        """(D,) mean of all patches."""
        sums = [group.sum(axis=0, dtype=np.float64) for group in self.embeddings]
        return np.asarray(np.sum(sums, axis=0) / self.count)


def seen_patches(
    method: str,
    embeddings: Float32,
    centers: Sequence[str],
    classes: Sequence[str | None] | None = None,
    *,
    fewest: int,
) -> SeenPatches:
    """Check the patches of a fit and order them.

    Parameters
    ----------
    method : name of the repair, for messages.
    embeddings : (N, D) float32.
    centers : N medical centers.
    classes : N biological classes, or None.
    fewest : how many patches the repair needs of every center.

    Raises
    ------
    MethodError : the embeddings are no finite float32 matrix, labels are missing, there are fewer than two
        centers, or one has too few patches.
    """
    matrix = checked_embeddings(method, embeddings)
    names = checked_labels(method, "medical center", centers, len(matrix))
    labels = [None] * len(matrix) if classes is None else checked_classes(method, classes, len(matrix))
    kinds = sorted(set(names))
    if len(kinds) < 2:
        problem = f"method {method!r}: its patches come from {counted(len(kinds), 'medical center')}"
        raise MethodError(problem, remedy="fit it on patches of two or more centers")
    rows_of: dict[str, list[int]] = {kind: [] for kind in kinds}
    for row, name in enumerate(names):
        rows_of[name].append(row)
    for kind, rows in rows_of.items():
        if len(rows) < fewest:
            patches = counted(len(rows), "patch", "patches")
            problem = f"method {method!r}: the medical center {kind!r} has {patches}, but {fewest} are needed"
            raise MethodError(problem, remedy="leave the center out of the fit or add patches of it")
        # Sums depend on the order of their terms in the last bits: one order gives one result.
        rows.sort(key=lambda row: (labels[row] or "", matrix[row].tobytes()))
    return SeenPatches(
        tuple(kinds),
        tuple(matrix[rows] for rows in rows_of.values()),
        tuple(tuple(labels[row] for row in rows) for rows in rows_of.values()),
    )


def checked_embeddings(method: str, embeddings: Any, dimension: int | None = None) -> Float32:
    """Embeddings as an (N, D) float32 array; raises MethodError if they are none, or of another D."""
    matrix = np.asarray(embeddings)
    remedy = "give finite embeddings as an (N, D) array of float32"
    if matrix.dtype != np.float32 or matrix.ndim != 2 or 0 in matrix.shape:
        given = f"an array of {matrix.dtype} and of shape {matrix.shape}"
        raise MethodError(f"method {method!r}: the embeddings are {given}", remedy=remedy)
    if dimension is not None and matrix.shape[1] != dimension:
        problem = f"method {method!r}: the embeddings have dimension {matrix.shape[1]:,}, those of the fit "
        raise MethodError(f"{problem}{dimension:,}", remedy="repair embeddings of the same FM and pooling")
    finite = np.isfinite(matrix)
    if not finite.all():
        patches = counted(int((~finite.all(axis=1)).sum()), "patch has", "patches have")
        raise MethodError(f"method {method!r}: {patches} values that are not finite", remedy=remedy)
    return matrix


def checked_labels(method: str, what: str, labels: Sequence[str], count: int) -> list[str]:
    """`count` labels as a list; raises MethodError where the number differs or one is no name."""
    names = [str(label) if isinstance(label, str) else label for label in labels]
    if len(names) != count:
        given = (
            f"there are {counted(count, 'embedding')} and labels of {counted(len(names), 'patch', 'patches')}"
        )
        raise MethodError(f"method {method!r}: {given}", remedy=f"give every patch its {what}")
    wrong = next((label for label in names if not isinstance(label, str) or not label), None)
    if wrong is not None or None in names:
        raise MethodError(f"method {method!r}: {shortened(wrong)} is no {what}", remedy="give names as text")
    return names


def checked_classes(method: str, classes: Sequence[str | None], count: int) -> list[str | None]:
    """`count` classes as a list, None where unknown; raises MethodError as `checked_labels`."""
    unknown = [label is None for label in classes]
    stated = checked_labels(
        method, "biological class", ["?" if label is None else label for label in classes], count
    )
    return [None if absent else label for absent, label in zip(unknown, stated, strict=True)]
