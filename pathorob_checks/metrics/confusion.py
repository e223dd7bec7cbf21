"""Diagnostic errors and their asymmetry, counted from the predictions of the performance drop's classifiers.

Their uncertainty is that of the drop: the effect of every slide as test and as training slide, to first order
(`drop_effects`). The error rate of a cell is 1 minus its recall, a balanced accuracy within the cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.diagnostic_errors import CellErrors, DiagnosticErrors, ErrorAsymmetry
from pathorob_checks.metrics.drop_effects import Counting, DropEffects, Predictions, drop_effects
from pathorob_checks.metrics.drop_uncertainty import REPETITIONS_CELL, drop_resampling, worst_slides
from pathorob_checks.metrics.ends import candidate_interval, worst_interval
from pathorob_checks.metrics.inputs import Labels
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.measurement import GroupValue, Interval
from pathorob_checks.metrics.pictured import DECIMALS, Curve, rounded
from pathorob_checks.metrics.resampling import Candidate, Resampling
from pathorob_checks.metrics.schedules import Repetition
from pathorob_checks.metrics.strata import Strata
from pathorob_checks.wording import percent

Float64 = npt.NDArray[np.float64]
ASYMMETRY = "error_asymmetry"
_FOLLOWED = 2  # cells whose error rate is followed over the splits
_OVER = "Cramér's V of class and center in the training slides"


def diagnostic_errors(
    metric: str,
    tested: Predictions,
    cramers_v: Sequence[float],
    protocol: Mapping[str, object],
    confidence: float,
    *,
    domain: str,
) -> DiagnosticErrors | None:
    """Diagnostic errors of one domain; None where no cell is tested by two repetitions.

    Parameters
    ----------
    metric : name of the metric of the largest increase.
    tested : the predictions.
    cramers_v : of every split.
    protocol : of the resampling.
    confidence : of the intervals.
    domain : in the names of curves.
    """
    measured = increases(metric, tested, protocol)
    if not measured:
        return None
    candidates = {cell: candidate for cell, (candidate, _) in measured.items()}
    order = sorted(candidates, key=lambda cell: (-candidates[cell].value, candidates[cell].name))
    every = tuple(candidates[cell] for cell in order)
    worst = of_the_worst([measured[cell][1] for cell in order], every)
    cells = tuple(
        _cell_errors(tested, cell, one, candidate_interval(metric, one, confidence))
        for cell, one in zip(order, every, strict=True)
    )
    return DiagnosticErrors(
        metric=metric,
        increase=worst.value,
        interval=worst_interval(metric, every, confidence),
        cells=cells,
        classes=tested.classes.names,
        cramers_v=tuple(cramers_v),
        groups={
            "medical_center": _groups(metric, tested, tested.centers, candidates, confidence),
            "biological_class": _groups(metric, tested, tested.classes, candidates, confidence),
        },
        slides=worst_slides(worst, tested, "increase", higher_is_better=False),
        resampling=worst,
        curves=tuple(
            _curve(
                f"error rate, {errors.biological_class} of {errors.medical_center}, {domain}",
                cramers_v,
                errors.error_rates,
                [
                    recall and (max(0.0, 1 - recall[1]), min(1.0, 1 - recall[0]))
                    for recall in _intervals(tested, np.eye(len(cramers_v)), confidence, tested.cells == cell)
                ],
                confidence,
            )
            for cell, errors in list(zip(order, cells, strict=True))[:_FOLLOWED]
        ),
        confidence=confidence,
    )


def increases(
    metric: str, tested: Predictions, protocol: Mapping[str, object]
) -> dict[int, tuple[Candidate, Resampling]]:
    """The increase of the error rate of every cell that two repetitions test, by the cell's code."""
    rise = _rise(len(tested.predicted[0]))
    measured = {}
    for cell in _tested_cells(tested):
        # A recall that falls is an error rate that rises.
        effects = drop_effects(tested, tested.cells == cell, factors=-rise)
        if effects is not None:
            resampling = drop_resampling(metric, effects, tested, protocol)
            measured[cell] = _candidate(tested, cell, effects, resampling), resampling
    return measured


def of_the_worst(resamplings: Sequence[Resampling], candidates: tuple[Candidate, ...]) -> Resampling:
    """The first resampling, with the units of all: another FM's worst cell has other slides."""
    worst = resamplings[0]
    units = {
        (unit, cells): weight
        for one in resamplings
        for unit, cells, weight in zip(one.units, one.cells, one.weights or (), strict=True)
    }
    effects = dict(zip(zip(worst.units, worst.cells, strict=True), worst.effects, strict=True))
    return worst.model_copy(
        update={
            "units": tuple(unit for unit, _ in units),
            "cells": tuple(cells for _, cells in units),
            "effects": tuple(effects.get(key, 0.0) for key in units),
            "weights": tuple(units.values()),
            "candidates": candidates,
        }
    )


def _rise(splits: int) -> Float64:
    """(splits,) factors of the last split minus the first."""
    factors = np.zeros(splits)
    factors[0], factors[-1] = -1.0, 1.0
    return factors


