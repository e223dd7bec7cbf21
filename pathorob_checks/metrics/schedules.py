"""Training schedules of the average performance drop: from balanced to fully correlated.

A schedule says, for every split, how many slides of each medical center x biological class train,
and draws for every repetition which slides those are. The three published ones are tables here (source:
PathoROB, Nature Communications 17, 5218, 2026); `general_schedule` builds one for any other cohort.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.inputs import Int64

if TYPE_CHECKING:
    import pandas as pd

SUBJECT = "training schedule"  # of errors: several metrics follow schedules
Counts = tuple[tuple[tuple[int, ...], ...], ...]  # splits x centers x classes


_OTHER_TABLES = (
    "leave --fm-metadata out for the benchmark's own tables, or give the patches as a cohort of your own, "
    "for which a general schedule is built"
)


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """Row numbers of one repetition; `training` and `validation` have one entry per split."""

    training: tuple[Int64, ...]
    validation: tuple[Int64, ...]
    id_test: Int64
    ood_test: Int64


class Schedule(Protocol):
    """What `performance_drop` needs of a schedule."""

    @property
    def name(self) -> str:
        """Short name for reports."""
        ...

    @property
    def training_slides(self) -> Counts:
        """Slides per split, center and class."""
        ...

    def repetitions(self, patches: pd.DataFrame, count: int) -> Iterator[Repetition]:
        """`count` draws of slides; the same for the same table."""
        ...


def cramers_v(counts: tuple[tuple[int, ...], ...]) -> float:
    """Cramér's V of a centers x classes table: 0 independent, 1 fully correlated.

    Centers or classes without any slide do not count as levels.
    """
    table = np.asarray(counts, dtype=np.float64)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    levels = min(table.shape) - 1
    if levels < 1:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(np.sqrt((((table - expected) ** 2) / expected).sum() / (table.sum() * levels)))


def seeds(count: int) -> list[int]:
    """The seeds of the repetitions, as the benchmark draws them."""
    return random.Random(1000).sample(range(10_000), count)


def slide_rows(patches: pd.DataFrame, center: str, cls: str) -> dict[str, Int64]:
    """In-domain rows of one cell by slide, slides and rows in the order of the table."""
    cell = np.flatnonzero(
        (patches.subset != "OOD") & (patches.medical_center == center) & (patches.biological_class == cls)
    )
    slides = patches.slide_id.to_numpy()[cell]
    return {str(slide): cell[slides == slide] for slide in dict.fromkeys(slides)}


def ood_rows(patches: pd.DataFrame) -> Int64:
    """Rows of the out-of-domain patches."""
    return np.flatnonzero(patches.subset == "OOD")


@dataclass(frozen=True, kw_only=True)
class PublishedSchedule:
    """A schedule of the benchmark, drawn as the benchmark draws it.

    Slides of a cell are shuffled (the order is carried over from one repetition to the next), the first
    n train, n/most of a slide's worth of patches after them validates, and the slides from position
    most + 1 on test.

    With `test_cases` the slides of the chosen cases move to the cell's end, in their shuffled order. The
    benchmark moves them in the order of a set of strings, which changes with every Python process
    (PYTHONHASHSEED). So test sets agree with it in every repetition, training sets only in the first:
    later ones are other, equally random draws.
    """

    name: str
    centers: tuple[str, ...]
    classes: tuple[str, ...]
    training_slides: Counts
    test_cases: bool = False  # a case gives patches to several classes: choose whole test cases

    @property
    def most(self) -> int:
        """The largest number of training slides in a cell."""
        return int(np.max(self.training_slides))

    def repetitions(self, patches: pd.DataFrame, count: int) -> Iterator[Repetition]:
        """See `Schedule`; raises MetricError where a cell has too few slides or uneven ones."""
        order = {
            (center, cls): list(slide_rows(patches, center, cls).items())
            for center in self.centers
            for cls in self.classes
        }
        short = [
            f"{center} x {cls} has {len(cell)} of {self.most + 2}"
            for (center, cls), cell in order.items()
            if len(cell) < self.most + 2
        ]
        if short:
            raise MetricError(
                f"{SUBJECT}: too few slides for schedule {self.name!r} ({'; '.join(short)})",
                remedy=_OTHER_TABLES,
            )
        if len({len(rows) for cell in order.values() for _, rows in cell}) != 1:
            raise MetricError(
                f"{SUBJECT}: schedule {self.name!r} needs equally many patches from every in-domain slide",
                remedy=_OTHER_TABLES,
            )
        feasible = [
            _feasible_test_cases(order, center, self.classes) for center in self.centers if self.test_cases
        ]
        outside = ood_rows(patches)
        for seed in seeds(count):
            generator = random.Random(seed)
            chosen = [cases[generator.randint(0, len(cases) - 1)] for cases in feasible]
            for number, center in enumerate(self.centers):
                for cls in self.classes:
                    cell = order[center, cls]
                    generator.shuffle(cell)
                    if chosen:
                        testing = [slide for slide in cell if slide[0] in chosen[number]]
                        cell[:] = [slide for slide in cell if slide[0] not in chosen[number]] + testing
            yield self._draw(order, outside)

    def _draw(self, order: Mapping[tuple[str, str], list[tuple[str, Int64]]], outside: Int64) -> Repetition:
        cells = {key: np.concatenate([rows for _, rows in cell]) for key, cell in order.items()}
        per_slide = {key: len(cell[0][1]) for key, cell in order.items()}
        training, validation = [], []
        for counts in self.training_slides:
            train, validate = [], []
            for i, center in enumerate(self.centers):
                for j, cls in enumerate(self.classes):
                    patches, n = per_slide[center, cls], counts[i][j]
                    train.append(cells[center, cls][: n * patches])
                    end = n * patches + int(n * patches / self.most)
                    validate.append(cells[center, cls][n * patches : end])
            training.append(np.concatenate(train))
            validation.append(np.concatenate(validate))
        test = [rows[(self.most + 1) * per_slide[key] :] for key, rows in cells.items()]
        return Repetition(
            training=tuple(training),
            validation=tuple(validation),
            id_test=np.concatenate(test),
            ood_test=outside,
        )


def _feasible_test_cases(
    order: Mapping[tuple[str, str], list[tuple[str, Int64]]], center: str, classes: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """Every set of at most five of a center's cases that holds exactly two slides of each class."""
    holders = [{slide for slide, _ in order[center, cls]} for cls in classes]
    cases = sorted(set().union(*holders))
    feasible = [
        subset
        for size in range(1, 6)
        for subset in combinations(cases, size)
        if all(len(holder.intersection(subset)) == 2 for holder in holders)
    ]
    if not feasible:
        raise MetricError(
            f"{SUBJECT}: no five cases of center {center!r} hold two slides of every class for testing",
            remedy=_OTHER_TABLES,
        )
    return feasible


