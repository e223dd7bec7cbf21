"""Rows that may be among the k nearest of each row, by approximate products."""

from __future__ import annotations

from threading import Lock

import numpy as np
import torch
from torch import Tensor

LOWEST = {torch.int32: torch.iinfo(torch.int32).min, torch.float32: -torch.inf}  # marks a missing product
_MEMBERS = 16  # products in a group, of which only the maximum is used for the first floor
_NONE = torch.iinfo(torch.int64).max
_HALF = 32  # bits of a key


class Candidates:
    """For each row of a block, the products that may be among its k largest, and their other rows.

    A product stays a candidate unless it is smaller than the k-th largest by more than the errors of both
    together. A candidate is stored as one number, its key, made of the product and the other row: sorted keys
    have the largest product first, and equal products in the order of the other rows. Several threads may
    call `offer`.

    Parameters
    ----------
    rows : of the block.
    columns : how many products a row can have.
    k : number of neighbors sought.
    margin : the largest sum of the errors of two products.
    dtype, device : of the products, int32 or float32.

    Attributes
    ----------
    least : (rows,) the floor: smaller products are no candidates.
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
        """The number of candidates of all rows so far."""
        return int(self._filled.sum())

    def begin(self, similarity: Tensor) -> None:
        """Set a first floor from (rows, columns) products, which must be offered as well."""
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
        """Take products of rows of the block, in ascending order of `row`, with other rows."""
        kept = (products >= self.least[row]).nonzero()[:, 0]
        keys = _keys(products[kept], others[kept])
        with self._lock:
            self._add(row[kept], keys)

    def products(self) -> tuple[Tensor, Tensor]:
        """(rows, most) products, largest first, and their other rows, int64.

        Rows with fewer candidates are filled up with `LOWEST`.
        """
        self._tighten()
        keys = self._keys[:, : int(self._filled.max())]
        products = _from_ordered((-(keys >> _HALF)).int(), self._dtype)
        none = keys == _NONE
        return products.masked_fill_(none, LOWEST[self._dtype]), (keys & (2**_HALF - 1)).masked_fill_(none, 0)

    def replace(self, products: Tensor, others: Tensor, margin: float) -> None:
        """Replace the products by more exact float32 ones, in the form in which `products` returned them."""
        self._dtype, self._margin = products.dtype, margin
        self.least = torch.full(self.least.shape, torch.finfo(products.dtype).min, device=products.device)
        self._keys = _keys(products, others).masked_fill_(products == LOWEST[products.dtype], _NONE)

    def _raise(self, kth: Tensor, some: Tensor) -> None:
        """Raise the floor to the k-th largest products less the margin, in the rows of the mask `some`."""
        least = torch.where(some, kth.double(), 0) - self._margin
        if not self._dtype.is_floating_point:
            least = least.floor()
        self.least = torch.where(some, torch.maximum(self.least, least.to(self._dtype)), self.least)

    def _tighten(self) -> None:
        """Drop candidates that can no longer be among the k largest, and sort the others."""
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
        """Add keys, in the order of their rows."""
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
    """Offer (rows, columns) products to the candidates of the rows and, unless None, to those of the columns.

    `rows` and `columns` are the candidates of a block and the number of its first row.
    """
    of_rows, first_row = rows
    of_columns, first_column = columns or rows
    if not _by_numpy(similarity):
        mask = similarity >= of_rows.least[:, None]
        if columns:
            mask |= similarity >= of_columns.least[None, :]
        flat = mask.flatten().nonzero()[:, 0]
    else:
        array = similarity.numpy()
        kept = array >= of_rows.least.numpy()[:, None]
        if columns:
            kept |= array >= of_columns.least.numpy()[None, :]
        flat = torch.from_numpy(np.flatnonzero(kept))
    row = flat // similarity.shape[1]
    column = flat - row * similarity.shape[1]
    products = similarity.view(-1)[flat]
    of_rows.offer(row, column + first_column, products)
    if columns:
        order = _stable_order(column)
        of_columns.offer(column[order], row[order] + first_row, products[order])


def _keys(products: Tensor, others: Tensor) -> Tensor:
    return (-_ordered(products).long() << _HALF) + others


def _ordered(products: Tensor) -> Tensor:
    """int32 numbers with the order of the products."""
    if not products.is_floating_point():
        return products
    bits = products.view(torch.int32)
    return bits ^ ((bits >> 31) & torch.iinfo(torch.int32).max)


def _from_ordered(ordered: Tensor, dtype: torch.dtype) -> Tensor:
    if not dtype.is_floating_point:
        return ordered
    return (ordered ^ ((ordered >> 31) & torch.iinfo(torch.int32).max)).view(dtype)


def _by_numpy(tensor: Tensor) -> bool:
    """Whether to use NumPy: on the CPU it sorts, partitions and compares 2 to 10 times as fast as torch."""
    return tensor.device.type == "cpu"


def _stable_order(row: Tensor) -> Tensor:
    if not _by_numpy(row):
        return row.argsort(stable=True)
    # NumPy sorts 16-bit numbers by counting, not by comparing.
    return torch.from_numpy(row.numpy().astype(np.uint16).argsort(kind="stable"))
