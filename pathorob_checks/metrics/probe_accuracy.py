"""How accurate a probe is over all tasks: value, interval, groups, cells, slides and confusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.ends import own_intervals
from pathorob_checks.metrics.inputs import Int64, Labels
from pathorob_checks.metrics.intervals import DRAWS, SEED
from pathorob_checks.metrics.labelled import PatchLabels
from pathorob_checks.metrics.measurement import CellValue, GroupValue, Interval, SlideValue
from pathorob_checks.metrics.pictured import Grid, rounded
from pathorob_checks.metrics.probe_tasks import Task
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.strata import Strata
from pathorob_checks.wording import counted, rounded_percent

if TYPE_CHECKING:
    from pathorob_checks.metrics.probes import Answer

Float64 = npt.NDArray[np.float64]
_SLIDES_NAMED = 10


def accuracy(tasks: Sequence[Task], answers: Sequence[Answer]) -> float | None:
    """Mean over tasks of the mean recall of both sides; None without tasks."""
    if not tasks:
        return None
    return float(np.mean([_recalls(task, answer) for task, answer in zip(tasks, answers, strict=True)]))


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What a probe said about the medical center of every tested patch.

    `read` has the labels of the patches that the tasks' rows number.
    """

    metric: str
    read: PatchLabels
    tasks: Sequence[Task]
    answers: Sequence[Answer]
    protocol: dict[str, object]
    confidence: float

    def __post_init__(self) -> None:
        recalls = np.concatenate([_recalls(*pair) for pair in self._pairs()])
        assert self.read.units is not None  # noqa: S101 (they are needed)
        effects = np.zeros((len(self.read.units), len(recalls)))
        present = np.zeros(effects.shape, dtype=bool)
        for number, (task, answer) in enumerate(self._pairs()):
            for side in (0, 1):
                here, column = task.side == side, 2 * number + side
                size = len(effects)
                patches = np.bincount(task.units[here], minlength=size)
                own = np.bincount(task.units[here], answer.right[here], minlength=size)
                effects[:, column] = (own - patches * recalls[column]) / here.sum()
                effects[answer.units, column] += answer.fall[:, side]
                effects[:, column] *= answer.variance_ratio**0.5
                present[:, column] = patches > 0
        object.__setattr__(self, "_recall", recalls)
        object.__setattr__(self, "_effects", effects)
        object.__setattr__(self, "_present", present)

    @property
    def sides(self) -> tuple[Int64, Int64]:
        """(2 tasks,) center and class of each side of each task."""
        centers = np.array([code for task in self.tasks for code in task.labels])
        return centers, np.repeat([task.within for task in self.tasks], 2)

    def value(self, some: npt.NDArray[np.bool_] | None = None) -> float:
        """The mean recall of some sides, or of all."""
        recall: Float64 = self._recall  # type: ignore[attr-defined]
        return float(recall.mean() if some is None else recall[some].mean())

    def resampling(self, some: npt.NDArray[np.bool_] | None = None) -> Resampling:
        """What the interval of the mean recall of some sides, or of all, is drawn from."""
        units, centers, classes = self.read.units, *self.sides
        assert units is not None  # noqa: S101 (they are needed)
        some = np.ones(len(centers), dtype=bool) if some is None else some
        value = self.value(some)
        effects = self._effects[:, some].mean(axis=1)  # type: ignore[attr-defined]
        present = self._present  # type: ignore[attr-defined]
        stands = np.flatnonzero(present.any(axis=1))
        names = [
            f"{self.read.centers.names[c]} / {self.read.classes.names[k]}"
            for c, k in zip(centers, classes, strict=True)
        ]
        cells = tuple(
            tuple(sorted({names[column] for column in np.flatnonzero(present[unit])})) for unit in stands
        )
        inside = 0 < value < 1
        effects = effects[stands] if inside else np.zeros(len(stands))
        alike = not inside or Strata(cells).are_alike(effects)
        return Resampling(
            metric=self.metric,
            value=value,
            scale="bounded",
            drawn="slides",
            units=tuple(units.names[unit] for unit in stands),
            cells=cells,
            effects=tuple(effects.tolist()),
            protocol={**self.protocol, **units.protocol},
            informative_slides=int(present[:, some].any(axis=1).sum()) if alike else None,
        )

    def intervals(self, resampling: Resampling, groups: int = 1) -> list[Interval | None]:
        """At the confidence, and together with those of so many groups."""
        together = 1 - (1 - self.confidence) / groups
        return own_intervals(resampling, (self.confidence, together), DRAWS, SEED)

    def groups(self) -> dict[str, tuple[GroupValue, ...]]:
        """Balanced accuracy of the tasks of each medical center, and of each class, highest first.

        Not the recall of the center's patches alone: near chance that is high for whichever center a probe
        answers more often.
        """
        of_task = np.repeat(np.array([task.labels for task in self.tasks]), 2, axis=0)
        _, classes = self.sides
        return {
            "medical_center": self._groups(self.read.centers, of_task),
            "biological_class": self._groups(self.read.classes, classes[:, None]),
        }

    def cells(self) -> tuple[CellValue, ...]:
        """Centers x classes, highest recall first."""
        centers, classes = self.sides
        found = []
        for center, cls in dict.fromkeys(zip(centers.tolist(), classes.tolist(), strict=True)):
            here = (centers == center) & (classes == cls)
            right, decisions = self._decisions(here)
            found.append(
                CellValue(
                    medical_center=self.read.centers.names[center],
                    biological_class=self.read.classes.names[cls],
                    value=self.value(here),
                    meaning=_right(right, decisions),
                )
            )
        return tuple(sorted(found, key=lambda cell: -cell.value))

    def slides(self) -> tuple[SlideValue, ...]:
        """Slides whose patches are put into their own center most often beyond what the value predicts."""
        slides = self.read.slides
        assert slides is not None  # noqa: S101 (they are needed)
        right, decisions = np.zeros(len(slides)), np.zeros(len(slides))
        for task, answer in self._pairs():
            own = slides.codes[task.rows]
            right += np.bincount(own, answer.right, minlength=len(slides))
            decisions += np.bincount(own, minlength=len(slides))
        excess = right - decisions * self.value()
        worst = [slide for slide in np.argsort(-excess, kind="stable")[:_SLIDES_NAMED] if excess[slide] > 0]
        return tuple(self._slide(slide, right[slide], decisions[slide]) for slide in worst)

    def _slide(self, slide: int, right: float, decisions: float) -> SlideValue:
        assert self.read.slides is not None  # noqa: S101 (they are needed)
        rows = np.flatnonzero(self.read.slides.codes == slide)
        names = [
            " + ".join(labels.names[code] for code in np.unique(labels.codes[rows]))
            for labels in (self.read.centers, self.read.classes)
        ]
        return SlideValue(
            slide_id=self.read.slides.names[slide],
            medical_center=names[0],
            biological_class=names[1],
            value=float(right / decisions),
            meaning=_right(right, decisions),
        )

    def confusions(self, probe: str) -> Grid:
        """Of the decisions between two centers, the share of a center's patches that is put into either."""
        centers = self.read.centers.names
        shares = np.full((len(centers), len(centers)), np.nan)
        own, _ = self.sides
        other = own.reshape(-1, 2)[:, ::-1].ravel()
        for row in np.unique(own):
            shares[row, row] = self.value(own == row)
            for column in np.unique(other[own == row]):
                shares[row, column] = 1 - self.value((own == row) & (other == column))
        return Grid(
            name=f"decisions between two medical centers, {probe}",
            row_name="patches of",
            column_name="put into",
            rows=centers,
            columns=centers,
            values=tuple(rounded(row) for row in shares),
            is_share=True,
        )

    def _groups(self, labels: Labels, of_side: Int64) -> tuple[GroupValue, ...]:
        """For each label the value of the sides that have it among their (2 tasks, some) codes."""
        tested = np.zeros(len(labels.codes), dtype=bool)
        for task in self.tasks:
            tested[task.rows] = True
        codes = np.unique(of_side)
        found = []
        for code in codes:
            resampling = self.resampling((of_side == code).any(axis=1))
            interval, simultaneous = self.intervals(resampling, len(codes))
            rows = labels.codes == code
            found.append(
                GroupValue(
                    name=labels.names[code],
                    value=resampling.value,
                    interval=interval,
                    simultaneous=simultaneous,
                    support=float(tested[rows].mean()),
                    rows=int(rows.sum()),
                )
            )
        return tuple(sorted(found, key=lambda group: -group.value))

    def _decisions(self, some: npt.NDArray[np.bool_]) -> tuple[float, int]:
        """How many decisions of some sides are right, and how many there are."""
        right, decisions = 0.0, 0
        for number, (task, answer) in enumerate(self._pairs()):
            for side in (0, 1):
                if some[2 * number + side]:
                    right += float(answer.right[task.side == side].sum())
                    decisions += int((task.side == side).sum())
        return right, decisions

    def _pairs(self) -> list[tuple[Task, Answer]]:
        return list(zip(self.tasks, self.answers, strict=True))


def _recalls(task: Task, answer: Answer) -> Float64:
    return np.bincount(task.side, answer.right) / np.bincount(task.side)


def _right(right: float, decisions: float) -> str:
    """How many decisions were right, as a clause."""
    those = counted(int(decisions), "decision")
    return f"{rounded_percent(right / decisions)} of {those} between its medical center and another are right"
