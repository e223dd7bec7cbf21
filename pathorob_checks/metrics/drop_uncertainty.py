"""Interval of the performance drop over repetitions, and which centers, classes and slides lose most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.inputs import Int64, Labels
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.measurement import CellValue, GroupValue, SlideValue
from pathorob_checks.metrics.resampling import Resampling

Float64 = npt.NDArray[np.float64]
_SLIDES_NAMED = 10
NOTE = (
    "Student's t over {repetitions} draws of training and test slides from this cohort: what more "
    "repetitions would show. All of them share its slides, so other slides are not covered: in simulations "
    "with other slides, 95 % intervals contained the true value in 77 % of the cases in-domain and in 35 % "
    "out-of-domain."
)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the classifiers of one domain predicted for their test rows.

    `rows` has the (n,) row numbers of each repetition's test, `predicted` for each repetition and split the
    (n,) classes.
    """

    rows: list[Int64]
    predicted: list[list[Int64]]
    classes: Labels
    centers: Labels
    slides: Labels


def drop_resampling(metric: str, drops: Float64, protocol: Mapping[str, object]) -> Resampling:
    """Of the mean of (repetitions,) drops; a repetition's effect is its deviation over their number."""
    mean = float(drops.mean())
    return _over_repetitions(metric, mean, (drops - mean) / len(drops), protocol)


def _over_repetitions(
    metric: str, value: float, effects: Float64, protocol: Mapping[str, object]
) -> Resampling:
    return Resampling(
        metric=metric,
        value=value,
        scale="identity",
        drawn="repetitions",
        units=tuple(str(number) for number in range(len(effects))),
        cells=(("repetitions",),) * len(effects),
        effects=tuple(effects.tolist()),
        protocol=protocol,
    )


def drop_groups(metric: str, tested: Predictions, confidence: float) -> dict[str, tuple[GroupValue, ...]]:
    """Drop of each test center (balanced accuracy there) and class (recall), worst first.

    Mean over splits 1.. and repetitions of the accuracy over its mean at split 0, minus 1: a ratio of means,
    since in a group an accuracy of 0 can occur. Groups whose mean at split 0 is 0 are missing.
    """
    of_center = [tested.centers.codes[rows] for rows in tested.rows]
    of_class = [tested.classes.codes[rows] for rows in tested.rows]
    return {
        "medical_center": _groups(metric, tested, of_center, tested.centers.names, confidence),
        "biological_class": _groups(metric, tested, of_class, tested.classes.names, confidence),
    }


def _groups(
    metric: str, tested: Predictions, member: list[Int64], names: tuple[str, ...], confidence: float
) -> tuple[GroupValue, ...]:
    accuracies = {}
    for number, name in enumerate(names):
        by_repetition_here = [
            [_balanced(tested.classes.codes[rows[here]], split[here]) for split in splits]
            for rows, splits, group in zip(tested.rows, tested.predicted, member, strict=True)
            if (here := group == number).any()
        ]
        if len(by_repetition_here) > 1 and np.mean([splits[0] for splits in by_repetition_here]) > 0:
            accuracies[name] = np.array(by_repetition_here)
    together = 1 - (1 - confidence) / max(1, len(accuracies))
    groups = []
    for name, by_repetition in accuracies.items():
        first, later = by_repetition[:, 0], by_repetition[:, 1:].mean(axis=1)
        ratio = later.mean() / first.mean()
        effects = (later - ratio * first) / first.mean() / len(first)
        resampling = _over_repetitions(metric, float(ratio - 1), effects, {})
        rows = np.concatenate(
            [rows[group == names.index(name)] for rows, group in zip(tested.rows, member, strict=True)]
        )
        groups.append(
            GroupValue(
                name=name,
                value=float(ratio - 1),
                interval=interval_of(resampling, confidence=confidence),
                simultaneous=interval_of(resampling, confidence=together),
                support=None,
                rows=len(np.unique(rows)),
            )
        )
    return tuple(sorted(groups, key=lambda group: group.value))


def _balanced(truth: Int64, predicted: Int64) -> float:
    return float(np.mean([(predicted[truth == cls] == cls).mean() for cls in np.unique(truth)]))


def cell_values(tested: Predictions) -> tuple[CellValue, ...]:
    """Change of each cell's recall from the balanced split to the mean over the correlated splits."""
    cells = []
    for center, center_name in enumerate(tested.centers.names):
        for cls, class_name in enumerate(tested.classes.names):
            change = _change_of_recall(
                tested,
                [
                    (tested.centers.codes[rows] == center) & (tested.classes.codes[rows] == cls)
                    for rows in tested.rows
                ],
            )
            if change is not None:
                cells.append(
                    CellValue(
                        medical_center=center_name,
                        biological_class=class_name,
                        value=change[1] - change[0],
                        meaning=_recall(*change),
                        unit="in recall",
                    )
                )
    return tuple(sorted(cells, key=lambda cell: cell.value))


def worst_slides(tested: Predictions) -> tuple[SlideValue, ...]:
    """Test slides whose recall falls most."""
    slides = []
    for slide in np.unique(np.concatenate([tested.slides.codes[rows] for rows in tested.rows])):
        here = [tested.slides.codes[rows] == slide for rows in tested.rows]
        change = _change_of_recall(tested, here)
        rows = np.concatenate([rows[those] for rows, those in zip(tested.rows, here, strict=True)])
        if change is None or change[1] >= change[0]:
            continue
        slides.append(
            SlideValue(
                slide_id=tested.slides.names[slide],
                medical_center=_names(tested.centers, rows),
                biological_class=_names(tested.classes, rows),
                value=change[1] - change[0],
                meaning=_recall(*change),
            )
        )
    return tuple(sorted(slides, key=lambda slide: slide.value)[:_SLIDES_NAMED])


def _names(column: Labels, rows: Int64) -> str:
    return " + ".join(column.names[code] for code in np.unique(column.codes[rows]))


def _change_of_recall(tested: Predictions, here: list[npt.NDArray[np.bool_]]) -> tuple[float, float] | None:
    """Share of right predictions among these rows: at split 0 and over the others, mean of repetitions."""
    first, later = [], []
    for rows, splits, those in zip(tested.rows, tested.predicted, here, strict=True):
        if those.any():
            truth = tested.classes.codes[rows[those]]
            right = [float((split[those] == truth).mean()) for split in splits]
            first.append(right[0])
            later.append(float(np.mean(right[1:])))
    return (float(np.mean(first)), float(np.mean(later))) if first else None


def _recall(before: float, after: float) -> str:
    return (
        f"the share of its patches that are classified right goes from {before:.3f} with balanced training "
        f"data to {after:.3f} on average over the correlated splits"
    )