def _tested_cells(tested: Predictions) -> list[int]:
    return list(map(int, np.unique(tested.cells[np.concatenate(tested.rows)])))


def _names(tested: Predictions, cell: int) -> tuple[str, str]:
    """Medical center and biological class of a cell."""
    center, cls = divmod(cell, len(tested.classes.names))
    return tested.centers.names[center], tested.classes.names[cls]


def _candidate(tested: Predictions, cell: int, effects: DropEffects, resampling: Resampling) -> Candidate:
    """The increase of one cell with its error, of which the slides make a part."""
    strata = Strata(resampling.cells, resampling.weights)
    residuals = strata.residuals(np.array(resampling.effects))
    is_slide = np.array([those != (REPETITIONS_CELL,) for those in resampling.cells])
    freedom = strata.degrees_of_freedom(residuals)
    return Candidate(
        name=" / ".join(_names(tested, cell)),
        value=resampling.value,
        error=None if strata.says_nothing(resampling.drawn) else float(np.linalg.norm(residuals)),
        slides_error=float(np.linalg.norm(residuals[is_slide])),
        freedom=freedom if np.isfinite(freedom) else None,
        least_error=resampling.least_error,
        slides=len(effects.tested),
        are_alike=strata.are_alike(np.array(resampling.effects)),
    )


def _cell_errors(
    tested: Predictions, cell: int, candidate: Candidate, interval: Interval | None
) -> CellErrors:
    center, cls = _names(tested, cell)
    called = _called(tested, cell)
    rows = np.unique(np.concatenate(tested.rows))
    return CellErrors(
        medical_center=center,
        biological_class=cls,
        called=called,
        error_rates=1 - called[:, tested.classes.names.index(cls)],
        increase=candidate.value,
        interval=interval,
        patches=int((tested.cells[rows] == cell).sum()),
    )


def _called(tested: Predictions, cell: int) -> Float64:
    """(splits, classes) share of a cell's patches that is called each class, mean over repetitions."""
    classes = len(tested.classes.names)
    shares = []
    for rows, splits in zip(tested.rows, tested.predicted, strict=True):
        here = tested.cells[rows] == cell
        if here.any():
            shares.append([np.bincount(split[here], minlength=classes) / here.sum() for split in splits])
    return np.asarray(np.mean(shares, axis=0))


def _groups(
    metric: str, tested: Predictions, labels: Labels, candidates: Mapping[int, Candidate], confidence: float
) -> tuple[GroupValue, ...]:
    """The largest increase of each medical center or biological class, worst first."""
    every = np.unique(np.concatenate(tested.rows))
    by_name: dict[str, list[Candidate]] = {}
    for cell, candidate in candidates.items():
        by_name.setdefault(_label(tested, cell, labels), []).append(candidate)
    together = 1 - (1 - confidence) / len(by_name)
    groups = [
        GroupValue(
            name=name,
            value=max(one.value for one in those),
            interval=worst_interval(metric, those, confidence),
            simultaneous=worst_interval(metric, those, together),
            support=None,
            rows=int((labels.codes[every] == labels.names.index(name)).sum()),
        )
        for name, those in by_name.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.value, group.name)))


def _label(tested: Predictions, cell: int, labels: Labels) -> str:
    center, cls = divmod(cell, len(tested.classes.names))
    return labels.names[center if labels is tested.centers else cls]


def _intervals(
    tested: Predictions,
    rows_of_factors: Iterable[Float64],
    confidence: float,
    chosen: npt.NDArray[np.bool_] | None = None,
    counting: Counting | None = None,
) -> list[Interval | None]:
    """Intervals of sums over the splits."""
    intervals: list[Interval | None] = []
    for factors in rows_of_factors:
        effects = drop_effects(tested, chosen, factors=factors, counting=counting)
        resampling = None if effects is None else drop_resampling(ASYMMETRY, effects, tested, {})
        intervals.append(None if resampling is None else interval_of(resampling, confidence=confidence))
    return intervals


def _curve(
    name: str,
    cramers_v: Sequence[float],
    values: Float64,
    intervals: Sequence[Interval | None],
    confidence: float,
    *,
    level: float | None = None,
    level_name: str = "",
) -> Curve:
    ends = [interval or (np.nan, np.nan) for interval in intervals]
    return Curve(
        name=name,
        over=_OVER,
        x=tuple(round(v, DECIMALS) for v in cramers_v),
        y=rounded(values),
        low=rounded([low for low, _ in ends]),
        high=rounded([high for _, high in ends]),
        band=f"{percent(confidence)} interval",
        level=level,
        level_name=level_name,
    )


