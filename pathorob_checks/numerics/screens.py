"""Products of all rows with each other, fast and only nearly right, and by how much they may be off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import cache
from math import log, sqrt
from typing import Any, Protocol

import numpy as np
import scipy.fft
import scipy.linalg
import torch
from torch import Tensor
from torch.nn.functional import pad

from pathorob_checks.numerics import threads
from pathorob_checks.numerics.products import Multiplication

Run = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]  # such as `map`
ROUNDING = 4e-6  # a product of two unit rows in float32 is closer than half of this to the exact one
_MIXED = 64  # places that one factor of the rotation mixes
_LARGEST = 126  # integer, before rounding moves it to a neighbor
_FAILURE = 1e-9  # chance that some product is further off than its bound
_SEED = 1963
_CHUNK = 256  # rows
_COMMON = 0.2  # of a row's squared length; where all rows have less in common it is left where it is
_FEW = 1 << 12  # rows below which nothing is gained
_CANDIDATES = 80  # times k rows, and their rough products save what the exact ones of k rows cost
_FASTER = 2.5  # int8 products than those of float32, to be worth the candidates


class ScreenError(Exception):
    """These rows need a more exact screen.

    Either so many products are equal within its bound that most rows are candidates (embeddings that hardly
    differ), or one was further off than the bound: a chance of one in a billion, or a processor that adds up
    whole numbers wrongly.
    """


class Screen(Protocol):
    """Products of rows, in units of its own from a zero of its own.

    None of them is off by more than `bound` of these units.
    """

    dtype: torch.dtype
    bound: float
    unit: float
    zero: float
    exact: bool  # right up to `ROUNDING`

    def __call__(self, rows: slice, columns: slice, out: Tensor) -> None:
        """Write the products of some rows with others to `out`."""


class Float32Screen:
    """Products in float32 of (N, D) unit rows."""

    dtype, bound, unit, zero, exact = torch.float32, ROUNDING / 2, 1.0, 0.0, True

    def __init__(self, x: Tensor) -> None:
        self._x, self._multiply = x, Multiplication(x.device)

    def __call__(self, rows: slice, columns: slice, out: Tensor) -> None:
        """See `Screen`."""
        self._multiply(self._x[rows], self._x[columns].T, out)


class Int8Screen:
    """Products of (N, D) unit rows on the CPU that are rounded to whole numbers in -127 to 127.

    What the rows have in common goes first: with m their mean, x.y is (x - m).(y - m) and a number for each
    row, which a few more places carry. A fixed rotation with random signs then spreads every row evenly
    over its places, so that one step of rounding suits all. Rounding goes up or down by chance, so that it
    is right on average: with x' = x + e and y' = y + f, rounded, the error e.y' + x.f of a product is a sum
    of independent terms without bias, each within a step times a coordinate. By Hoeffding's inequality
    (1963) it exceeds t with a probability of at most 2 exp(-2 t^2 / (step^2 (|x|^2 + |y'|^2))). The bound
    holds for all products of a call together, but for one call in 10^9.
    """

    dtype, exact = torch.int32, False

    def __init__(self, x: Tensor, run: Run) -> None:
        count, dim = x.shape
        places = dim + -dim % _MIXED
        mean = x.mean(dim=0)
        if float(mean.square().sum()) < _COMMON:
            mean.zero_()
        generator = np.random.default_rng(_SEED)
        blocks = places // _MIXED
        within = scipy.linalg.hadamard(_MIXED) / sqrt(_MIXED) * generator.choice([-1, 1], (_MIXED, 1))
        across = scipy.fft.dct(np.eye(blocks), norm="ortho", axis=0) * generator.choice([-1, 1], blocks)

        def rotated(start: int, across: Tensor) -> Tensor:
            some = pad(x[start : start + _CHUNK] - mean, (0, places - dim))
            mixed = some.view(-1, _MIXED) @ torch.from_numpy(within).float()
            return (across @ mixed.view(len(some), blocks, _MIXED)).view(len(some), places)

        def extent(start: int) -> tuple[float, float]:
            some = rotated(start, torch.from_numpy(across).float())
            return float(some.abs().max()), float(torch.linalg.vector_norm(some, dim=1).max())

        def rounded(start: int) -> None:
            some = rotated(start, torch.from_numpy(across / step).float())
            chance = bytearray(np.random.default_rng((_SEED, start)).bytes(some.numel()))
            some.add_(torch.frombuffer(chance, dtype=torch.uint8).view(some.shape), alpha=1 / 256)
            self._rows[start : start + _CHUNK, :places] = some.add_(1 / 512).floor_().to(torch.int8)

        starts = range(0, count, _CHUNK)
        largest, lengths = zip(*run(extent, starts), strict=True)
        step, length = max(largest) / _LARGEST, max(lengths)
        self.unit = step**2
        along = (x @ mean).double() - float(mean.double().square().sum()) / 2
        middle = float(along.min() + along.max()) / 2
        self.zero = 2 * middle
        digits = _digits(((along - middle) / (127 * self.unit)).round().long())
        more = digits.shape[1]
        self._rows = torch.empty((count, places + 2 * more), dtype=torch.int8)
        for _ in run(rounded, starts):
            pass
        self._columns = self._rows.clone()
        for these, those in ((self._rows, 0), (self._columns, more)):
            these[:, places:] = 127
            these[:, places + those : places + those + more] = digits
        # In steps: chance, the bias of 256 levels, the rounding of the rotation; in units, that of digits.
        longest = length + step * sqrt(places)
        off = sqrt(log(count**2 / _FAILURE) * (length**2 + longest**2) / 2)
        off += (length + longest) * sqrt(places) / 512 + 2 * ROUNDING / step
        self.bound = off / step + 129

    def __call__(self, rows: slice, columns: slice, out: Tensor) -> None:
        """See `Screen`."""
        torch._int_mm(self._rows[rows], self._columns[columns].T, out=out)


def _digits(numbers: Tensor) -> Tensor:
    """(N, digits) int8 that add up to each of the (N,) whole numbers; as many as the largest needs."""
    count = -(-int(numbers.abs().max()) // 127)
    if count == 0:
        return torch.empty((len(numbers), 0), dtype=torch.int8)
    each = torch.div(numbers, count, rounding_mode="floor")[:, None]
    more = torch.arange(count) < (numbers[:, None] - each * count)
    return (each + more).to(torch.int8)


def choose(x: Tensor, k: int, run: Run) -> Screen:
    """The faster screen for the k nearest of (N, D) rows."""
    few = k * _CANDIDATES <= len(x) and len(x) >= _FEW
    if x.device.type == "cpu" and few and _int8_is_fast():
        return Int8Screen(x, run)
    return Float32Screen(x)


@cache
def _int8_is_fast() -> bool:
    """Whether this processor multiplies int8 without error, and fast enough to be worth it."""
    if not hasattr(torch, "_int_mm"):
        return False
    signs = torch.full((1024, 1), 127, dtype=torch.int8)
    signs[::2] = -127
    whole, floats = signs.expand(-1, 1024).contiguous(), signs.expand(-1, 1024).float()
    room, multiply = torch.empty((1024, 1024)), Multiplication(whole.device)
    with threads.limited(1):
        try:
            products = torch._int_mm(whole, whole.T)
        except RuntimeError:
            return False
        if not torch.equal(products, (1024 * signs.int() * signs.int().T)):
            return False
        by_float32 = min(_seconds(lambda: multiply(floats, floats.T, room)) for _ in range(5))
        by_int8 = min(_seconds(lambda: torch._int_mm(whole, whole.T, out=products)) for _ in range(5))
    return by_float32 > _FASTER * by_int8


def _seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin
