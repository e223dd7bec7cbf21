"""Diagnostic errors: what each biological class is called, at each medical center, as training is confounded.

All of it is counted from the predictions of the performance drop's classifiers. In a cell (medical center x
biological class) the error rate is the share of test patches that are called another class, and its increase
is that rate after the most confounded training (the last split) minus that after balanced training (split 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.measurement import CellValue, GroupValue, Interval, Measurement, SlideValue
from pathorob_checks.metrics.pictured import Curve, Grid, rounded
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import short_text, value_text
from pathorob_checks.wording import counted, rounded_percent

Float64 = npt.NDArray[np.float64]
_CONFUSED = 2  # classes that a cell's sentence names


@dataclass(frozen=True, kw_only=True)
class CellErrors:
    """What the test patches of one medical center and biological class are called.

    Attributes
    ----------
    medical_center, biological_class : str
        The cell.
    called : (splits, classes) ndarray of float64
        Share (0 to 1) of its patches that is called each class, mean over repetitions. Rows add up to 1.
    error_rates : (splits,) ndarray of float64
        Share that is called another class than its own.
    increase : float
        Of the error rate from the first split to the last, -1 to 1.
    interval : tuple of (float, float) or None
        Of the increase, for this cell alone; None where a cell has only one slide (or case).
    patches : int
        Different patches of the cell that are tested.

    Examples
    --------
    >>> import numpy as np
    >>> from pathorob_checks.metrics import CellErrors
    >>> cell = CellErrors(
    ...     medical_center="Bonn",
    ...     biological_class="tumor",
    ...     called=np.array([[0.04, 0.96], [0.31, 0.69]]),
    ...     error_rates=np.array([0.04, 0.31]),
    ...     increase=0.27,
    ...     interval=(0.17, 0.37),
    ...     patches=400,
    ... )
    >>> cell.increase
    0.27
    """

    medical_center: str
    biological_class: str
    called: Float64
    error_rates: Float64
    increase: float
    interval: Interval | None
    patches: int


@dataclass(frozen=True, kw_only=True)
class DiagnosticErrors:
    """Which diagnoses go wrong in one domain when class and medical center go together in training.

    Attributes
    ----------
    metric : str
        `diagnostic_errors_id` or `diagnostic_errors_ood`.
    increase : float
        The largest increase of an error rate among the cells (medical center x biological class), -1 to 1.
    interval : tuple of (float, float) or None
        Of the largest true increase, which allows for the choice of the cell; None where a cell has only one
        slide (or case).
    cells : tuple of CellErrors
        Largest increase first.
    classes : tuple of str
        The columns of `CellErrors.called`.
    cramers_v : tuple of float
        Of every split's training slides: the rows of `CellErrors.called`.
    groups : mapping of str to tuple of GroupValue
        The largest increase by "medical_center" and "biological_class", worst first.
    slides : tuple of SlideValue
        Slides that make the largest increase larger, largest effect first.
    resampling : Resampling
        What the interval is made of.
    curves : tuple of Curve
        Error rates of the worst cells over Cramér's V of the training slides.
    confidence : float
        Of the intervals, between 0 and 1.

    See Also
    --------
    performance_drop : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import performance_drop
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(2)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 2 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 4 * (patches.medical_center == "Bonn")
    >>> errors = performance_drop(embeddings, patches, repetitions=4).id_errors
    >>> errors.cells[0].medical_center, errors.cells[0].biological_class, round(errors.increase, 1)
    ('Bonn', 'normal', 0.6)
    >>> errors.increase == errors.cells[0].increase
    True
    """

    metric: str
    increase: float
    interval: Interval | None
    cells: tuple[CellErrors, ...]
    classes: tuple[str, ...]
    cramers_v: tuple[float, ...]
    groups: Mapping[str, tuple[GroupValue, ...]]
    slides: tuple[SlideValue, ...]
    resampling: Resampling
    curves: tuple[Curve, ...]
    confidence: float

    def __repr__(self) -> str:
        worst = self.cells[0]
        increase = f"{value_text(self.increase, self.interval, self.confidence)} more errors"
        where = f"in {worst.biological_class} of {worst.medical_center}"
        return short_text("DiagnosticErrors", f"{increase} {where}", counted(len(self.cells), "cell"))


NOTE = (
    "The worst of {cells}, by Student's t with the effects of every {noun} in test and training. The upper "
    "end is the highest of their own upper ends, the lower end the highest of their Bonferroni-corrected "
    "lower ends, because the worst is partly chosen by chance. Where no {noun} changes anything, their "
    "number decides."
)


def _sentence(cell: CellErrors, classes: tuple[str, ...]) -> str:
    """What the patches of a cell are called after confounded and after balanced training, as a clause."""
    own = classes.index(cell.biological_class)
    wrong = [number for number in np.argsort(-cell.called[-1], kind="stable") if number != own]
    named = [number for number in wrong if rounded_percent(cell.called[-1][number]) != "0 %"][:_CONFUSED]
    if len(named) == 1:
        (only,) = named
        return (
            f"{rounded_percent(cell.called[-1][only])} of its patches are called {classes[only]} after "
            f"confounded training, {rounded_percent(cell.called[0][only])} after balanced"
        )
    parts = " and ".join(f"{rounded_percent(cell.called[-1][number])} {classes[number]}" for number in named)
    return (
        f"{rounded_percent(cell.error_rates[-1])} of its patches are called another class after confounded "
        f"training{f' ({parts})' if parts else ''}, {rounded_percent(cell.error_rates[0])} after balanced"
    )


@dataclass(frozen=True, kw_only=True)
class ErrorAsymmetry:
    """The direction of the errors that the shortcut creates, in-domain.

    Attributes
    ----------
    value : float
        Errors towards the classes that go with the patch's center in training minus errors away from them,
        after the last split minus after the first: 0 where errors have no direction, 1 where every patch is
        called a class that goes with its center.
    interval : tuple of (float, float) or None
        Confidence interval for the value over all slides of these medical centers and classes.
    towards, away : (splits,) ndarray of float64
        The two parts at every split, means over centers and repetitions.
    groups : mapping of str to tuple of GroupValue
        The asymmetry by "medical_center", worst first.
    slides : tuple of SlideValue
        Slides that make the asymmetry larger, largest effect first.
    resampling : Resampling
        What the interval is made of.
    curve : Curve
        Over Cramér's V of the training slides.
    confidence : float
        Of the interval, between 0 and 1.

    See Also
    --------
    performance_drop : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks.metrics import performance_drop
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(2)],
    ...     names=["medical_center", "biological_class", "slide", "patch"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    >>> embeddings[:, 0] += 2 * (patches.biological_class == "tumor")
    >>> embeddings[:, 1] += 4 * (patches.medical_center == "Bonn")
    >>> asymmetry = performance_drop(embeddings, patches, repetitions=4).asymmetry
    >>> round(asymmetry.value, 1), asymmetry.towards.shape
    (0.4, (5,))
    """

    value: float
    interval: Interval | None
    towards: Float64
    away: Float64
    groups: Mapping[str, tuple[GroupValue, ...]]
    slides: tuple[SlideValue, ...]
    resampling: Resampling
    curve: Curve
    confidence: float

    def __repr__(self) -> str:
        value = value_text(self.value, self.interval, self.confidence)
        parts = f"towards {self.towards[-1]:.3f}, away {self.away[-1]:.3f} after confounded training"
        return short_text("ErrorAsymmetry", value, parts)


def errors_measurement(errors: DiagnosticErrors, protocol: Mapping[str, object], rows: int) -> Measurement:
    """The common form, as criteria take it.

    Parameters
    ----------
    protocol : of the performance drop.
    rows : number of patches.
    """
    return Measurement(
        metric=errors.metric,
        value=errors.increase,
        interval=errors.interval,
        rows=rows,
        protocol=protocol,
        cells=tuple(
            CellValue(
                medical_center=cell.medical_center,
                biological_class=cell.biological_class,
                value=cell.increase,
                meaning=_sentence(cell, errors.classes),
            )
            for cell in errors.cells
        ),
        interval_note=NOTE.format(
            cells=counted(len(errors.cells), "medical center x class", "medical centers x classes"),
            noun=errors.resampling.noun,
        ),
        confidence=errors.confidence,
        resampling=errors.resampling,
        slides=errors.slides,
        groups=errors.groups,
        curves=errors.curves,
        grids=tuple(
            _grid(errors, name, split)
            for name, split in (("balanced", 0), ("confounded", len(errors.cramers_v) - 1))
        ),
    )


def _grid(errors: DiagnosticErrors, training: str, split: int) -> Grid:
    domain = "in-domain" if errors.metric.endswith("_id") else "out-of-domain"
    return Grid(
        name=f"what patches are called after {training} training, {domain}",
        row_name="patches",
        column_name="called",
        rows=tuple(f"{cell.medical_center} / {cell.biological_class}" for cell in _by_name(errors)),
        columns=errors.classes,
        values=tuple(rounded(cell.called[split]) for cell in _by_name(errors)),
        is_share=True,
    )


def _by_name(errors: DiagnosticErrors) -> list[CellErrors]:
    return sorted(
        errors.cells, key=lambda cell: (cell.medical_center, errors.classes.index(cell.biological_class))
    )


def asymmetry_measurement(
    asymmetry: ErrorAsymmetry, protocol: Mapping[str, object], rows: int, interval_note: str
) -> Measurement:
    """The common form, as criteria take it.

    Parameters
    ----------
    protocol : of the performance drop.
    rows : number of patches.
    interval_note : how the interval was made.
    """
    return Measurement(
        metric="error_asymmetry",
        value=asymmetry.value,
        interval=asymmetry.interval,
        rows=rows,
        protocol=protocol,
        interval_note=interval_note,
        confidence=asymmetry.confidence,
        resampling=asymmetry.resampling,
        slides=asymmetry.slides,
        groups=asymmetry.groups,
        curves=(asymmetry.curve,),
    )