def error_asymmetry(
    tested: Predictions,
    draw: Repetition,
    cramers_v: Sequence[float],
    protocol: Mapping[str, object],
    confidence: float,
) -> ErrorAsymmetry | None:
    """Direction of the in-domain errors; None where no class comes to go with a center.

    A class goes with a center where the center gives more of its training patches at the last split than at
    the first, and against it where fewer. With h classes that go with a center and a that go against it,
    errors towards are the mean over the a classes of the share called one of the h; errors away are h / a
    times the mean over the h classes of the share called one of the a, so that guessing gives no difference.

    Parameters
    ----------
    tested : the in-domain predictions.
    draw : any repetition, of which the training rows are read.
    cramers_v : of every split.
    protocol : of the resampling.
    confidence : of the interval.
    """
    counting = directions(tested, draw)
    effects = asymmetry_effects(tested, draw)
    if counting is None or effects is None:
        return None
    towards, away = counting
    both = _difference(towards, away)
    splits = len(cramers_v)
    resampling = drop_resampling(ASYMMETRY, effects, tested, protocol)
    parts = [_counted(tested, one) for one in (towards, away)]
    since_balance = np.eye(splits) - np.eye(splits)[0]
    values = parts[0] - parts[1]
    return ErrorAsymmetry(
        groups={"medical_center": _centers(tested, both, protocol, confidence)},
        value=resampling.value,
        interval=interval_of(resampling, confidence=confidence),
        towards=parts[0],
        away=parts[1],
        slides=worst_slides(resampling, tested, "asymmetry", higher_is_better=False),
        resampling=resampling,
        curve=_curve(
            "error asymmetry",
            cramers_v,
            values - values[0],
            [(0.0, 0.0), *_intervals(tested, since_balance[1:], confidence, counting=both)],
            confidence,
            level=0.0,
            level_name="no direction",
        ),
        confidence=confidence,
    )


def _centers(
    tested: Predictions, counting: Counting, protocol: Mapping[str, object], confidence: float
) -> tuple[GroupValue, ...]:
    """The asymmetry of each medical center in which errors can have a direction, worst first."""
    every = np.unique(np.concatenate(tested.rows))
    by_center = counting.shares.reshape(len(tested.centers.names), -1)
    directed = np.flatnonzero(by_center.any(axis=1))
    alone = replace(counting, shares=counting.shares * len(directed))
    measured = {}
    for center in directed:
        effects = drop_effects(
            tested, tested.centers.codes == center, factors=_rise(len(tested.predicted[0])), counting=alone
        )
        if effects is not None:
            measured[center] = drop_resampling(ASYMMETRY, effects, tested, protocol)
    together = 1 - (1 - confidence) / max(1, len(measured))
    groups = [
        GroupValue(
            name=tested.centers.names[center],
            value=resampling.value,
            interval=interval_of(resampling, confidence=confidence),
            simultaneous=interval_of(resampling, confidence=together),
            support=None,
            rows=int((tested.centers.codes[every] == center).sum()),
        )
        for center, resampling in measured.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.value, group.name)))


def asymmetry_effects(tested: Predictions, draw: Repetition) -> DropEffects | None:
    """Effects on the asymmetry; None where it has no value. Parameters as in `error_asymmetry`."""
    counting = directions(tested, draw)
    if counting is None:
        return None
    return drop_effects(tested, factors=_rise(len(draw.training)), counting=_difference(*counting))


def directions(tested: Predictions, draw: Repetition) -> tuple[Counting, Counting] | None:
    """What counts as an error towards the classes that go with the center, and what as one away from them."""
    shape = len(tested.centers.names), len(tested.classes.names)
    first, last = (
        np.bincount(tested.cells[rows], minlength=shape[0] * shape[1]).reshape(shape)
        for rows in (draw.training[0], draw.training[-1])
    )
    towards, away = countings(last > first, last < first)
    return (towards, away) if towards.points.any() else None


def _difference(towards: Counting, away: Counting) -> Counting:
    return Counting(points=towards.points - away.points, shares=towards.shares)


def countings(goes_with: npt.NDArray[np.bool_], against: npt.NDArray[np.bool_]) -> tuple[Counting, Counting]:
    """Errors towards the classes that go with a center, and away from them; (centers, classes) each.

    Every cell of a center counts 1 / (centers a), which is the mean over the a classes, and the mean over h
    classes times h / a.
    """
    centers, classes = goes_with.shape
    directed = goes_with.any(axis=1) & against.any(axis=1)
    shares = np.zeros((centers, classes))
    points = np.zeros((2, centers, classes, classes))
    for center in np.flatnonzero(directed):
        shares[center] = 1 / (directed.sum() * against[center].sum())
        points[0, center] = np.outer(against[center], goes_with[center])
        points[1, center] = np.outer(goes_with[center], against[center])
    towards, away = (Counting(points=one.reshape(-1, classes), shares=shares.ravel()) for one in points)
    return towards, away


def _counted(tested: Predictions, counting: Counting) -> Float64:
    """(splits,) what the predictions count, mean over repetitions."""
    counted = tested.counted(counting)
    sums = [counted.scores(number) @ counted.weights(rows) for number, rows in enumerate(counted.rows)]
    return np.asarray(np.mean(sums, axis=0))
