"""A training schedule for any cohort: each class moves to its home center, step by step.

Design (also in docs/metrics.md). With C in-domain centers, every class trains on C * m slides in every split.
At split 0 each center gives m of them (share 1/C, Cramér's V 0); the home center's share rises to 1
at the last split (Cramér's V 1), the other centers giving way evenly. In every center, whole slides are set
aside for testing and for validation before training slides are drawn, so that no slide (case) is ever on two
sides, even when it gives patches to several classes. m is as large as the cohort allows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, islice
from typing import TYPE_CHECKING

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.schedules import SUBJECT, Counts, Repetition, ood_rows, seeds, slide_rows
from pathorob_checks.wording import counted, quoted

if TYPE_CHECKING:
    import pandas as pd

FEWEST_STEPS = 5
MOST_STEPS = 8
TEST_SLIDES = (2, 1)  # test slides per center x class: two as in the benchmark, one where slides are few
VALIDATION_SLIDES = 1
ATTEMPTS = 50
IMPOSSIBLE = 1000
MOST_TRIED = 1000  # sets of centers that are tried without the others

Cell = tuple[str, str]
Cells = Mapping[Cell, Mapping[str, Int64]]


@dataclass(frozen=True, kw_only=True)
class _Draw:
    """One repetition's slides: which test, which validate, and the training order of every cell."""

    test: frozenset[str]
    validation: frozenset[str]
    training: Mapping[Cell, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class GeneralSchedule:
    """Schedule built for one patch table by `general_schedule`.

    Attributes
    ----------
    home : class -> its home center.
    training_slides : splits x centers x classes.
    patches_per_slide : how many patches of a class each training slide gives, so that the size of
        the training set is the same in every split and repetition.
    """

    name: str
    centers: tuple[str, ...]
    classes: tuple[str, ...]
    home: Mapping[str, str]
    training_slides: Counts
    patches_per_slide: int
    draws: tuple[_Draw, ...]

    def repetitions(self, patches: pd.DataFrame, count: int) -> Iterator[Repetition]:
        """See `Schedule`; `patches` is the table the schedule was built for."""
        if count > len(self.draws):
            raise MetricError(
                f"{SUBJECT}: the schedule has {len(self.draws)} repetitions, {count} were requested",
                remedy="build it with as many repetitions",
            )
        cells = _cells(patches, self.centers, self.classes)
        outside = ood_rows(patches)
        for draw in self.draws[:count]:
            test = [rows for cell in cells.values() for slide, rows in cell.items() if slide in draw.test]
            validation = [
                rows for cell in cells.values() for slide, rows in cell.items() if slide in draw.validation
            ]
            yield Repetition(
                training=tuple(self._training(cells, draw, counts) for counts in self.training_slides),
                validation=(np.concatenate(validation),) * len(self.training_slides),
                id_test=np.concatenate(test),
                ood_test=outside,
            )

    def _training(self, cells: Cells, draw: _Draw, counts: tuple[tuple[int, ...], ...]) -> Int64:
        return np.concatenate(
            [
                cells[center, cls][slide][: self.patches_per_slide]
                for i, center in enumerate(self.centers)
                for j, cls in enumerate(self.classes)
                for slide in draw.training[center, cls][: counts[i][j]]
            ]
        )


def general_schedule(patches: pd.DataFrame, *, repetitions: int = 20) -> GeneralSchedule:
    """Build the schedule with the most training patches that the in-domain slides allow.

    Parameters
    ----------
    patches : pandas.DataFrame
        N rows with the columns `slide_id`, `biological_class`, `medical_center` and optionally `subset`
        (`OOD` marks out-of-domain patches; without the column all are in-domain).
    repetitions : int, default 20
        Number of draws to prepare.

    Returns
    -------
    GeneralSchedule
        For `performance_drop(..., schedule=...)`; `home` maps each class to its home center,
        `training_slides` has the number of slides as splits x centers x classes.

    Raises
    ------
    MetricError
        One center or class only, a slide in two centers, a center on two sides, or too few slides for five
        steps; the message names each center x class and how many slides it needs.

    Notes
    -----
    Every class trains on the same number of slides in every split. At split 0 each of the C in-domain centers
    gives a share of 1/C (Cramér's V 0); the share of the class's home center rises to 1 at the last split
    (Cramér's V 1). The idea is that of PathoROB [1]_, whose schedules are for its own cohorts.

    References
    ----------
    .. [1] PathoROB. Nature Communications 17, 5218 (2026).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import general_schedule
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(2)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> patches["subset"] = "ID"
    >>> schedule = general_schedule(patches, repetitions=2)
    >>> schedule.home
    {'normal': 'Aachen', 'tumor': 'Bonn'}
    >>> schedule.training_slides[0], schedule.training_slides[-1]
    (((4, 4), (4, 4)), ((8, 0), (0, 8)))
    """
    read = read_labels(patches, SUBJECT)
    patches = read.table()
    classes, centers = read.classes.names, read.in_domain(SUBJECT).centers.names
    if len(centers) < 2 or len(classes) < 2:
        raise MetricError(
            f"{SUBJECT}: the patches have {counted(len(classes), 'class', 'classes')} and "
            f"{counted(len(centers), 'in-domain medical center')}",
            remedy="give at least two classes in at least two in-domain centers",
        )
    cells = _cells(patches, centers, classes)
    sizes = sorted({len(rows) for cell in cells.values() for rows in cell.values()})
    for test_slides in TEST_SLIDES:
        pools = [_pools(cells, centers, random.Random(seed), test_slides) for seed in seeds(repetitions)]
        # Slides with fewer patches than the size do not train: few large slides or many small ones?
        plans = [
            (size * plan[0], plan[0], size, plan[1])
            for size in sizes
            if (plan := _largest_design(_available(cells, pools, size), centers, classes)) is not None
        ]
        if plans:
            _, m, size, home = max(plans, key=lambda plan: plan[:3])
            return GeneralSchedule(
                name="general",
                centers=centers,
                classes=classes,
                home=home,
                training_slides=_counts(m, centers, classes, home),
                patches_per_slide=size,
                draws=tuple(
                    _draw(cells, test, validation, size, random.Random(seed))
                    for seed, (test, validation) in zip(seeds(repetitions), pools, strict=True)
                ),
            )
    raise _too_few(cells, pools, centers, classes)


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
    cells = _cells(read.table(), centers, classes)
    pools = [_pools(cells, centers, random.Random(seed), min(TEST_SLIDES)) for seed in seeds(repetitions)]
    enough = _enough_centers(cells, _available(cells, pools, 1), centers, classes, repetitions=repetitions)
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


def _cells(patches: pd.DataFrame, centers: tuple[str, ...], classes: tuple[str, ...]) -> Cells:
    return {(center, cls): slide_rows(patches, center, cls) for center in centers for cls in classes}


def _pools(
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
            _set_aside(holders, slides, generator, test_slides) for _ in range(ATTEMPTS if shared else 1)
        ]
        chosen = max(
            candidates,
            key=lambda pair: sorted(len(holder - pair[0] - pair[1]) for holder in holders),
        )
        test |= chosen[0]
        validation |= chosen[1]
    return frozenset(test), frozenset(validation)


def _set_aside(
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


def _available(
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


def _largest_design(
    available: Mapping[Cell, int], centers: tuple[str, ...], classes: tuple[str, ...]
) -> tuple[int, dict[str, str]] | None:
    """The largest m with enough steps, and each class's home center; None if there is none."""
    smallest = _smallest_m(len(centers))
    for m in range(min(available.values()), smallest - 1, -1):
        home = _homes(available, centers, classes, m * len(centers))
        if home is not None:
            return m, home
    return None


def _smallest_m(centers: int) -> int:
    """Fewest slides per cell of the balanced split that leave room for `FEWEST_STEPS` whole-slide steps."""
    return -(-(FEWEST_STEPS - 1) // (centers - 1))


def _homes(
    available: Mapping[Cell, int], centers: tuple[str, ...], classes: tuple[str, ...], needed: int
) -> dict[str, str] | None:
    """Home centers with `needed` slides each, spread evenly over the centers; None if impossible."""
    home = _spread_homes(centers, classes, lambda cell: IMPOSSIBLE if available[cell] < needed else 0)
    return home if all(available[center, cls] >= needed for cls, center in home.items()) else None


def _spread_homes(
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


def _counts(m: int, centers: tuple[str, ...], classes: tuple[str, ...], home: Mapping[str, str]) -> Counts:
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


def _draw(
    cells: Cells, test: frozenset[str], validation: frozenset[str], size: int, generator: random.Random
) -> _Draw:
    training = {}
    for key, cell in cells.items():
        slides = [
            s for s, rows in cell.items() if len(rows) >= size and s not in test and s not in validation
        ]
        training[key] = tuple(generator.sample(slides, len(slides)))
    return _Draw(test=test, validation=validation, training=training)


def _too_few(
    cells: Cells,
    pools: list[tuple[frozenset[str], frozenset[str]]],
    centers: tuple[str, ...],
    classes: tuple[str, ...],
) -> MetricError:
    """What the smallest design lacks in each cell, with the home centers for which that is least."""
    available = _available(cells, pools, 1)
    m = _smallest_m(len(centers))
    aside = min(TEST_SLIDES) + VALIDATION_SLIDES

    def lacking(cell: Cell, training: int) -> int:
        slides = len(cells[cell])
        return max(0, training + max(aside, slides - available[cell]) - slides)

    home = _spread_homes(centers, classes, lambda cell: lacking(cell, m * len(centers)) - lacking(cell, m))
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
        return _largest_design(of_kept, kept, classes) is not None

    tried = (kept for count in range(len(centers) - 1, 1, -1) for kept in combinations(largest_first, count))
    for chosen in islice(tried, MOST_TRIED):
        kept = tuple(center for center in centers if center in chosen)
        if are_enough(kept, available):
            drawn = [
                _pools(cells, kept, random.Random(seed), min(TEST_SLIDES)) for seed in seeds(repetitions)
            ]
            if are_enough(kept, _available(cells, drawn, 1)):
                return kept
    return ()


def _smallest_cohort(cells: Cells, centers: int, classes: int) -> str:
    """A clause with the fewest slides that have a schedule; their sum where no slide is of two classes."""
    m, aside = _smallest_m(centers), min(TEST_SLIDES) + VALIDATION_SLIDES
    at_home, elsewhere = centers * m + aside, m + aside
    are_shared = sum(map(len, cells.values())) > len({slide for cell in cells.values() for slide in cell})
    in_all = classes * (at_home + (centers - 1) * elsewhere)
    return (
        f"with {counted(centers, 'in-domain medical center')} and {counted(classes, 'class', 'classes')} the "
        f"smallest cohort has {at_home} slides of each class at one center, its home, and {elsewhere} at "
        f"{'the other' if centers == 2 else 'each other'}" + ("" if are_shared else f", {in_all} in all")
    )
