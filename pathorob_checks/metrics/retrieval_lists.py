"""Which slides a query finds in a database, what their majority says, and what changes without a slide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.drop_effects import ScoresWithout, Tested, deletions
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.retrieval_entries import Entries
from pathorob_checks.wording import counted

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
_ROWS = 2.0  # of 0 wrong among n the 97.5 % limit is 3.7 / n: 1.96 standard errors of 2 / n


@dataclass(frozen=True, kw_only=True)
class Results:
    """The results of n queries, nearest first; those of the query's own case are left out.

    Attributes
    ----------
    found : (n, d) int64 entries.
    there : (n, d) bool, False in the places that are left over at the end of a list.
    """

    rows: Int64
    there: Bool

    def first(self, count: int) -> Results:
        """The nearest results."""
        return Results(rows=self.rows[:, :count], there=self.there[:, :count])

    def without(self, gone: Bool, count: int) -> Results:
        """The nearest results when (n, d) some are gone: the next ones take their places."""
        there = self.there & ~gone
        order = np.argsort(~there, axis=1, kind="stable")[:, :count]
        return Results(
            rows=np.take_along_axis(self.rows, order, axis=1),
            there=np.take_along_axis(there, order, axis=1),
        )


Score = Callable[[Results], Float64]  # (n,) of each query's results


def search(entries: Entries, similarity: Float64, queries: Int64, database: Int64) -> Results:
    """Rank a database for each query by (n, E) `similarity`; equals are in the order of the entries."""
    own = entries.units.codes[queries][:, None] == entries.units.codes[database]
    order = np.argsort(np.where(own, np.inf, -similarity[:, database]), axis=1, kind="stable")
    return Results(rows=database[order], there=~np.take_along_axis(own, order, axis=1))


def need_results(entries: Entries, queries: Int64, results: Results, top: int, metric: str) -> None:
    """Raise MetricError where a database has too few slides of other cases for a query."""
    number = results.there.sum(axis=1)
    if len(number) and number[short := int(number.argmin())] < top:
        slide = entries.slides.names[entries.slides.codes[queries[short]]]
        noun = entries.units.noun
        raise MetricError(
            f"{metric}: for slide {slide!r} a database has {counted(int(number[short]), 'result')} of other "
            f"{noun}s, and {top} are retrieved",
            remedy=f"add slides of other {noun}s, or ask for fewer results",
        )


def majority(entries: Entries, results: Results) -> Int64:
    """(n,) the most frequent class among the results; of equally frequent ones that of the nearest result."""
    classes = entries.classes.codes[results.rows]
    votes = ((classes[:, :, None] == classes[:, None, :]) & results.there[:, None, :]).sum(axis=2)
    winner = np.argmax(votes * results.there, axis=1)  # the first of the largest
    return np.asarray(classes[np.arange(len(classes)), winner])


def right(entries: Entries, queries: Int64) -> Score:
    """1 where the majority has the query's class, else 0."""
    truth = entries.classes.codes[queries]
    return lambda results: (majority(entries, results) == truth).astype(np.float64)


def average_precision(entries: Entries, queries: Int64, results: Results) -> Float64:
    """(n,) mean precision at the rank of every result of the query's class; 0 where there is none."""
    relevant = (
        entries.classes.codes[results.rows] == entries.classes.codes[queries][:, None]
    ) & results.there
    precision = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    return np.asarray((precision * relevant).sum(axis=1) / np.maximum(relevant.sum(axis=1), 1))


def same_center(entries: Entries, queries: Int64) -> Score:
    """Share of the results from the query's own medical center."""
    center = entries.centers.codes[queries][:, None]

    def share(results: Results) -> Float64:
        same = (entries.centers.codes[results.rows] == center) & results.there
        return np.asarray(same.sum(axis=1) / np.maximum(results.there.sum(axis=1), 1))

    return share


def preference(entries: Entries, queries: Int64, whole: Results) -> Score:
    """Share of the places of other centers that the query's own center has taken: (share - e) / (1 - e).

    e is the own center's share of the whole database, as `whole` lists it. It stays when a slide is left
    out, since in a database of the same design another slide would take its place.
    """
    share = same_center(entries, queries)
    expected = share(whole)
    elsewhere = np.where(expected < 1, 1 - expected, np.inf)
    return lambda results: (share(results) - expected) / elsewhere


@dataclass(frozen=True, kw_only=True)
class Retrieved(Tested):
    """What the queries of one domain found: scores by repetition.

    Attributes
    ----------
    of_repetition : for each repetition the (splits, n) scores.
    without : for each repetition and split.
    right_or_wrong : whether a score is 1 or 0.
    """

    of_repetition: list[Float64]
    without: list[list[ScoresWithout]]
    right_or_wrong: bool

    def least_error(self, weights: Float64) -> float:
        """See `Tested`; of scores of 1 or 0 two rows in all, about as in Clopper and Pearson's interval."""
        if not self.right_or_wrong:
            return super().least_error(weights)
        return _ROWS * float(np.sqrt((weights[weights > 0] ** 2).mean()))

    def scores(self, number: int) -> Float64:
        """See `Tested`."""
        return self.of_repetition[number]

    def scores_without(self, number: int, split: int) -> ScoresWithout:
        """See `Tested`."""
        return self.without[number][split]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The scores of a repetition's queries in one database, and without each of its slides."""

    scores: Float64
    without: ScoresWithout


class Database:
    """The database of one split, and what leaving out its slides does to scores.

    Parameters
    ----------
    entries : all of them.
    members : (d,) int64 those in the database, ascending.
    top : number of results that are scored.
    """

    def __init__(self, entries: Entries, members: Int64, top: int) -> None:
        self._units, self._top, self.members = entries.units.codes, top, members
        left_out = deletions(members, entries.units.codes, entries.cells)
        self._left_out = left_out.units
        # The next nearest take a slide's place, the others of its cell weigh no more: nothing is overstated.
        self._share = np.ones(len(left_out.units))
        _, count = np.unique(entries.units.codes[members], return_counts=True)
        self._reach = top + int(count.max())  # results that are enough to fill the places of any one unit

    def scored(self, results: Results, score: Score) -> Scored:
        """Score the first results, and those without each slide (or case) of the database."""
        near = results.first(self._reach)
        scores = score(near.first(self._top))
        without = np.repeat(scores[None], len(self._left_out), axis=0)
        unit = self._units[near.rows]
        everyone = np.arange(len(scores))
        for rank in range(min(self._top, near.rows.shape[1])):
            one = unit[:, rank]
            place = np.searchsorted(self._left_out, one)
            without[place, everyone] = score(near.without(unit == one[:, None], self._top))
        return Scored(
            scores=scores,
            without=ScoresWithout(units=self._left_out, share=self._share, scores=without),
        )
