"""Average performance drop: what a classifier loses when class and medical center correlate.

Source: PathoROB, Nature Communications 17, 5218 (2026). A logistic regression is trained on splits that walk
from balanced (split 0) to class and center fully correlated (the last); the drop of a repetition is
the mean over splits 1.. of accuracy / accuracy at split 0, minus 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import t as student_t
from sklearn.exceptions import ConvergenceWarning

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.general_schedule import general_schedule
from pathorob_checks.metrics.inputs import Float32, Int64, Labels, Progress, as_embeddings, labels
from pathorob_checks.metrics.measurement import Measurement, Weakness
from pathorob_checks.metrics.schedules import Repetition, Schedule, cramers_v, published_schedule
from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics import threads
from pathorob_checks.numerics.logistic import balanced_accuracy, best_classifiers, memory

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

METRIC = "performance_drop"
Float64 = npt.NDArray[np.float64]
_MEMORY = 2 << 30  # bytes that repetitions in work at the same time may take on a CPU


@dataclass(frozen=True, kw_only=True)
class PerformanceDrop:
    """Result of `performance_drop`. Drops are relative: -0.05 means 5 % of the accuracy is lost.

    Attributes
    ----------
    id_drop, ood_drop : mean drop over repetitions; `ood_drop` is None without out-of-domain patches.
    id_interval, ood_interval : 95 % t interval over repetitions (they share data, so it is narrow).
    id_accuracies, ood_accuracies : (splits, repetitions) float64 balanced accuracies.
    cramers_v : of every split's training slides, 0 to 1.
    regularisation : (splits, repetitions) float64, the C that validation chose.
    id_cells, ood_cells : centers x classes, largest loss of recall first.
    """

    id_drop: float
    ood_drop: float | None
    id_interval: tuple[float, float]
    ood_interval: tuple[float, float] | None
    id_accuracies: Float64
    ood_accuracies: Float64 | None
    cramers_v: tuple[float, ...]
    regularisation: Float64
    id_cells: tuple[Weakness, ...]
    ood_cells: tuple[Weakness, ...]
    schedule: str
    training_slides: int
    rows: int

    def measurements(self) -> dict[str, Measurement]:
        """In-domain and, where measured, out-of-domain drop by metric name."""
        domains = {
            "performance_drop_id": (self.id_drop, self.id_interval, self.id_accuracies, self.id_cells),
            "performance_drop_ood": (self.ood_drop, self.ood_interval, self.ood_accuracies, self.ood_cells),
        }
        return {
            metric: Measurement(
                metric=metric,
                value=drop,
                interval=interval,
                support=None,
                rows=self.rows,
                protocol={
                    "schedule": self.schedule,
                    "training_slides": self.training_slides,
                    "cramers_v": [round(v, 6) for v in self.cramers_v],
                    "repetitions": int(accuracies.shape[1]),
                    "accuracy_by_split": [round(float(a), 6) for a in accuracies.mean(axis=1)],
                },
                weakest=cells,
            )
            for metric, (drop, interval, accuracies, cells) in domains.items()
            if drop is not None and accuracies is not None
        }


def performance_drop(
    embeddings: Any,
    patches: pd.DataFrame,
    *,
    schedule: Schedule | str | None = None,
    repetitions: int = 20,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> PerformanceDrop:
    """Average performance drop of embeddings on a cohort.

    Parameters
    ----------
    embeddings : (N, D) array or tensor, used raw (not normalised, not scaled).
    patches : N rows with `subset` (OOD marks the out-of-domain test), `slide_id`, `biological_class`,
        `medical_center`.
    schedule : a schedule, the name of a published one, or None for the general one.
    repetitions : number of draws of slides.
    device : where to compute; None takes the GPU where there is one.
    progress : wraps the repetitions (iterable, total, description), to show a bar.

    Raises
    ------
    MetricError
        Too few slides (which cells lack how many), or an accuracy of zero at the balanced split.
    """
    array = as_embeddings(embeddings, patches, METRIC)
    classes = labels(patches, "biological_class", METRIC, at_least=2)
    centers = labels(patches, "medical_center", METRIC, at_least=2)
    labels(patches, "slide_id", METRIC)
    labels(patches, "subset", METRIC)
    if repetitions < 2:
        raise MetricError(f"{METRIC}: {repetitions} repetitions have no spread", remedy="ask for at least 2")
    if schedule is None:
        schedule = general_schedule(patches, repetitions=repetitions)
    elif isinstance(schedule, str):
        schedule = published_schedule(schedule)

    drawn = list(schedule.repetitions(patches, repetitions))
    work: Iterable[Any] = _outcomes(array, classes.codes, drawn, devices.choose(device))
    if progress is not None:
        work = progress(work, repetitions, "performance drop")
    with devices.full_precision(), warnings.catch_warnings():
        # To stop after 100 iterations is part of the protocol.
        warnings.simplefilter("ignore", ConvergenceWarning)
        outcomes = list(work)
    chosen = [outcome.regularisation for outcome in outcomes]
    id_hits = [outcome.id_predicted for outcome in outcomes]
    ood_hits = [outcome.ood_predicted for outcome in outcomes]

    id_rows = [draw.id_test for draw in drawn]
    ood = [draw.ood_test for draw in drawn]
    has_ood = len(ood[0]) > 0
    id_accuracies = _accuracies(id_hits, id_rows, classes)
    ood_accuracies = _accuracies(ood_hits, ood, classes) if has_ood else None
    id_drop, id_interval = _drop(id_accuracies)
    ood_drop, ood_interval = _drop(ood_accuracies) if ood_accuracies is not None else (None, None)
    return PerformanceDrop(
        id_drop=id_drop,
        ood_drop=ood_drop,
        id_interval=id_interval,
        ood_interval=ood_interval,
        id_accuracies=id_accuracies,
        ood_accuracies=ood_accuracies,
        cramers_v=tuple(cramers_v(counts) for counts in schedule.training_slides),
        regularisation=np.asarray(chosen, dtype=np.float64).T,
        id_cells=_cells(id_hits, id_rows, classes, centers),
        ood_cells=_cells(ood_hits, ood, classes, centers) if has_ood else (),
        schedule=schedule.name,
        training_slides=int(np.sum(schedule.training_slides[0])),
        rows=len(array),
    )


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """Per split of one repetition: the chosen C and the predicted classes of the test rows."""

    regularisation: list[float]
    id_predicted: list[Int64]
    ood_predicted: list[Int64]


def _outcomes(
    array: Float32, codes: Int64, drawn: list[Repetition], device: torch.device
) -> Iterator[_Outcome]:
    points = torch.from_numpy(array).to(device)

    def outcome(draw: Repetition) -> _Outcome:
        fitted = best_classifiers(points, codes, draw.training, draw.validation)
        inside, outside = (_take(points, rows) for rows in (draw.id_test, draw.ood_test))
        return _Outcome(
            regularisation=[classifier.c for classifier in fitted],
            id_predicted=[classifier.predict(inside) for classifier in fitted],
            ood_predicted=[classifier.predict(outside) for classifier in fitted],
        )

    if device.type != "cpu":
        return map(outcome, drawn)
    each = memory(array.shape[1], codes, drawn[0].training)
    return threads.spread(outcome, drawn, at_once=max(1, _MEMORY // each))


def _take(points: Tensor, rows: Int64) -> Tensor:
    return points[torch.from_numpy(rows).to(points.device)]


def _accuracies(predictions: list[list[Int64]], rows: list[Int64], classes: Labels) -> Float64:
    by_repetition = [
        [balanced_accuracy(classes.codes[test], split) for split in splits]
        for splits, test in zip(predictions, rows, strict=True)
    ]
    return np.asarray(by_repetition, dtype=np.float64).T


def _drop(accuracies: Float64) -> tuple[float, tuple[float, float]]:
    if (accuracies[0] == 0).any():
        raise MetricError(
            f"{METRIC}: the classifier gets no patch right at the balanced split",
            remedy="check that labels and embeddings belong together",
        )
    drops = (accuracies[1:] / accuracies[0]).mean(axis=0) - 1
    mean = float(drops.mean())
    half = float(student_t.ppf(0.975, len(drops) - 1) * drops.std(ddof=1) / np.sqrt(len(drops)))
    return mean, (mean - half, mean + half)


def _cells(
    predictions: list[list[Int64]], rows: list[Int64], classes: Labels, centers: Labels
) -> tuple[Weakness, ...]:
    """Change of each cell's recall from the balanced split to the mean of the confounded ones."""
    cells = []
    for center, center_name in enumerate(centers.names):
        for cls, class_name in enumerate(classes.names):
            first, later = [], []
            for splits, test in zip(predictions, rows, strict=True):
                here = (centers.codes[test] == center) & (classes.codes[test] == cls)
                if here.any():
                    recalls = [float((split[here] == cls).mean()) for split in splits]
                    first.append(recalls[0])
                    later.append(float(np.mean(recalls[1:])))
            if not first:
                continue
            before, after = float(np.mean(first)), float(np.mean(later))
            cells.append(
                Weakness(
                    medical_center=center_name,
                    biological_class=class_name,
                    value=after - before,
                    meaning=f"its recall goes from {before:.3f} with balanced training to {after:.3f} on "
                    "average over the confounded splits",
                )
            )
    return tuple(sorted(cells, key=lambda cell: cell.value))
