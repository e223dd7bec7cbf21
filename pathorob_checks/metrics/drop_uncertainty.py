"""Interval of the performance drop for other slides, and which centers, classes and slides lose most.

What is estimated is the drop that other slides from the same medical centers would show, in a cohort of the
same design. Its variance has two parts: slides (as test and as training slides) and the draw of the
repetitions. The mean of a slide's effects over R repetitions holds some of the noise of the repetitions,
which is subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.drop_effects import DropEffects, Float64, Predictions, drop_effects
from pathorob_checks.metrics.inputs import Int64, Labels
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.measurement import CellValue, GroupValue, SlideValue
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.strata import Strata
from pathorob_checks.numerics import threads

_SLIDES_NAMED = 10
_LEAST_NAMED = 5e-5  # an effect that is written with four decimals
REPETITIONS_CELL = "repetitions"
NOTE = (
    "Student's t with the effects of every {noun} in test and training: what other {noun}s from the "
    "same medical centers would show. {share} of its variance is the draw of {repetitions} repetitions; more "
    "of them narrow that part only."
)


def drop_resampling(
    metric: str, effects: DropEffects, tested: Predictions, protocol: Mapping[str, object]
) -> Resampling:
    """Effects of slides and repetitions whose squares add up to the variance of the drop.

    With te and tr the effects of test and training slides, V_e the sum of squares of the mean residuals of
    an effect e and N_e the noise of the R repetitions in it, W the variance of the mean drop over repetitions
    and W' = max(0, W - N_te): in-domain V = max(V_{te+tr} - N_{te+tr} + W, (V_te + W') / 2). Out-of-domain
    V = V_te + max(0, S) + W', where S is the variance by the training slides without products of a repetition
    or a test slide with itself, which are noise.
    """
    kept = _units_that_matter(effects, tested)
    every_cell = _cells_of_units(tested)
    cells = tuple(every_cell[unit] for unit in kept)
    rows = np.bincount(tested.units.codes, minlength=len(tested.units.names))[kept].astype(np.float64)
    strata = Strata(cells, rows.tolist())
    repetitions = len(effects.drops)
    deviations = (effects.drops - effects.drops.mean()) / repetitions
    of_draws = float(effects.drops.var(ddof=1)) / repetitions
    of_test, of_training = effects.test[:, kept], effects.training[:, kept]
    test, noise = _variance(strata, of_test)
    left = max(0.0, of_draws - noise)
    if effects.through is None:
        both = of_test + of_training
        variance, noise = _variance(strata, both)
        whole = max(variance - noise + of_draws, (test + left) / 2)
        slides = both.mean(axis=0) * _root(max(0.0, whole - left), variance)
    else:
        variance, _ = _variance(strata, of_training)
        tested_cells = tuple(every_cell[unit] for unit in effects.tested)
        tested_rows = rows[np.searchsorted(kept, effects.tested)]
        main = _main_effect(strata, effects.through[:, kept], _strata_of(tested_cells), tested_rows)
        slides = of_test.mean(axis=0) + of_training.mean(axis=0) * _root(max(0.0, main), variance)
    names = [tested.units.names[unit] for unit in kept]
    names += [f"repetition {number + 1}" for number in range(repetitions)]
    return Resampling(
        metric=metric,
        value=effects.value,
        scale="identity",
        drawn="slides and repetitions",
        units=tuple(names),
        cells=(*cells, *((REPETITIONS_CELL,),) * repetitions),
        effects=tuple(np.concatenate([slides, deviations * _root(left, of_draws)]).tolist()),
        weights=(*rows.tolist(), *(1.0,) * repetitions),
        least_error=effects.least_error,
        protocol=protocol,
    )


def _units_that_matter(effects: DropEffects, tested: Predictions) -> Int64:
    """Numbers of the units that are tested or can train, ascending."""
    matters = tested.trains.copy()
    matters[effects.tested] = True
    return np.flatnonzero(matters)


def _cells_of_units(tested: Predictions) -> tuple[tuple[str, ...], ...]:
    """The cells in which each unit has patches, by name."""
    classes = len(tested.classes.names)
    cells = len(tested.centers.names) * classes
    names: list[list[str]] = [[] for _ in tested.units.names]
    for pair in np.unique(tested.units.codes * cells + tested.cells).tolist():
        slide, cell = divmod(pair, cells)
        center, cls = divmod(cell, classes)
        names[slide].append(f"{tested.centers.names[center]} / {tested.classes.names[cls]}")
    return tuple(map(tuple, names))


def _variance(strata: Strata, effects: Float64) -> tuple[float, float]:
    """Sum of squares of the mean residuals of (R, U) effects, and the noise of the repetitions in it."""
    residuals = strata.residuals(effects.T)
    repetitions = residuals.shape[1]
    return float((residuals.mean(axis=1) ** 2).sum()), float(
        residuals.var(axis=1, ddof=1).sum() / repetitions
    )


def _root(part: float, whole: float) -> float:
    return float(np.sqrt(part / whole)) if whole > 0 else 0.0


def _strata_of(cells: tuple[tuple[str, ...], ...]) -> Int64:
    """(T,) number of the stratum of each unit."""
    strata = np.zeros(len(cells), dtype=np.int64)
    for number, units in enumerate(Strata(cells).units):
        strata[units] = number
    return strata


def _main_effect(strata: Strata, through: Float64, stratum: Int64, rows: Float64) -> float:
    """Variance of the mean drop by training slides, from (R, U, T) effects through each test slide.

    Products of two different repetitions and two different test slides only: those of a test slide with
    itself hold its noise. Within a stratum they are weighed up for the products that are left out.
    """
    repetitions, units, tests = through.shape
    residuals = strata.residuals(through.transpose(1, 0, 2).reshape(units, -1)).reshape(
        units, repetitions, tests
    )

    def between_repetitions(values: Float64) -> Float64:
        """Sum of products of different repetitions, (U, R, ...) -> (U, ...)."""
        return np.asarray(values.sum(axis=1) ** 2 - (values**2).sum(axis=1))

    total = between_repetitions(residuals.sum(axis=2)).sum()
    for number in np.unique(stratum):
        here = stratum == number
        of_stratum = residuals[:, :, here]
        share = rows[here] / rows[here].sum()
        alone = float((share**2).sum())
        all_pairs = between_repetitions(of_stratum.sum(axis=2)).sum()
        with_itself = between_repetitions(of_stratum).sum()
        if alone < 1:
            total += (all_pairs - with_itself) / (1 - alone) - all_pairs
        else:
            total -= all_pairs
    return float(total / (repetitions * (repetitions - 1)))


def draws_share(resampling: Resampling) -> float:
    """Share of the variance that is the draw of the repetitions."""
    squares = Strata(resampling.cells, resampling.weights).residuals(np.array(resampling.effects)) ** 2
    total = max(float(squares.sum()), resampling.least_error**2)
    drawn = sum(
        square for square, cell in zip(squares, resampling.cells, strict=True) if cell == (REPETITIONS_CELL,)
    )
    return float(drawn / total) if total else 0.0


def drop_groups(metric: str, tested: Predictions, confidence: float) -> dict[str, tuple[GroupValue, ...]]:
    """Drop of each test center (balanced accuracy there) and class (recall), worst first.

    The ratio of the means over repetitions, minus 1, since in a group an accuracy of 0 can occur. Groups
    whose mean at split 0 is 0, or that fewer than two repetitions test, are missing. A group that is the
    whole test has the drop of the domain.
    """
    return {
        "medical_center": _groups(metric, tested, tested.centers, confidence),
        "biological_class": _groups(metric, tested, tested.classes, confidence),
    }


def _groups(metric: str, tested: Predictions, labels: Labels, confidence: float) -> tuple[GroupValue, ...]:
    everything = np.unique(np.concatenate(tested.rows))
    measured = {}

    def of_group(number: int) -> DropEffects | None:
        chosen = labels.codes == number
        return drop_effects(tested, None if chosen[everything].all() else chosen)

    for name, effects in zip(labels.names, threads.spread(of_group, range(len(labels.names))), strict=True):
        if effects is not None:
            measured[name] = drop_resampling(metric, effects, tested, {})
    together = 1 - (1 - confidence) / max(1, len(measured))
    groups = [
        GroupValue(
            name=name,
            value=resampling.value,
            interval=interval_of(resampling, confidence=confidence),
            simultaneous=interval_of(resampling, confidence=together),
            support=None,
            rows=int((labels.codes[everything] == labels.names.index(name)).sum()),
        )
        for name, resampling in measured.items()
    ]
    return tuple(sorted(groups, key=lambda group: group.value))


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


def worst_slides(resampling: Resampling, tested: Predictions) -> tuple[SlideValue, ...]:
    """The slides (or cases) that make the drop larger, as test or training slides, largest effect first."""
    effects = Strata(resampling.cells, resampling.weights).residuals(np.array(resampling.effects))
    noun = tested.units.noun
    by_unit = dict(zip(resampling.units, effects, strict=True))
    named = [(by_unit[name], unit) for unit, name in enumerate(tested.units.names) if name in by_unit]
    slides = []
    for effect, unit in sorted(named)[:_SLIDES_NAMED]:
        if effect > -_LEAST_NAMED:
            break
        rows = np.flatnonzero(tested.units.codes == unit)
        slides.append(
            SlideValue(
                slide_id=_names(tested.slides, rows),
                medical_center=_names(tested.centers, rows),
                biological_class=_names(tested.classes, rows),
                value=float(effect),
                meaning=f"an average {noun} instead would make the drop {-effect:.4f} smaller",
            )
        )
    return tuple(slides)


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
