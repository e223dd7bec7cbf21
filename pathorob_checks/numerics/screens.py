"""Fast approximate products of all rows with each other, and a bound on their error."""

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
ROUNDING = 4e-6  # the error of a product of two unit rows in float32 is below half of this
_MIXED = 64  # coordinates that one factor of the rotation mixes
_LARGEST = 126  # integer, before rounding moves it to a neighbor
_FAILURE = 1e-9  # probability that the error of any product is above its bound
_SEED = 1963
_CHUNK = 256  # rows
_COMMON = 0.2  # of a row's squared length; a mean with a smaller squared length is not subtracted
_FEW = 1 << 12  # with fewer rows no time is saved
_CANDIDATES = (
    80  # from 80 k rows on, approximate products save more time than the exact ones of candidates cost
)
_FASTER = 2.5  # how many times as fast as float32 products those of int8 must be


class ScreenError(Exception):
    """These rows need a more exact screen.

    Either so many products are equal within its bound that most rows are candidates (embeddings that hardly
    differ), or the error of one was above the bound: this has a probability of one in a billion, unless the
    processor adds up integers wrongly.
    """


class Screen(Protocol):
    """Approximate products of rows: a number n stands for the product n * unit + zero.

    The error of a number is at most `bound`.
    """

    dtype: torch.dtype
    bound: float
    unit: float
    zero: float
    exact: bool  # whether errors are at most those of float32, `ROUNDING`

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
    """Products of (N, D) unit rows on the CPU that are rounded to integers from -127 to 127.

    The mean m of the rows is subtracted first: x.y is (x - m).(y - m) plus a number for each row, for which
    there are a few more coordinates. A fixed rotation with random signs then spreads every row evenly over
    its coordinates, so that one step of rounding suits all. Rounding goes up or down at random, without a
    bias: with x' = x + e and y' = y + f, rounded, the error e.y' + x.f of a product is a sum of independent
    terms without bias, each within a step times a coordinate. By Hoeffding's inequality (1963) it exceeds t
    with a probability of at most 2 exp(-2 t^2 / (step^2 (|x|^2 + |y'|^2))). The bound holds for all products
    of a call together, except in one call of 10^9.
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
        for matrix, start in ((self._rows, 0), (self._columns, more)):
            matrix[:, places:] = 127
            matrix[:, places + start : places + start + more] = digits
        # In steps: random rounding, the bias of 256 levels, rounding in the rotation; in units: the digits.
        longest = length + step * sqrt(places)
        off = sqrt(log(count**2 / _FAILURE) * (length**2 + longest**2) / 2)
        off += (length + longest) * sqrt(places) / 512 + 2 * ROUNDING / step
        self.bound = off / step + 129

    def __call__(self, rows: slice, columns: slice, out: Tensor) -> None:
        """See `Screen`."""
        torch._int_mm(self._rows[rows], self._columns[columns].T, out=out)


def _digits(numbers: Tensor) -> Tensor:
    """(N, digits) int8 that add up to each of the (N,) integers; as many as the largest one needs."""
    count = -(-int(numbers.abs().max()) // 127)
    if count == 0:
        return torch.empty((len(numbers), 0), dtype=torch.int8)
    each = torch.div(numbers, count, rounding_mode="floor")[:, None]
    more = torch.arange(count) < (numbers[:, None] - each * count)
    return (each + more).to(torch.int8)


def choose(x: Tensor, k: int, run: Run) -> Screen:
    """The faster screen in a search for the k nearest of (N, D) rows."""
    few = k * _CANDIDATES <= len(x) and len(x) >= _FEW
    if x.device.type == "cpu" and few and _int8_is_fast():
        return Int8Screen(x, run)
    return Float32Screen(x)


@cache
def _int8_is_fast() -> bool:
    """Whether this processor multiplies int8 without error and fast enough to save time."""
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
