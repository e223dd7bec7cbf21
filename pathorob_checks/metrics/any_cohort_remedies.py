"""What a cohort with too few slides, or without out-of-domain patches, can do about it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import combinations, islice
from typing import TYPE_CHECKING

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.any_cohort_design import (
    FEWEST_STEPS,
    TEST_SLIDES,
    VALIDATION_SLIDES,
    Cell,
    Cells,
    available_slides,
    cells_of,
    largest_design,
    set_aside,
    smallest_m,
    spread_homes,
)
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.schedules import SUBJECT, seeds
from pathorob_checks.wording import counted, quoted

if TYPE_CHECKING:
    import pandas as pd

MOST_TRIED = 1000  # sets of centers that are tried without the others
_ONLY_TEST = "which then only test classifiers, and leave the values without classifiers"


def out_of_domain_remedy(patches: pd.DataFrame, *, repetitions: int) -> str:
    """What gives a cohort out-of-domain patches: a medical center that training can spare, or a further one.

    Parameters
    ----------
    patches : as for `general_schedule`.
    repetitions : draws that the schedule must have.
    """
    read = read_labels(patches, SUBJECT)
    classes, centers = read.classes.names, read.in_domain(SUBJECT).centers.names
    cells = cells_of(read.table(), centers, classes)
    pools = [set_aside(cells, centers, random.Random(seed), min(TEST_SLIDES)) for seed in seeds(repetitions)]
    enough = _enough_centers(
        cells, available_slides(cells, pools, 1), centers, classes, repetitions=repetitions
    )
    if enough:
        spared = quoted(center for center in centers if center not in enough)
        return f"set subset to OOD for all patches of {spared}, {_ONLY_TEST}"
    needs = (
        "train on two at least"
        if len(centers) < 3
        else f"then have too few slides: {_smallest_cohort(cells, len(centers) - 1, len(classes))}"
    )
    return (
        "add slides of a further medical center, with subset OOD; none of the "
        f"{counted(len(centers), 'in-domain one')} can be spared, as classifiers {needs}"
    )


def too_few_slides(
    cells: Cells,
    pools: list[tuple[frozenset[str], frozenset[str]]],
    centers: tuple[str, ...],
    classes: tuple[str, ...],
) -> MetricError:
    """What the smallest design lacks in each cell, with the home centers for which that is least."""
    available = available_slides(cells, pools, 1)
    m = smallest_m(len(centers))
    aside = min(TEST_SLIDES) + VALIDATION_SLIDES

    def lacking(cell: Cell, training: int) -> int:
        slides = len(cells[cell])
        return max(0, training + max(aside, slides - available[cell]) - slides)

    home = spread_homes(centers, classes, lambda cell: lacking(cell, m * len(centers)) - lacking(cell, m))
    missing = {cell: lacking(cell, m * len(centers) if home[cell[1]] == cell[0] else m) for cell in cells}
    too_few = "; ".join(
        f"{cls} in {center} has {counted(n := len(cells[center, cls]), 'slide')}, {n + number} are needed"
        for (center, cls), number in missing.items()
        if number
    )
    enough = _enough_centers(cells, available, centers, classes, repetitions=len(pools))
    if enough:
        few = quoted(center for center in centers if center not in enough)
        remedy = f"add slides, or set subset to OOD for all patches of {few}, {_ONLY_TEST}"
    else:
        remedy = f"add slides: {_smallest_cohort(cells, len(centers), len(classes))}"
    return MetricError(
        f"{SUBJECT}: too few slides for {FEWEST_STEPS} training splits from balanced to correlated: "
        f"{too_few}",
        remedy=remedy,
    )


def _enough_centers(
    cells: Cells,
    available: Mapping[Cell, int],
    centers: tuple[str, ...],
    classes: tuple[str, ...],
    *,
    repetitions: int,
) -> tuple[str, ...]:
    """The most centers that have a schedule once the others only test; none if there are no such ones.

    With fewer centers each of them needs more slides, so that leaving the smallest out may not help.
    """
    least = {center: min(available[center, cls] for cls in classes) for center in centers}
    largest_first = sorted(centers, key=lambda center: -least[center])

    def are_enough(kept: tuple[str, ...], slides: Mapping[Cell, int]) -> bool:
        of_kept = {cell: number for cell, number in slides.items() if cell[0] in kept}
        return largest_design(of_kept, kept, classes) is not None

    tried = (kept for count in range(len(centers) - 1, 1, -1) for kept in combinations(largest_first, count))
    for chosen in islice(tried, MOST_TRIED):
        kept = tuple(center for center in centers if center in chosen)
        if are_enough(kept, available):
            drawn = [
                set_aside(cells, kept, random.Random(seed), min(TEST_SLIDES)) for seed in seeds(repetitions)
            ]
            if are_enough(kept, available_slides(cells, drawn, 1)):
                return kept
    return ()


def _smallest_cohort(cells: Cells, centers: int, classes: int) -> str:
    """A clause with the fewest slides that have a schedule; their sum where no slide is of two classes."""
    m, aside = smallest_m(centers), min(TEST_SLIDES) + VALIDATION_SLIDES
    at_home, elsewhere = centers * m + aside, m + aside
    are_shared = sum(map(len, cells.values())) > len({slide for cell in cells.values() for slide in cell})
    in_all = classes * (at_home + (centers - 1) * elsewhere)
    return (
        f"with {counted(centers, 'in-domain medical center')} and {counted(classes, 'class', 'classes')} the "
        f"smallest cohort has {at_home} slides of each class at one center, its home, and {elsewhere} at "
        f"{'the other' if centers == 2 else 'each other'}" + ("" if are_shared else f", {in_all} in all")
    )
