"""Sums over the k nearest neighbors of each patch when a slide is left out and the next neighbors follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.numerics import threads

Float64 = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]
_ENTRIES = 1 << 18  # of neighbor lists that are sorted at a time


def sums_without_units(
    terms: Sequence[npt.NDArray[np.floating[Any]]], units: Codes, lengths: Int64, k: int
) -> tuple[Int64, Int64, Float64]:
    """Changes of the sums over the first k neighbors when each unit among them is left out.

    Parameters
    ----------
    terms : of each sum, (Q, L) what a neighbor at each rank adds to it, 0 beyond the list's length.
    units : (Q, L) codes of the slides or cases of the neighbors, from 0; anything beyond the length.
    lengths : (Q,) how long each list is, at most L.
    k : number of neighbors that count.

    Returns
    -------
    For every query and unit among its first k neighbors: (P,) query, (P,) unit and (terms, P) changes.
    Where a list runs out, what is left of it is scaled to k; where nothing is left, nothing is known and it
    changes by 0.
    """
    count, length = units.shape
    at_once = max(1, _ENTRIES // max(1, length))
    blocks = [slice(start, min(start + at_once, count)) for start in range(0, count, at_once)]

    def measure(rows: slice) -> tuple[Int64, Int64, Float64]:
        query, unit, changes = _at_once([each[rows] for each in terms], units[rows], lengths[rows], k)
        return query + rows.start, unit, changes

    parts = list(threads.spread(measure, blocks) if len(blocks) > 1 else map(measure, blocks))
    queries, neighbors, changes = zip(*parts, strict=True)
    return np.concatenate(queries), np.concatenate(neighbors), np.concatenate(changes, axis=1)


def _at_once(
    terms: Sequence[npt.NDArray[np.floating[Any]]], units: Codes, lengths: Int64, k: int
) -> tuple[Int64, Int64, Float64]:
    """As `sums_without_units`: a member of a unit is put aside where fewer than k others precede it."""
    count, length = units.shape
    there = np.arange(length) < lengths[:, None]
    nobody = int(units.max(initial=0)) + 1
    known = np.where(there, units, nobody)
    order = np.argsort(known, axis=1, kind="stable")
    ranked = np.take_along_axis(known, order, axis=1)
    begins = np.ones(ranked.shape, dtype=bool)
    np.not_equal(ranked[:, 1:], ranked[:, :-1], out=begins[:, 1:])
    first = np.flatnonzero(begins)
    before = np.arange(ranked.size) - np.repeat(first, np.diff(first, append=ranked.size))
    aside = (order.ravel() - before < k) & (ranked.ravel() != nobody)
    taken = np.add.reduceat(aside.astype(np.int64), first)
    some = np.flatnonzero(taken)
    query, taken = first[some] // length, taken[some]
    left = lengths[query] - taken
    changes = np.zeros((len(terms), len(some)))
    for change, term in zip(changes, terms, strict=True):
        sums = np.zeros((count, length + 1))
        np.cumsum(term, axis=1, out=sums[:, 1:])
        gone = np.add.reduceat(np.take_along_axis(term, order, axis=1).ravel() * aside, first)[some]
        remaining = sums[query, np.minimum(k + taken, lengths[query])] - gone
        scaled = np.where(left < k, remaining * k / np.maximum(left, 1), remaining)
        change[:] = np.where(left > 0, scaled - sums[query, np.minimum(k, lengths[query])], 0)
    return query, ranked.ravel()[first[some]].astype(np.int64), changes
