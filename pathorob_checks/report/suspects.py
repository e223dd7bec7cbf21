"""What is likely to be at fault where a criterion is not met: the embedding, the precision or the cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.verdict import Verdict, meets, percent
from pathorob_checks.metrics.measurement import Measurement

LITTLE_SUPPORT = 0.1  # below, fewer than a tenth of the patches decide
FEW_SLIDES = 5  # in a center x class; a spread over fewer is hardly known


def suspects(
    measurement: Measurement, criterion: Criterion, verdict: Verdict, drift: float | None = None
) -> list[str]:
    """Sentences that start with what is suspect, the likeliest first; none for a criterion that is met."""
    if verdict is Verdict.PASS:
        return []
    found = [said for look in _LOOKS if (said := look(measurement, criterion, drift))]
    clear = verdict is Verdict.FAIL and (measurement.interval is None or _misses(measurement, criterion))
    if clear and not any(said.startswith("precision") for said in found):
        found.insert(0, _embedding(measurement))
    return found


def _misses(measurement: Measurement, criterion: Criterion) -> bool:
    ends = measurement.interval or ()
    return not any(meets(end, criterion.direction, criterion.bound) for end in ends)


def _embedding(measurement: Measurement) -> str:
    if measurement.interval is None:
        return "embedding: the value misses the bound; how sure that is, no interval tells."
    return "embedding: other slides from the same centers would hardly have met the bound either."


def _precision(measurement: Measurement, criterion: Criterion, drift: float | None) -> str | None:
    distance = abs(measurement.value - criterion.bound)
    if not drift or drift < distance:
        return None
    return (
        f"precision: it moves the value by up to {drift:.3g}, and the bound is {distance:.3g} away; use fp32."
    )


def _width(measurement: Measurement, criterion: Criterion, drift: float | None) -> str | None:  # noqa: ARG001
    if measurement.interval is None or _misses(measurement, criterion):
        return None
    low, high = measurement.interval
    distance = abs(measurement.value - criterion.bound)
    more = ((high - low) / 2 / distance) ** 2 if distance else float("inf")
    needed = f"some {more:.2g} times as many slides" if more < 100 else "a far larger cohort"
    return f"cohort: it is too small to tell; {needed} would, if the value stayed."


def _support(measurement: Measurement, criterion: Criterion, drift: float | None) -> str | None:  # noqa: ARG001
    if measurement.support is None or measurement.support >= LITTLE_SUPPORT:
        return None
    return f"cohort: only {percent(round(measurement.support, 3))} of the patches say anything about it."


def _slides(measurement: Measurement, criterion: Criterion, drift: float | None) -> str | None:  # noqa: ARG001
    drawn = measurement.resampling
    if drawn is None or drawn.drawn != "slides":
        return None
    count = Counter(cell for cells in drawn.cells for cell in cells)
    cell, fewest = min(count.items(), key=lambda item: (item[1], item[0]), default=("", FEW_SLIDES))
    if fewest >= FEW_SLIDES:
        return None
    return f"cohort: {cell} has {fewest} slide{'s' * (fewest != 1)}; the interval is rough there."


_LOOKS: tuple[Callable[[Measurement, Criterion, float | None], str | None], ...] = (
    _precision,
    _width,
    _support,
    _slides,
)
