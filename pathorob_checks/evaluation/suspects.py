"""What is likely to be at fault where a criterion is not met: the embedding, the precision or the cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.verdict import Verdict, meets
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.results.document import Suspect
from pathorob_checks.wording import counted, percent

LITTLE_SUPPORT = 0.1  # below, fewer than a tenth of the patches decide
FEW_SLIDES = 5  # in a cell; how slides vary is hardly known from fewer


def suspects(
    measurement: Measurement, criterion: Criterion, verdict: Verdict, drift: float | None = None
) -> tuple[Suspect, ...]:
    """What is likely to be at fault, likeliest first; nothing for a criterion that is met."""
    if verdict is Verdict.PASS:
        return ()
    likely = [one for look in _LOOKS if (one := look(measurement, criterion, drift))]
    clear = verdict is Verdict.FAIL and (measurement.interval is None or _misses(measurement, criterion))
    if clear and not any(one.kind == "precision" for one in likely):
        likely.insert(0, _embedding(measurement))
    return tuple(likely)


def _misses(measurement: Measurement, criterion: Criterion) -> bool:
    """Whether the whole interval is on the wrong side of the bound."""
    ends = measurement.interval or ()
    return not any(meets(end, criterion.direction, criterion.bound) for end in ends)


def _is_over_repetitions(measurement: Measurement) -> bool:
    """Whether the interval is about other draws of the same slides, not about other slides."""
    return measurement.resampling is not None and measurement.resampling.drawn == "repetitions"


def _embedding(measurement: Measurement) -> Suspect:
    if measurement.interval is None:
        sentence = "the value misses the bound, but has no interval, so this may be chance."
    elif _is_over_repetitions(measurement):
        sentence = "other draws of training and test slides from this cohort would very probably fail too."
    else:
        sentence = "other slides from these centers would very probably fail too."
    return Suspect(kind="embedding", sentence=sentence)


def _precision(measurement: Measurement, criterion: Criterion, drift: float | None) -> Suspect | None:
    distance = abs(measurement.value - criterion.bound)
    if not drift or drift < distance:
        return None
    sentence = f"it may move the value by up to {drift:.3g}, and the bound is {distance:.3g} away; use fp32."
    return Suspect(kind="precision", sentence=sentence)


def _width(measurement: Measurement, criterion: Criterion, drift: float | None) -> Suspect | None:  # noqa: ARG001
    if measurement.interval is None or _misses(measurement, criterion):
        return None
    if _is_over_repetitions(measurement):
        sentence = "the repetitions vary too much to decide at this value."
        return Suspect(kind="cohort", sentence=sentence)
    low, high = measurement.interval
    distance = abs(measurement.value - criterion.bound)
    times = ((high - low) / 2 / distance) ** 2 if distance else float("inf")
    enough = f"about {times:.2g} times as many slides" if times < 100 else "only a far larger cohort"
    return Suspect(kind="cohort", sentence=f"too few slides to decide; {enough} would suffice at this value.")


def _support(measurement: Measurement, criterion: Criterion, drift: float | None) -> Suspect | None:  # noqa: ARG001
    if measurement.support is None or measurement.support >= LITTLE_SUPPORT:
        return None
    return Suspect(
        kind="cohort",
        sentence=f"only {percent(round(measurement.support, 3))} of the patches are informative.",
    )


def _slides(measurement: Measurement, criterion: Criterion, drift: float | None) -> Suspect | None:  # noqa: ARG001
    resampling = measurement.resampling
    if resampling is None or resampling.drawn != "slides":
        return None
    count = Counter(cell for cells in resampling.cells for cell in cells)
    cell, fewest = min(count.items(), key=lambda item: (item[1], item[0]), default=("", FEW_SLIDES))
    if fewest >= FEW_SLIDES:
        return None
    return Suspect(
        kind="cohort", sentence=f"{cell} has only {counted(fewest, 'slide')}, so the interval is uncertain."
    )


_LOOKS: tuple[Callable[[Measurement, Criterion, float | None], Suspect | None], ...] = (
    _precision,
    _width,
    _support,
    _slides,
)
