"""Which rows may be among the k nearest of each row, by products that may be off."""

from __future__ import annotations

from threading import Lock

import numpy as np
import torch
from torch import Tensor

LOWEST = {torch.int32: torch.iinfo(torch.int32).min, torch.float32: -torch.inf}  # stands for no product
_MEMBERS = 16  # of a group of products that is looked at as one for a first floor
_NONE = torch.iinfo(torch.int64).max
_HALF = 32  # bits of a key


class Candidates:
    """For each row of a block, the products that may be among its k largest, and the rows they are with.

    A product belongs here while it is not smaller than the k-th largest by more than both may be off
    together. Both numbers of a candidate are kept in one, a key: sorted keys have the largest product
    first, and equal ones in the order of the rows they are with. Several threads may offer.

    Parameters
    ----------
    rows : of the block.
    columns : how many products a row can have.
    k : number of neighbors sought.
    margin : by how much two products may be off together.
    dtype, device : of the products, int32 or float32.

    Attributes
    ----------
    least : (rows,) the smallest products that still belong here.
    """

    def __init__(
        self, rows: int, columns: int, k: int, margin: float, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._k, self._margin, self._dtype = k, margin, dtype
        self._keys = torch.full((rows, min(4 * k, columns)), _NONE, device=device)
        self._filled = torch.zeros(rows, dtype=torch.int64, device=device)
        least = LOWEST[dtype] + 1 if dtype == torch.int32 else torch.finfo(dtype).min
        self.least = torch.full((rows,), least, dtype=dtype, device=device)
        self._lock = Lock()

    def __len__(self) -> int:
        """Candidates of all rows so far."""
        return int(self._filled.sum())

    def begin(self, similarity: Tensor) -> None:
        """Set a first floor from (rows, columns) products, which are to be offered as well."""
        rows, width = similarity.shape
        if width < self._k:
            return
        members = max(1, min(_MEMBERS, width // (4 * self._k)))
        maxima = similarity[:, : width - width % members].reshape(rows, members, -1).amax(dim=1)
        if not _by_numpy(maxima):
            kth = maxima.topk(self._k, dim=1).values[:, -1]
        else:
            kth = torch.from_numpy(np.partition(maxima.numpy(), -self._k, axis=1)[:, -self._k].copy())
        self._raise(kth, kth > LOWEST[self._dtype])

    def offer(self, row: Tensor, others: Tensor, products: Tensor) -> None:
        """Take products of these rows of the block, in ascending order, with other rows."""
        here = (products >= self.least[row]).nonzero()[:, 0]
        keys = _keys(products[here], others[here])
        with self._lock:
            self._add(row[here], keys)

    def products(self) -> tuple[Tensor, Tensor]:
        """(rows, most) products, largest first, and int64 the rows they are with.

        `LOWEST` fills up the rows that have fewer.
        """
        self._tighten()
        keys = self._keys[:, : int(self._filled.max())]
        products = _from_ordered((-(keys >> _HALF)).int(), self._dtype)
        none = keys == _NONE
        return products.masked_fill_(none, LOWEST[self._dtype]), (keys & (2**_HALF - 1)).masked_fill_(none, 0)

    def replace(self, products: Tensor, others: Tensor, margin: float) -> None:
        """Take float32 products that are less off, in the form in which `products` gave them."""
        self._dtype, self._margin = products.dtype, margin
        self.least = torch.full(self.least.shape, torch.finfo(products.dtype).min, device=products.device)
        self._keys = _keys(products, others).masked_fill_(products == LOWEST[products.dtype], _NONE)

    def _raise(self, kth: Tensor, some: Tensor) -> None:
        """The floor follows the k-th largest products, where there are `some`."""
        least = torch.where(some, kth.double(), 0) - self._margin
        if not self._dtype.is_floating_point:
            least = least.floor()
        self.least = torch.where(some, torch.maximum(self.least, least.to(self._dtype)), self.least)

    def _tighten(self) -> None:
        """Let go of what cannot be among the k largest any more; the others are sorted."""
        if not _by_numpy(self._keys):
            self._keys = self._keys.sort(dim=1).values
        else:
            self._keys.numpy().sort(axis=1)
        if self._keys.shape[1] >= self._k:
            kth = self._keys[:, self._k - 1]
            products = _from_ordered((-(kth >> _HALF)).int(), self._dtype)
            self._raise(products, kth != _NONE)
        least = _keys(self.least, torch.zeros_like(self._filled)) + 2**_HALF
        self._filled = torch.searchsorted(self._keys, least[:, None])[:, 0]
        gone = torch.arange(self._keys.shape[1], device=least.device) >= self._filled[:, None]
        self._keys.masked_fill_(gone, _NONE)

    def _add(self, row: Tensor, keys: Tensor) -> None:
        """Keys in the order of their rows."""
        counts = torch.bincount(row, minlength=len(self._filled))
        needed = int((self._filled + counts).max())
        if needed > self._keys.shape[1] and bool(self._filled.any()):
            self._tighten()
            needed = int((self._filled + counts).max())
        if needed > self._keys.shape[1]:
            wider = self._keys.new_full((len(self._keys), needed + needed // 4), _NONE)
            wider[:, : self._keys.shape[1]] = self._keys
            self._keys = wider
        place = torch.arange(len(row), device=row.device) + (self._filled - counts.cumsum(0) + counts)[row]
        self._keys.view(-1)[place + row * self._keys.shape[1]] = keys
        self._filled += counts


def offer(similarity: Tensor, rows: tuple[Candidates, int], columns: tuple[Candidates, int] | None) -> None:
    """Offer (rows, columns) products to the block of the rows and, where it is another, that of the columns.

    Each with the number of the block's first row.
    """
    found, first_row = rows
    others, first_column = columns or rows
    if not _by_numpy(similarity):
        mask = similarity >= found.least[:, None]
        if columns:
            mask |= similarity >= others.least[None, :]
        flat = mask.flatten().nonzero()[:, 0]
    else:
        array = similarity.numpy()
        there = array >= found.least.numpy()[:, None]
        if columns:
            there |= array >= others.least.numpy()[None, :]
        flat = torch.from_numpy(np.flatnonzero(there))
    row = flat // similarity.shape[1]
    column = flat - row * similarity.shape[1]
    products = similarity.view(-1)[flat]
    found.offer(row, column + first_column, products)
    if columns:
        order = _stable_order(column)
        others.offer(column[order], row[order] + first_row, products[order])


def _keys(products: Tensor, others: Tensor) -> Tensor:
    return (-_ordered(products).long() << _HALF) + others


def _ordered(products: Tensor) -> Tensor:
    """int32 in the same order."""
    if not products.is_floating_point():
        return products
    bits = products.view(torch.int32)
    return bits ^ ((bits >> 31) & torch.iinfo(torch.int32).max)


def _from_ordered(ordered: Tensor, dtype: torch.dtype) -> Tensor:
    if not dtype.is_floating_point:
        return ordered
    return (ordered ^ ((ordered >> 31) & torch.iinfo(torch.int32).max)).view(dtype)


def _by_numpy(tensor: Tensor) -> bool:
    """On the CPU NumPy sorts, partitions and compares in a half to a tenth of torch's time."""
    return tensor.device.type == "cpu"


def _stable_order(row: Tensor) -> Tensor:
    if not _by_numpy(row):
        return row.argsort(stable=True)
    # NumPy sorts so few different numbers by counting, not by comparing.
    return torch.from_numpy(row.numpy().astype(np.uint16).argsort(kind="stable"))
