"""A training schedule for any cohort: each class moves to its home center, step by step.

Design (also in docs/metrics.md). With C in-domain centers, every class trains on C * m slides in every split.
At split 0 each center gives m of them (share 1/C, Cramér's V 0); the home center's share rises to 1
at the last split (Cramér's V 1), the other centers giving way evenly. In every center, whole slides are set
aside for testing and for validation before training slides are drawn, so that no slide (case) is ever on two
sides, even when it gives patches to several classes. m is as large as the cohort allows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.any_cohort_design import (
    TEST_SLIDES,
    Cell,
    Cells,
    available_slides,
    cells_of,
    largest_design,
    set_aside,
    slide_counts,
)
from pathorob_checks.metrics.any_cohort_remedies import too_few_slides
from pathorob_checks.metrics.inputs import Int64
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.schedules import SUBJECT, Counts, Repetition, ood_rows, seeds
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    import pandas as pd


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
        cells = cells_of(patches, self.centers, self.classes)
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
    cells = cells_of(patches, centers, classes)
    sizes = sorted({len(rows) for cell in cells.values() for rows in cell.values()})
    for test_slides in TEST_SLIDES:
        pools = [set_aside(cells, centers, random.Random(seed), test_slides) for seed in seeds(repetitions)]
        # Slides with fewer patches than the size do not train: few large slides or many small ones?
        plans = [
            (size * plan[0], plan[0], size, plan[1])
            for size in sizes
            if (plan := largest_design(available_slides(cells, pools, size), centers, classes)) is not None
        ]
        if plans:
            _, m, size, home = max(plans, key=lambda plan: plan[:3])
            return GeneralSchedule(
                name="general",
                centers=centers,
                classes=classes,
                home=home,
                training_slides=slide_counts(m, centers, classes, home),
                patches_per_slide=size,
                draws=tuple(
                    _draw(cells, test, validation, size, random.Random(seed))
                    for seed, (test, validation) in zip(seeds(repetitions), pools, strict=True)
                ),
            )
    raise too_few_slides(cells, pools, centers, classes)


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
