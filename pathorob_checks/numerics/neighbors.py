"""Nearest neighbors: approximate products of rows select candidates, exact ones decide among them."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics import screens, threads
from pathorob_checks.numerics.candidates import LOWEST, Candidates, offer
from pathorob_checks.numerics.screens import ROUNDING, Float32Screen, Run, Screen, ScreenError

Int64 = npt.NDArray[np.int64]
_ROWS = {"cpu": (512, 2048), "cuda": (8192, 8192)}  # of a block
_BLOCKS = 8
_CROWDED = 40  # with more than 1/40 of all products as candidates, float32 products of all are cheaper
_PAIR_BYTES = 16 << 20
_PARTS = 16  # of a GPU's free memory; a few of them are in use at a time


NONE = -1  # in the place of a neighbor


class Nearest(NamedTuple):
    """The k nearest rows of each of Q rows.

    Attributes
    ----------
    rows : (Q, k) int64, nearest first; equal distances are in the order of the rows. `NONE` where there are
        no more.
    products : (Q, k) float32 products with them, which rounding moves by less than half of
        `screens.ROUNDING`; minus infinity where there are no more.
    """

    rows: Int64
    products: npt.NDArray[np.float32]


def block_products(count: int, device: torch.device) -> int:
    """The number of products of blocks that `nearest_neighbors` computes for `count` rows."""
    blocks = len(_blocks(count, device))
    return blocks * (blocks + 1) // 2


def _blocks(count: int, device: torch.device) -> list[slice]:
    """Blocks as large as allowed, but enough of them for all cores if they stay large."""
    least, most = _ROWS[device.type]
    blocks = max(-(-count // most), min(_BLOCKS, -(-count // least)))
    edges = [count * block // blocks for block in range(blocks + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def nearest_neighbors(
    points: npt.NDArray[np.float32], groups: Int64, k: int, device: torch.device, *, alone: bool = True
) -> Generator[None, None, Nearest]:
    """The k nearest rows of every row, leaving out rows of its own group; yields after every product.

    Every product of two blocks of rows is used for both, so that half the products suffice.

    Parameters
    ----------
    points : (N, D) float32 of Euclidean length 1 up to rounding, so that the largest product marks
        the smallest Euclidean distance.
    groups : (N,) int64; rows of one group (a slide) are never each other's neighbors. Or (G, N), for
        groups of several kinds: rows that share a group of any kind are not neighbors.
    k : a row that shares groups with all but fewer rows has `NONE` in their places.
    alone : whether to spread the work over the cores; False if several calls are spread over them.

    Returns
    -------
    Of all N rows. Products that are equal up to rounding are ordered by distances in float64, so that the
    order does not depend on how a product was computed.
    """
    x, groups_of = torch.from_numpy(points).to(device), _groups(groups, device)
    spread = alone and device.type == "cpu" and len(_blocks(len(x), device)) > 1
    run: Run = threads.spread if spread else map
    _samples(device.type)  # now, because no other thread runs yet
    search = _Search(x, groups_of, k, run)
    try:
        yield from search.by(screens.choose(x, k, run))
    except ScreenError:
        yield from search.by(Float32Screen(x))
    return search.nearest()


def nearest_to(
    queries: Int64, points: npt.NDArray[np.float32], groups: Int64, k: int, device: torch.device
) -> Nearest:
    """The k nearest rows of some rows only, equal to those of `nearest_neighbors`.

    Parameters
    ----------
    queries : (Q,) row numbers; few, because their products with all rows are in memory at once.
    points, groups, k : as in `nearest_neighbors`.
    """
    x, groups_of = torch.from_numpy(points).to(device), _groups(groups, device)
    if len(queries) == 0:
        return Nearest(np.empty((0, k), dtype=np.int64), np.empty((0, k), dtype=np.float32))
    wanted = torch.from_numpy(queries).to(device)
    rows = x[wanted]
    similarity = rows @ x.T
    for group in groups_of:
        similarity.masked_fill_(group[wanted, None] == group, LOWEST[similarity.dtype])
    candidates = Candidates(len(queries), len(x), k, ROUNDING, similarity.dtype, device)
    candidates.begin(similarity)
    offer(similarity, (candidates, 0), None)
    return _on_cpu(*_by_distance(rows, x, *candidates.products(), k))


class _Search:
    def __init__(self, x: Tensor, groups: Tensor, k: int, run: Run) -> None:
        self._x, self._groups, self._k, self._run = x, groups, k, run
        self._blocks = _blocks(len(x), x.device)
        self._members = [[set(group[rows].tolist()) for rows in self._blocks] for group in groups]

    def by(self, screen: Screen) -> Iterator[None]:
        """Search with this screen; yields after every product."""
        blocks = range(len(self._blocks))
        self._screen = screen
        self._candidates = [
            Candidates(
                rows.stop - rows.start,
                len(self._x),
                self._k,
                2 * screen.bound,
                screen.dtype,
                self._x.device,
            )
            for rows in self._blocks
        ]
        # From the diagonal outwards: in most tables similar rows are close together, so floors rise early.
        pairs = [(i, i + apart) for apart in blocks for i in blocks[: len(blocks) - apart]]
        yield from self._run(self._multiply, pairs[: len(blocks)])
        if not screen.exact and sum(map(len, self._candidates)) * _CROWDED > len(self._x) ** 2:
            raise ScreenError("too many candidates")
        yield from self._run(self._multiply, pairs[len(blocks) :])
        self._nearest = list(self._run(self._decide, blocks))

    def nearest(self) -> Nearest:
        """Of the whole search."""
        others, products = zip(*self._nearest, strict=True)
        return _on_cpu(torch.cat(others), torch.cat(products))

    def _multiply(self, pair: tuple[int, int]) -> None:
        i, j = pair
        rows, columns = self._blocks[i], self._blocks[j]
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        similarity = torch.empty(shape, dtype=self._screen.dtype, device=self._x.device)
        self._screen(rows, columns, similarity)
        for group, members in zip(self._groups, self._members, strict=True):
            if not members[i].isdisjoint(members[j]):
                own = group[rows, None] == group[None, columns]
                similarity.masked_fill_(own, LOWEST[similarity.dtype])
        if i == j:
            self._candidates[i].begin(similarity)
        of_rows = self._candidates[i], rows.start
        offer(similarity, of_rows, None if i == j else (self._candidates[j], columns.start))

    def _decide(self, block: int) -> tuple[Tensor, Tensor]:
        """(rows, k) nearest of the rows of a block, and their products."""
        candidates, rows = self._candidates[block], self._blocks[block]
        if not self._screen.exact:
            _make_exact(candidates, self._x[rows], self._x, self._screen)
        return _by_distance(self._x[rows], self._x, *candidates.products(), self._k)


def _make_exact(candidates: Candidates, queries: Tensor, x: Tensor, screen: Screen) -> None:
    """Replace approximate products by those in float32."""
    products, others = candidates.products()
    place = (products > LOWEST[products.dtype]).flatten().nonzero()[:, 0]
    rough = products.flatten()[place] * screen.unit + screen.zero
    exact = _products(queries, x, place // products.shape[1], others.flatten()[place])
    if bool(((rough - exact).abs() > screen.bound * screen.unit).any()):
        raise ScreenError("the error of a product is above its bound")
    replaced = torch.full(products.shape, LOWEST[exact.dtype])
    replaced.view(-1)[place] = exact
    candidates.replace(replaced, others, ROUNDING)


def _by_distance(
    queries: Tensor, x: Tensor, products: Tensor, others: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """The first k of `others`, rows of x, by their distance to the queries, with their products.

    They are given with the largest product first.

    Runs of products that rounding may have put in a wrong order are ordered by distances in float64.
    """
    close = products[:, :-1] - products[:, 1:] < ROUNDING
    follows, leads = (torch.nn.functional.pad(close, side) for side in ((1, 0), (0, 1)))
    place = (follows | leads).flatten().nonzero()[:, 0]
    run = (~follows).flatten()[place].cumsum(0)
    close_rows = others.flatten()[place]
    needed, other = torch.unique(close_rows, return_inverse=True)
    query, row = torch.unique(place // products.shape[1], return_inverse=True)
    a, b = queries[query].double(), x[needed].double()
    distances = (a**2).sum(dim=1)[row] + (b**2).sum(dim=1)[other] - 2 * _products(a, b, row, other)
    order = close_rows.argsort(stable=True)  # so that equal distances are in the order of the rows
    for key in (distances, run):
        order = order[key[order].argsort(stable=True)]
    by_distance, its_products = others.clone(), products.clone()
    by_distance.view(-1)[place] = close_rows[order]
    its_products.view(-1)[place] = products.flatten()[place][order]
    return _as_wide(by_distance, k, 0), _as_wide(its_products, k, LOWEST[products.dtype])


def _as_wide(values: Tensor, k: int, filling: float) -> Tensor:
    """(rows, k), filled up where there are fewer columns."""
    if values.shape[1] < k:
        return torch.nn.functional.pad(values, (0, k - values.shape[1]), value=filling)
    return values[:, :k].contiguous()


def _products(a: Tensor, b: Tensor, row: Tensor, other: Tensor) -> Tensor:
    """Products of rows of a, in ascending order, with other rows of b; both of one dtype."""
    if _samples(a.device.type):
        ends = torch.bincount(row, minlength=len(a)).cumsum(0)
        pattern = _pattern(torch.nn.functional.pad(ends, (1, 0)), other, (len(a), len(b)), a.dtype)
        products: Tensor = torch.sparse.sampled_addmm(pattern, a, b.T, beta=0).values()
        return products
    memory = devices.free_memory(a.device) // _PARTS if devices.is_gpu(a.device) else _PAIR_BYTES
    at_once = max(1, memory // (a.element_size() * a.shape[1]))
    starts = range(0, len(row), at_once)
    parts = [(a[row[i : i + at_once]] * b[other[i : i + at_once]]).sum(dim=1) for i in starts]
    return torch.cat([a.new_empty(0), *parts])


def _pattern(starts: Tensor, columns: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    values = torch.zeros(len(columns), dtype=dtype)
    return torch.sparse_csr_tensor(starts, columns, values, size=shape, check_invariants=False)


@cache
def _samples(device: str) -> bool:
    """Whether torch can compute single products of rows on this device without copying the rows."""
    if device != "cpu":
        return False
    with warnings.catch_warnings():  # torch warns once that sparse tensors are in beta state
        warnings.simplefilter("ignore")
        pattern = _pattern(torch.tensor([0, 1]), torch.tensor([0]), (1, 1), torch.float32)
    try:
        torch.sparse.sampled_addmm(pattern, torch.ones(1, 1), torch.ones(1, 1))
    except RuntimeError:
        return False
    return True


def _groups(groups: Int64, device: torch.device) -> Tensor:
    """(G, N) int32 groups of one kind or of several."""
    return torch.from_numpy(np.atleast_2d(groups)).int().to(device)


def _on_cpu(others: Tensor, products: Tensor) -> Nearest:
    others.masked_fill_(products == LOWEST[products.dtype], NONE)
    return Nearest(np.asarray(others.cpu().numpy()), np.asarray(products.cpu().numpy()))


def finish(steps: Generator[None, None, Nearest]) -> Nearest:
    """The result of `nearest_neighbors`, whose yields are ignored."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            at_the_end: Nearest = end.value
            return at_the_end
