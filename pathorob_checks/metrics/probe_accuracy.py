"""How accurate a probe is over all tasks: value, interval, groups, cells, slides and confusions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from pathorob_checks.metrics.probe_tasks import Predicted, Task
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.strata import Strata
from pathorob_checks.wording import counted, rounded_percent

if TYPE_CHECKING:
    from pathorob_checks.metrics.probes import Answer

Float64 = npt.NDArray[np.float64]
_SLIDES_NAMED = 10


def accuracy(tasks: Sequence[Task], answers: Sequence[Answer]) -> float | None:
    """Mean over tasks of the mean recall of its cells; None without tasks."""
    if not tasks:
        return None
    return float(np.mean([_recalls(task, answer) for task, answer in zip(tasks, answers, strict=True)]))


_NOUNS: Mapping[Predicted, tuple[str, str]] = {
    "medical_center": ("medical center", "medical centers"),
    "biological_class": ("biological class", "biological classes"),
}


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What a probe said about the medical center, or the biological class, of every tested patch.

    `read` has the labels of the patches that the tasks' rows number. A recognized center is bad, a recognized
    class is good: cells, slides and groups come worst first.
    """

    metric: str
    predicted: Predicted
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
        size = len(effects)
        for column, (task, answer, part) in enumerate(self._parts()):
            here = task.part == part
            patches = np.bincount(task.units[here], minlength=size)
            own = np.bincount(task.units[here], answer.right[here], minlength=size)
            effects[:, column] = (own - patches * recalls[column]) / here.sum()
            effects[answer.units, column] += answer.fall[:, part]
            effects[:, column] *= answer.variance_ratios[part] ** 0.5
            present[:, column] = patches > 0
        object.__setattr__(self, "_recall", recalls)
        object.__setattr__(self, "_effects", effects)
        object.__setattr__(self, "_present", present)

    @property
    def columns(self) -> tuple[Int64, Int64]:
        """(cells of all tasks,) center and class of each recall; the two of a block follow each other."""
        centers, classes = np.array([cell for task in self.tasks for cell in task.cells]).T
        return centers, classes

    @property
    def support(self) -> float:
        """Share of the patches that are tested."""
        return float(self._tested.mean())

    @property
    def interval_note(self) -> str:
        """How the intervals are made and what they leave out."""
        units = self.read.units
        assert units is not None  # noqa: S101 (they are needed)
        return (
            f"The interval is about other {units.noun}s of the same classes and centers: {len(units)} "
            f"{units.noun}s are drawn with replacement within each center x class, as test and as training. "
            "It does not cover other centers or another division into folds."
        )

    def value(self, some: npt.NDArray[np.bool_] | None = None) -> float:
        """The mean recall of some columns, or of all."""
        recall: Float64 = self._recall  # type: ignore[attr-defined]
        return float(recall.mean() if some is None else recall[some].mean())

    def resampling(self, some: npt.NDArray[np.bool_] | None = None) -> Resampling:
        """What the interval of the mean recall of some columns, or of all, is drawn from."""
        units, centers, classes = self.read.units, *self.columns
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
        """Balanced accuracy of the blocks with each medical center, and with each class, worst first.

        Not the recall of a label's patches alone: near chance that is high for whichever label a probe
        answers more often.
        """
        of_blocks = (np.repeat(codes.reshape(-1, 2), 2, axis=0) for codes in self.columns)
        centers, classes = (
            self._groups(labels, codes)
            for labels, codes in zip((self.read.centers, self.read.classes), of_blocks, strict=True)
        )
        return {"medical_center": centers, "biological_class": classes}

    def cells(self) -> tuple[CellValue, ...]:
        """Recall of centers x classes, worst first."""
        centers, classes = self.columns
        collected = []
        for center, cls in dict.fromkeys(zip(centers.tolist(), classes.tolist(), strict=True)):
            here = (centers == center) & (classes == cls)
            right, decisions = self._decisions(here)
            collected.append(
                CellValue(
                    medical_center=self.read.centers.names[center],
                    biological_class=self.read.classes.names[cls],
                    value=self.value(here),
                    meaning=self._meaning(right, decisions),
                )
            )
        return tuple(sorted(collected, key=self._badness))

    def slides(self) -> tuple[SlideValue, ...]:
        """Slides whose patches raise a bad value, or lower a good one, most: first the most responsible."""
        slides = self.read.slides
        assert slides is not None  # noqa: S101 (they are needed)
        right, decisions = np.zeros(len(slides)), np.zeros(len(slides))
        for task, answer in self._pairs():
            own = slides.codes[task.rows]
            right += np.bincount(own, answer.right, minlength=len(slides))
            decisions += np.bincount(own, minlength=len(slides))
        excess = self._bad * (right - decisions * self.value())
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
            meaning=self._meaning(right, decisions),
        )

    def confusions(self, probe: str) -> Grid:
        """Of the decisions between two labels, the share of a label's patches that is put into either."""
        centers, classes = self.columns
        own, names = {
            "medical_center": (centers, self.read.centers.names),
            "biological_class": (classes, self.read.classes.names),
        }[self.predicted]
        shares = np.full((len(names), len(names)), np.nan)
        other = own.reshape(-1, 2)[:, ::-1].ravel()
        for row in np.unique(own):
            shares[row, row] = self.value(own == row)
            for column in np.unique(other[own == row]):
                shares[row, column] = 1 - self.value((own == row) & (other == column))
        return Grid(
            name=f"decisions between two {_NOUNS[self.predicted][1]}, {probe}",
            row_name="patches of",
            column_name="put into",
            rows=names,
            columns=names,
            values=tuple(rounded(row) for row in shares),
            is_share=True,
        )

    def _groups(self, labels: Labels, of_column: Int64) -> tuple[GroupValue, ...]:
        """For each label the value of the columns that have it among their (columns, 2) codes."""
        codes = np.unique(of_column)
        collected = []
        for code in codes:
            resampling = self.resampling((of_column == code).any(axis=1))
            interval, simultaneous = self.intervals(resampling, len(codes))
            rows = labels.codes == code
            collected.append(
                GroupValue(
                    name=labels.names[code],
                    value=resampling.value,
                    interval=interval,
                    simultaneous=simultaneous,
                    support=float(self._tested[rows].mean()),
                    rows=int(rows.sum()),
                )
            )
        return tuple(sorted(collected, key=self._badness))

    @property
    def _bad(self) -> int:
        """1 where a recognized label is bad, else -1."""
        return 1 if self.predicted == "medical_center" else -1

    def _badness(self, part: CellValue | GroupValue) -> float:
        return -self._bad * part.value

    def _meaning(self, right: float, decisions: float) -> str:
        """How many decisions were right, as a clause."""
        those = counted(int(decisions), "decision")
        noun, _ = _NOUNS[self.predicted]
        return f"{rounded_percent(right / decisions)} of {those} between its {noun} and another are right"

    @property
    def _tested(self) -> npt.NDArray[np.bool_]:
        """(patches,) which of them a task tests."""
        tested = np.zeros(len(self.read.rows), dtype=bool)
        for task in self.tasks:
            tested[task.rows] = True
        return tested

    def _decisions(self, some: npt.NDArray[np.bool_]) -> tuple[float, int]:
        """How many decisions of some columns are right, and how many there are."""
        right, decisions = 0.0, 0
        for column, (task, answer, part) in enumerate(self._parts()):
            if some[column]:
                right += float(answer.right[task.part == part].sum())
                decisions += int((task.part == part).sum())
        return right, decisions

    def _parts(self) -> Iterator[tuple[Task, Answer, int]]:
        """What each column is of."""
        for task, answer in self._pairs():
            for part in range(len(task.cells)):
                yield task, answer, part

    def _pairs(self) -> list[tuple[Task, Answer]]:
        return list(zip(self.tasks, self.answers, strict=True))


def _recalls(task: Task, answer: Answer) -> Float64:
    return np.bincount(task.part, answer.right) / np.bincount(task.part)
