"""One neighbor search for all metrics that read the neighbors of a table's patches.

A patch's neighbors are sought among the in-domain patches of other slides: among all of them, or in the
paired design inside each subset. The products of all pairs of patches are the cost, so they are computed
once: the first metric that asks finds the lists, and the others read them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import Float32, Int64, Labels, Units, in_range, refuse_zero_rows
from pathorob_checks.metrics.labelled import PatchLabels, read_embeddings
from pathorob_checks.metrics.neighborhood_size import Lists, lists_of
from pathorob_checks.metrics.slide_effects import spare_ranks
from pathorob_checks.metrics.typed_neighbors import TypedNeighbors, typed_neighbors
from pathorob_checks.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    import torch

_KEY_COLUMNS = 16  # of the embeddings, by which a search recognizes them


@dataclass(frozen=True, kw_only=True)
class SearchedPatches:
    """The patches among which neighbors are sought.

    Attributes
    ----------
    array : (N, D) float32 ndarray
        Embeddings of the in-domain patches, in a range in which their squares neither overflow nor vanish;
        not normalized, none of zeros.
    read : PatchLabels
        Their labels; `read.rows` says where they are in the caller's table.
    lists : Lists
        The parts inside which neighbors are sought, and how long lists can be.
    paired : bool
        Whether the parts are the table's subsets.
    """

    array: Float32
    read: PatchLabels
    lists: Lists
    paired: bool

    @property
    def slides(self) -> Labels:
        """Slide of each patch; its own patches are never its neighbors."""
        assert self.read.slides is not None  # noqa: S101 (they are needed)
        return self.read.slides

    @property
    def units(self) -> Units:
        """What intervals draw anew: slides or cases."""
        assert self.read.units is not None  # noqa: S101 (they are needed)
        return self.read.units

    @cached_property
    def queries(self) -> Int64:
        """(Q,) row of `array` of every query: all patches of each part after the other."""
        return np.concatenate(self.lists.parts)

    @cached_property
    def largest_unit(self) -> int:
        """Patches of the largest slide (case) in a part."""
        return max(int(np.bincount(self.units.codes[part]).max()) for part in self.lists.parts)

    def length(self, k: int) -> int:
        """How long lists must be for k neighbors and those that take the places of any one slide's."""
        return min(self.lists.longest, k + spare_ranks(k, self.largest_unit))

    @cached_property
    def digest(self) -> str:
        """Of what decides the neighbors: labels, parts, and some columns of the embeddings."""
        columns = np.unique(np.linspace(0, self.array.shape[1] - 1, _KEY_COLUMNS).astype(np.int64))
        read = self.read
        parts = [*self.lists.parts, read.classes.codes, read.centers.codes, self.slides.codes]
        digest = hashlib.blake2b(repr([self.array.shape, [len(part) for part in parts]]).encode())
        for part in parts:
            digest.update(part.data)
        digest.update(np.ascontiguousarray(self.array[:, columns]).data)
        return digest.hexdigest()


def searched_patches(
    embeddings: Any, patches: pd.DataFrame, metric: str, *, paired: bool | None = None
) -> SearchedPatches:
    """Read what a metric of neighbors reads: the in-domain patches, and where their neighbors are sought.

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        NumPy array or PyTorch tensor, raw.
    patches : pandas.DataFrame
        N rows with the columns `slide_id`, `biological_class`, `medical_center` and optionally `subset`,
        `patch_id` and `case_id`.
    metric : str
        Named in messages.
    paired : bool, optional
        Seek neighbors inside each value of `subset`. None does so where in-domain patches have subsets of
        other names than `ID`.

    Returns
    -------
    SearchedPatches
        Embeddings `array`, labels `read`, rows `queries`, and `lists.longest`, the most neighbors that all
        patches have.

    Raises
    ------
    MetricError
        Embeddings or labels that no metric can read, an embedding of zeros, one class or one center only
        (also in a paired subset), or no column `subset` for the paired design.

    See Also
    --------
    NeighborSearch : What takes them.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import searched_patches
    >>> patches = pd.DataFrame({
    ...     "slide_id": ["a", "a", "b", "b", "c", "d"],
    ...     "biological_class": ["normal", "normal", "tumor", "tumor", "normal", "tumor"],
    ...     "medical_center": ["Aachen", "Aachen", "Aachen", "Aachen", "Bonn", "Bonn"],
    ... })
    >>> searched = searched_patches(np.eye(6), patches, "my_metric")
    >>> searched.lists.longest  # a patch of slide a has four patches on other slides
    4
    """
    array, read = read_embeddings(embeddings, patches, metric)
    refuse_zero_rows(array, read.rows, metric)
    if paired and "subset" not in patches.columns:
        raise MetricError(
            f"{metric}: the patch table has no column 'subset' for the paired design",
            remedy="add it, or give paired=False",
        )
    paired = read.are_paired if paired is None else paired
    lists = lists_of(read, read.slides, paired, metric)
    return SearchedPatches(array=in_range(array), read=read, lists=lists, paired=paired)


@dataclass(frozen=True, kw_only=True)
class NeighborLists:
    """The nearest patches of other slides of Q patches.

    Attributes
    ----------
    queries : (Q,) int64 ndarray
        Row of `SearchedPatches.array` of each query.
    rows : (Q, L) int64 ndarray
        Rows of their neighbors, nearest first; equal distances are in the order of the rows.
    products : (Q, L) float32 ndarray
        Cosines with them, at most 2e-6 off by the rounding of float32.
    """

    queries: Int64
    rows: Int64
    products: Float32

    @property
    def distances(self) -> Float32:
        """(Q, L) float32 cosine distances, 0 to 2, at most 2e-6 off; `cosine_distances` has float64."""
        return np.asarray(np.maximum(1 - self.products, 0), dtype=np.float32)


