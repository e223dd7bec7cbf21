"""How many slides of each center and class train, test and validate: the largest design that a cohort allows.

The design is in `any_cohort_schedule`; this module has its parts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.schedules import Counts, slide_rows

if TYPE_CHECKING:
    import pandas as pd

FEWEST_STEPS = 5
MOST_STEPS = 8
TEST_SLIDES = (2, 1)  # test slides per center x class: two as in the benchmark, one where slides are few
VALIDATION_SLIDES = 1
ATTEMPTS = 50
IMPOSSIBLE = 1000

Cell = tuple[str, str]
Cells = Mapping[Cell, Mapping[str, Int64]]


def cells_of(patches: pd.DataFrame, centers: tuple[str, ...], classes: tuple[str, ...]) -> Cells:
    """Rows of every slide of every center x class."""
    return {(center, cls): slide_rows(patches, center, cls) for center in centers for cls in classes}


def set_aside(
    cells: Cells, centers: tuple[str, ...], generator: random.Random, test_slides: int
) -> tuple[frozenset[str], frozenset[str]]:
    """Whole slides set aside for testing and validation in every center.

    Where slides are shared by classes a random choice can set aside more than needed, so the best of several
    is taken.
    """
    test: set[str] = set()
    validation: set[str] = set()
    for center in centers:
        holders = [set(cell) for (where, _), cell in cells.items() if where == center]
        slides = sorted(set().union(*holders))
        shared = sum(map(len, holders)) > len(slides)
        candidates = [
            _chosen_slides(holders, slides, generator, test_slides) for _ in range(ATTEMPTS if shared else 1)
        ]
        chosen = max(
            candidates,
            key=lambda pair: sorted(len(holder - pair[0] - pair[1]) for holder in holders),
        )
        test |= chosen[0]
        validation |= chosen[1]
    return frozenset(test), frozenset(validation)


def _chosen_slides(
    holders: list[set[str]], slides: list[str], generator: random.Random, test_slides: int
) -> tuple[set[str], set[str]]:
    order = generator.sample(slides, len(slides))
    chosen: list[set[str]] = []
    for needed in (test_slides, VALIDATION_SLIDES):
        pool: set[str] = set()
        for slide in order:
            if any(slide in holder and len(holder & pool) < needed for holder in holders):
                pool.add(slide)
        chosen.append(pool)
        order = [slide for slide in order if slide not in pool]
    return chosen[0], chosen[1]


def available_slides(
    cells: Cells, pools: list[tuple[frozenset[str], frozenset[str]]], size: int
) -> dict[Cell, int]:
    """Training slides that every repetition can have, counting slides with at least `size` patches."""
    return {
        key: min(
            sum(
                len(rows) >= size and slide not in test and slide not in validation
                for slide, rows in cell.items()
            )
            for test, validation in pools
        )
        for key, cell in cells.items()
    }


def largest_design(
    available: Mapping[Cell, int], centers: tuple[str, ...], classes: tuple[str, ...]
) -> tuple[int, dict[str, str]] | None:
    """The largest m with enough steps, and each class's home center; None if there is none."""
    smallest = smallest_m(len(centers))
    for m in range(min(available.values()), smallest - 1, -1):
        home = _homes(available, centers, classes, m * len(centers))
        if home is not None:
            return m, home
    return None


def smallest_m(centers: int) -> int:
    """Fewest slides per cell of the balanced split that leave room for `FEWEST_STEPS` whole-slide steps."""
    return -(-(FEWEST_STEPS - 1) // (centers - 1))


def _homes(
    available: Mapping[Cell, int], centers: tuple[str, ...], classes: tuple[str, ...], needed: int
) -> dict[str, str] | None:
    """Home centers with `needed` slides each, spread evenly over the centers; None if impossible."""
    home = spread_homes(centers, classes, lambda cell: IMPOSSIBLE if available[cell] < needed else 0)
    return home if all(available[center, cls] >= needed for cls, center in home.items()) else None


def spread_homes(
    centers: tuple[str, ...], classes: tuple[str, ...], penalty: Callable[[Cell], int]
) -> dict[str, str]:
    """Home centers of the least total penalty; no center is home to more classes than it must be."""
    from scipy.optimize import linear_sum_assignment  # takes long, and most runs of pytest need none

    rounds = -(-len(classes) // len(centers))
    cost = np.zeros((len(classes), len(centers) * rounds))
    for j, cls in enumerate(classes):
        for slot in range(cost.shape[1]):
            turn, i = divmod(slot, len(centers))
            cost[j, slot] = 1000 * penalty((centers[i], cls)) + 10 * turn + (i != j % len(centers))
    rows, slots = linear_sum_assignment(cost)
    return {classes[j]: centers[slot % len(centers)] for j, slot in zip(rows, slots, strict=True)}


def slide_counts(
    m: int, centers: tuple[str, ...], classes: tuple[str, ...], home: Mapping[str, str]
) -> Counts:
    """Training slides as splits x centers x classes, for m slides in each cell of the balanced split."""
    total, others = m * len(centers), len(centers) - 1
    steps = min(others * m, MOST_STEPS - 1)
    at_home = [round(m + (total - m) * step / steps) for step in range(steps + 1)]
    splits = []
    for split in at_home:
        split_counts = []
        for i, center in enumerate(centers):
            row = []
            for j, cls in enumerate(classes):
                if home[cls] == center:
                    row.append(split)
                    continue
                # The remainder of an uneven division starts at a different center for every class.
                share, extra = divmod(total - split, others)
                turn = ((i - centers.index(home[cls]) - 1) % len(centers) + j) % others
                row.append(share + (turn < extra))
            split_counts.append(tuple(row))
        splits.append(tuple(split_counts))
    return tuple(splits)