def _camelyon() -> Counts:
    return tuple(((7 - s, 7 + s), (7 + s, 7 - s)) for s in range(8))


def _tcga() -> Counts:
    def slides(i: int, j: int, s: int) -> int:
        if i == j:
            return s + 2
        if i + j == 3:
            return 1 if s % 2 else (2 if s < 3 else 0)
        return 2 if s < 2 else (1 if s < 5 else 0)

    return tuple(tuple(tuple(slides(i, j, s) for j in range(4)) for i in range(4)) for s in range(7))


def _tolkach() -> Counts:
    return tuple(((3 - s,) * 3 + (3 + s,) * 3, (3 + s,) * 3 + (3 - s,) * 3) for s in range(4))


_PUBLISHED: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[], Counts], bool]] = {
    "camelyon": (("RUMC", "UMCU"), ("normal", "tumor"), _camelyon, False),
    "tcga": (
        ("Asterand", "Christiana Healthcare", "Roswell Park", "University of Pittsburgh"),
        (
            "Breast_invasive_carcinoma",
            "Colon_adenocarcinoma",
            "Lung_adenocarcinoma",
            "Lung_squamous_cell_carcinoma",
        ),
        _tcga,
        False,
    ),
    "tolkach_esca": (
        ("VALSET2_WNS", "VALSET4_CHA_FULL"),
        ("TUMOR", "MUSC_PROP", "SH_OES", "SH_MAG", "REGR_TU", "ADVENT"),
        _tolkach,
        True,
    ),
}


def published_schedule(name: str) -> PublishedSchedule:
    """Return the benchmark's training schedule for one of its cohorts.

    Parameters
    ----------
    name : {'camelyon', 'tcga', 'tolkach_esca'}
        The cohort.

    Returns
    -------
    PublishedSchedule
        For `performance_drop(..., schedule=...)`, which also takes the name; `training_slides` has the number
        of slides as splits x centers x classes.

    Raises
    ------
    MetricError
        There is no published schedule of this name.

    Notes
    -----
    Schedules are those of PathoROB [1]_: class and center are independent at split 0 and fully correlated at
    the last one.

    References
    ----------
    .. [1] PathoROB. Nature Communications 17, 5218 (2026).

    Examples
    --------
    >>> from pathorob_checks.metrics import published_schedule
    >>> schedule = published_schedule("camelyon")
    >>> schedule.centers, schedule.classes
    (('RUMC', 'UMCU'), ('normal', 'tumor'))
    >>> schedule.training_slides[0], schedule.training_slides[-1]
    (((7, 7), (7, 7)), ((0, 14), (14, 0)))
    """
    if name not in _PUBLISHED:
        raise MetricError(
            f"{SUBJECT}: there is no published schedule {name!r}",
            remedy=f"use one of {', '.join(_PUBLISHED)}",
        )
    centers, classes, counts, test_cases = _PUBLISHED[name]
    return PublishedSchedule(
        name=name, centers=centers, classes=classes, training_slides=counts(), test_cases=test_cases
    )