class NeighborSearch:
    """Neighbor lists of one table's embeddings, found once for all metrics that are given this object.

    Parameters
    ----------
    ahead : int, optional
        A number of neighbors k: lists are made long enough for it and for intervals at once, so that no
        metric has to search again. None finds what is asked for.

    See Also
    --------
    searched_patches : What it searches.
    robustness_index : A metric that reads it.

    Notes
    -----
    It keeps no embeddings. A list of length L takes 12 L bytes per patch (20,400 patches of Camelyon with
    k = 11: 10 MB; 112,800 of the paired TCGA with k = 61: 165 MB).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import NeighborSearch, robustness_index, searched_patches
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> shared = NeighborSearch(ahead=7)
    >>> first = robustness_index(embeddings, patches, k=7, neighbors=shared)
    >>> second = robustness_index(embeddings, patches, k=3, neighbors=shared)  # searches no more
    >>> second.value == robustness_index(embeddings, patches, k=3).value
    True

    A metric of another package reads the lists, with the cosine of each neighbor:

    >>> searched = searched_patches(embeddings, patches, "my_metric")
    >>> lists = shared.lists(searched, 5)
    >>> lists.queries.shape, lists.rows.shape, bool((lists.distances >= 0).all())
    ((80,), (80, 5), True)
    >>> shared.typed(searched, 3).so.shape  # the nearest of the same class from other centers
    (80, 3)
    """

    def __init__(self, *, ahead: int | None = None) -> None:
        self._ahead = ahead
        self._known: NeighborLists | None = None
        self._typed: TypedNeighbors | None = None
        self._digest: str | None = None

    def lists(
        self,
        patches: SearchedPatches,
        length: int,
        device: str | torch.device | None = None,
        progress: Progress | None = None,
    ) -> NeighborLists:
        """Return the nearest `length` neighbors of every query, searching where that was not done yet.

        Parameters
        ----------
        patches : SearchedPatches
            The same in every call.
        length : int
            Number of neighbors, at most `patches.lists.longest`.
        device : str or torch.device, optional
            Where to compute; None takes the GPU where there is one.
        progress : callable, optional
            Wraps the products of blocks of patches, to show a bar.

        Returns
        -------
        NeighborLists
            Views of what is kept.

        Raises
        ------
        MetricError
            The search was made for other patches or other embeddings.
        """
        self._recognize(patches)
        known = self._known
        if known is None or known.rows.shape[1] < length:
            ahead = 0 if self._ahead is None else patches.length(min(self._ahead, patches.lists.longest))
            self._known = known = _search(patches, max(length, ahead), device, progress)
        return NeighborLists(
            queries=known.queries, rows=known.rows[:, :length], products=known.products[:, :length]
        )

    def typed(
        self,
        patches: SearchedPatches,
        length: int,
        device: str | torch.device | None = None,
        progress: Progress | None = None,
    ) -> TypedNeighbors:
        """Return the nearest `length` neighbors of each of the types SO and OS, however far they are.

        Parameters
        ----------
        patches : SearchedPatches
            The same in every call.
        length : int
            Number of neighbors of each type; where a patch has fewer, its list ends with -1.
        device : str or torch.device, optional
            Where to compute; None takes the GPU where there is one.
        progress : callable, optional
            Wraps the searches of classes and centers, to show a bar.

        Returns
        -------
        TypedNeighbors
            Views of what is kept: 16 bytes per patch and neighbor.

        Raises
        ------
        MetricError
            The search was made for other patches or other embeddings.
        """
        self._recognize(patches)
        if self._typed is None or self._typed.so.shape[1] < length:
            self._typed = typed_neighbors(patches, length, device, progress)
        known = self._typed
        return TypedNeighbors(queries=known.queries, so=known.so[:, :length], os=known.os[:, :length])

    def _recognize(self, patches: SearchedPatches) -> None:
        if self._digest is None:
            self._digest = patches.digest
        elif self._digest != patches.digest:
            raise MetricError(
                "the neighbors were searched for other embeddings or another table of patches",
                remedy="give each table and FM a NeighborSearch of its own",
            )


def _search(
    patches: SearchedPatches, length: int, device: str | torch.device | None, progress: Progress | None
) -> NeighborLists:
    from pathorob_checks.metrics.neighbor_lists import neighbor_lists
    from pathorob_checks.numerics import device as devices

    with devices.full_precision():
        known = neighbor_lists(
            patches.array, patches.lists.parts, patches.slides.codes, length, devices.choose(device), progress
        )
    return NeighborLists(queries=patches.queries, rows=known.rows, products=known.products)


def cosine_distances(array: Float32, rows: Int64, others: Int64) -> npt.NDArray[np.float64]:
    """Cosine distances of pairs of rows in float64, as half of the squared distance of their directions.

    That is exact to 1e-16 also for almost equal rows, where 1 less the cosine would cancel.

    Parameters
    ----------
    array : (N, D) float32, none of zeros.
    rows, others : (P,) row numbers.
    """
    from pathorob_checks.numerics import threads

    distances = np.empty(len(rows), dtype=np.float64)
    at_once = max(1, _PAIR_BYTES // (8 * array.shape[1]))

    def measure(start: int) -> None:
        its = slice(start, start + at_once)
        here, there = (_directions(array[some[its]]) for some in (rows, others))
        here -= there
        distances[its] = np.einsum("ij,ij->i", here, here) / 2

    for _ in threads.spread(measure, range(0, len(rows), at_once)):
        pass
    return distances


_PAIR_BYTES = 4 << 20  # of float64 rows at a time, which a processor's cache holds


def _directions(rows: Float32) -> npt.NDArray[np.float64]:
    wide = rows.astype(np.float64)
    wide /= np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    return wide
