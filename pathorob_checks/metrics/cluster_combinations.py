"""Which combinations of two classes and two medical centers are clustered: all, or a balanced sample.

Their number grows with the square of both. A sample gives every combination about the same chance: pairs of
classes have as many places in it as they have combinations, and within them every center takes part about
equally often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.definition import Work
from pathorob_checks.metrics.inputs import Int64, Labels, labels
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    import pandas as pd

MOST = 400  # combinations; 4 classes in 12 centers have 396, the benchmark's cohorts at most 45
SEED = 1337
# Of a combination on 2 cores, and more with the square of its patches; measured with 40 to 2,000.
_SECONDS, _SECONDS_PER_SQUARE = 0.3, 1e-6

Codes = tuple[int, int]
Pair = tuple[str, str]  # names of two classes or centers
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CombinationSample:
    """The combinations to cluster, as codes of two classes and two centers, and how many there are in all.

    `of_class` and `of_center` are the numbers, among all, in which each of them takes part.
    """

    pairs: list[tuple[Codes, Codes]]
    total: int
    of_class: Int64
    of_center: Int64

    @property
    def is_sample(self) -> bool:
        """Whether some are left out."""
        return len(self.pairs) < self.total

    @property
    def extent(self) -> str:
        """`36 combinations`, or `400 of 44,850 combinations`."""
        taken = f"{len(self.pairs):,} of " if self.is_sample else ""
        return taken + counted(self.total, "combination")


def choose(classes: Labels, centers: Labels, most: int = MOST) -> CombinationSample:
    """All combinations whose four cells have patches, or a sample of `most` of them.

    They come in the order in which their labels first occur; the sample does not depend on that order.
    """
    filled = np.zeros((len(classes), len(centers)), dtype=bool)
    filled[classes.codes, centers.codes] = True
    shared = filled.astype(np.int64) @ filled.T.astype(np.int64)  # centers of each pair of classes
    number = np.triu(shared * (shared - 1) // 2, k=1)  # combinations of each pair of classes
    total = int(number.sum())
    of_center = np.zeros(len(centers), dtype=np.int64)
    for a in range(len(filled) - 1):
        of_center += (shared[a, a + 1 :] - 1) @ (filled[a] & filled[a + 1 :])
    chosen = _every(filled, number) if total <= most else _sample(filled, number, most)
    of_class, of_two = _place(classes), _place(centers)
    pairs = [(_in_order(those, of_class), _in_order(two, of_two)) for those, two in chosen]
    pairs.sort(key=lambda pair: ([of_class[code] for code in pair[0]], [of_two[code] for code in pair[1]]))
    return CombinationSample(pairs, total, number.sum(axis=0) + number.sum(axis=1), of_center)


def work(patches: pd.DataFrame) -> Work:
    """How many combinations a table has, and roughly how long they take."""
    classes = labels(patches, "biological_class", "clustering_score")
    centers = labels(patches, "medical_center", "clustering_score")
    chosen = choose(classes, centers)
    cells = len(set(zip(classes.codes.tolist(), centers.codes.tolist(), strict=True)))
    rows = 4 * len(patches) / cells
    return Work(
        text=f"{chosen.extent} of two classes and two medical centers",
        seconds=len(chosen.pairs) * (_SECONDS + _SECONDS_PER_SQUARE * rows**2),
        is_sample=chosen.is_sample,
    )


def _every(filled: Bool, number: Int64) -> Iterator[tuple[Codes, Codes]]:
    for a, b in np.argwhere(number).tolist():
        for two in combinations(np.flatnonzero(filled[a] & filled[b]).tolist(), 2):
            yield (a, b), two


def _sample(filled: Bool, number: Int64, most: int) -> Iterator[tuple[Codes, Codes]]:
    """`most` combinations; centers that were drawn seldom come first, ties at random."""
    generator = np.random.default_rng(SEED)
    those = np.argwhere(number)
    ends = np.cumsum(number[tuple(those.T)])
    drawn = (generator.random() + np.arange(most)) * (ends[-1] / most)
    places = np.bincount(np.searchsorted(ends, drawn, side="right"), minlength=len(those))
    times = np.zeros(filled.shape[1], dtype=np.int64)
    for n in generator.permutation(np.flatnonzero(places)):
        a, b = those[n].tolist()
        players = generator.permutation(np.flatnonzero(filled[a] & filled[b]))
        players = players[np.argsort(times[players], kind="stable")]
        for two in islice(_meetings(players.tolist()), int(places[n])):
            times[list(two)] += 1
            yield (a, b), two


def _meetings(players: list[int]) -> Iterator[Codes]:
    """Every two once, in rounds in which all take part; in the first one neighbors meet.

    >>> list(_meetings([1, 2, 3, 4]))
    [(1, 2), (3, 4), (1, 4), (2, 3), (1, 3), (4, 2)]
    """
    resting = [-1] * (len(players) % 2)
    early, late = [*players, *resting][0::2], [*players, *resting][1::2]
    seats = [*early, *reversed(late)]
    for _ in range(len(seats) - 1):
        for one, other in zip(seats[: len(seats) // 2], reversed(seats), strict=False):
            if -1 not in (one, other):
                yield one, other
        seats = [seats[0], seats[-1], *seats[1:-1]]


def _place(column: Labels) -> dict[int, int]:
    """When each label first occurs."""
    return {code: place for place, code in enumerate(dict.fromkeys(column.codes.tolist()))}


def _in_order(codes: Codes, place: dict[int, int]) -> Codes:
    one, other = codes
    return codes if place[one] < place[other] else (other, one)
