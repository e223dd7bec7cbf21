"""Interval of a drop for other slides, and which centers, classes and slides lose most.

What is estimated is the drop that other slides from the same medical centers would show, in a cohort of the
same design. Its variance has two parts: slides (as test and as training slides) and the draw of the
repetitions. The mean of a slide's effects over R repetitions holds some of the noise of the repetitions,
which is subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pathorob_checks.metrics.drop_effects import DropEffects, Float64, Predictions, Tested, drop_effects
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
    metric: str,
    effects: DropEffects,
    tested: Tested,
    protocol: Mapping[str, object],
    *,
    share_drawn: float | None = None,
) -> Resampling:
    """Effects of slides and repetitions whose squares add up to the variance of the drop.

    With te and tr the effects of test and training slides, V_e the sum of squares of the mean residuals of
    an effect e and N_e the noise of the R repetitions in it, W the variance of the mean drop over repetitions
    and W' = max(0, W - N_te): in-domain V = max(V_{te+tr} - N_{te+tr} + W, (V_te + W') / 2). Out-of-domain
    V = V_te + max(0, S) + W', where S is the variance by the training slides without products of a repetition
    or a test slide with itself, which are noise.

    Where the effects of training slides are not known, `share_drawn` says which share f of the slides that
    can train does so in a repetition. Then V = V_te + W' (1 + R f / (1 - f)), in both domains: the draws of
    one cohort differ by 1 - f of what training slides add, and have the rest in common.
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
    if share_drawn is not None:
        slides = of_test.mean(axis=0)
        left *= 1 + repetitions * share_drawn / (1 - share_drawn)
    elif effects.through is None:
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
        scale=tested.scale,
        drawn="slides and repetitions",
        units=tuple(names),
        cells=(*cells, *((REPETITIONS_CELL,),) * repetitions),
        effects=tuple(np.concatenate([slides, deviations * _root(left, of_draws)]).tolist()),
        weights=(*rows.tolist(), *(1.0,) * repetitions),
        least_error=effects.least_error,
        protocol=protocol,
    )


def _units_that_matter(effects: DropEffects, tested: Tested) -> Int64:
    """Numbers of the units that are tested or can train, ascending."""
    matters = tested.trains.copy()
    matters[effects.tested] = True
    return np.flatnonzero(matters)


def _cells_of_units(tested: Tested) -> tuple[tuple[str, ...], ...]:
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


def drop_groups(
    metric: str,
    tested: Tested,
    confidence: float,
    *,
    factors: Float64 | None = None,
    patches: Int64 | None = None,
    higher_is_better: bool = True,
) -> dict[str, tuple[GroupValue, ...]]:
    """Drop of each test center (balanced accuracy there) and class (recall), worst first.

    The ratio of the means over repetitions, minus 1, since in a group an accuracy of 0 can occur. Groups
    whose mean at split 0 is 0, or that fewer than two repetitions test, are missing. A group that is the
    whole test has the drop of the domain.

    Parameters
    ----------
    metric, tested, confidence : whose values, what was tested, and the confidence of the intervals.
    factors : as `drop_effects` takes them.
    patches : (N,) how many each row of the table stands for; None for one each.
    higher_is_better : as in the metric's definition.
    """
    everything = np.unique(np.concatenate(tested.rows))
    counts = np.ones(len(tested.cells), dtype=np.int64) if patches is None else patches
    by_column = {}
    for column, labels in (("medical_center", tested.centers), ("biological_class", tested.classes)):
        here = [labels.codes[everything] == number for number in range(len(labels.names))]

        def of_group(number: int, labels: Labels = labels, here: list[Any] = here) -> DropEffects | None:
            chosen = None if here[number].all() else labels.codes == number
            return drop_effects(tested, chosen, factors=factors)

        measured = {}
        every = threads.spread(of_group, range(len(labels.names)))
        for name, rows, effects in zip(labels.names, here, every, strict=True):
            if effects is not None:
                measured[name] = (
                    drop_resampling(metric, effects, tested, {}),
                    int(counts[everything[rows]].sum()),
                )
        by_column[column] = group_values(measured, confidence, higher_is_better=higher_is_better)
    return by_column


def group_values(
    measured: Mapping[str, tuple[Resampling, int]], confidence: float, *, higher_is_better: bool = True
) -> tuple[GroupValue, ...]:
    """The groups with a value, worst first, from the resampling and the number of patches of each."""
    together = 1 - (1 - confidence) / max(1, len(measured))
    groups = [
        GroupValue(
            name=name,
            value=resampling.value,
            interval=interval_of(resampling, confidence=confidence),
            simultaneous=interval_of(resampling, confidence=together),
            support=None,
            rows=rows,
        )
        for name, (resampling, rows) in measured.items()
    ]
    return tuple(sorted(groups, key=lambda group: group.value if higher_is_better else -group.value))


def cell_values(tested: Predictions, noun: str = "patches") -> tuple[CellValue, ...]:
    """Change of each cell's recall from the balanced split to the mean over the correlated splits.

    `noun` says what is classified.
    """
    return tuple(
        CellValue(
            medical_center=cell.medical_center,
            biological_class=cell.biological_class,
            value=cell.later - cell.first,
            meaning=_recall(noun, cell.first, cell.later),
            unit="in recall",
        )
        for cell in sorted(mean_scores(tested), key=lambda cell: cell.later - cell.first)
    )


@dataclass(frozen=True, kw_only=True)
class CellScores:
    """Mean score of a cell's test rows, mean over repetitions: at split 0, and over the others."""

    medical_center: str
    biological_class: str
    first: float
    later: float


def mean_scores(tested: Tested) -> list[CellScores]:
    """Of every cell (center x class) that is tested."""
    cells = []
    scores = [tested.scores(number) for number in range(len(tested.rows))]
    for center, center_name in enumerate(tested.centers.names):
        for cls, class_name in enumerate(tested.classes.names):
            here = [
                (tested.centers.codes[rows] == center) & (tested.classes.codes[rows] == cls)
                for rows in tested.rows
            ]
            means = [of[:, those].mean(axis=1) for of, those in zip(scores, here, strict=True) if those.any()]
            if means:
                first, later = np.array(means)[:, 0], np.array(means)[:, 1:]
                cells.append(
                    CellScores(
                        medical_center=center_name,
                        biological_class=class_name,
                        first=float(first.mean()),
                        later=float(later.mean()),
                    )
                )
    return cells


def worst_slides(
    resampling: Resampling,
    tested: Tested,
    what: str = "drop",
    better: str = "smaller",
    *,
    higher_is_better: bool = True,
) -> tuple[SlideValue, ...]:
    """The slides (or cases) that make the value worse, as test or training slides, largest effect first.

    Parameters
    ----------
    what, better : the value and what it becomes when it gets better, in the sentence about a slide.
    higher_is_better : as in the metric's definition.
    """
    effects = Strata(resampling.cells, resampling.weights).residuals(np.array(resampling.effects))
    noun, sign = tested.units.noun, 1 if higher_is_better else -1
    by_unit = dict(zip(resampling.units, sign * effects, strict=True))
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
                value=sign * float(effect),
                meaning=f"an average {noun} instead would make the {what} {-effect:.4f} {better}",
            )
        )
    return tuple(slides)


def _names(column: Labels, rows: Int64) -> str:
    return " + ".join(column.names[code] for code in np.unique(column.codes[rows]))


def _recall(noun: str, before: float, after: float) -> str:
    return (
        f"the share of its {noun} that are classified right goes from {before:.3f} with balanced training "
        f"data to {after:.3f} on average over the correlated splits"
    )
