"""What is likely to be at fault where a criterion is not met: the embedding, the precision or the cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.verdict import Verdict, meets
from pathorob_checks.errors import MetricError
from pathorob_checks.evaluation.measuring import Measured
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.registry import metric
from pathorob_checks.metrics.resampling import LITTLE_SUPPORT
from pathorob_checks.results.check import Suspect
from pathorob_checks.wording import counted, percent

FEW_SLIDES = 5  # in a cell; how slides vary is hardly known from fewer


def suspects(
    measured: Measured, criterion: Criterion, verdict: Verdict, drift: float | None = None
) -> tuple[Suspect, ...]:
    """What is likely to be at fault, likeliest first; nothing for a criterion that is met."""
    if verdict is Verdict.PASS:
        return ()
    likely = [one for look in _LOOKS if (one := look(measured, criterion, drift))]
    measurement = measured.measurement
    clear = verdict is Verdict.FAIL and (measurement.interval is None or _misses(measurement, criterion))
    if clear and not any(one.kind == "precision" for one in likely):
        likely.insert(0, _embedding(measured))
    return tuple(likely)


def _misses(measurement: Measurement, criterion: Criterion) -> bool:
    """Whether the whole interval is on the wrong side of the bound."""
    ends = measurement.interval or ()
    return not any(meets(end, criterion.direction, criterion.bound) for end in ends)


def contains_bound(measurement: Measurement, criterion: Criterion) -> bool:
    """Whether the bound lies inside the interval."""
    met = {meets(end, criterion.direction, criterion.bound) for end in measurement.interval or ()}
    return len(met) == 2


_WOULD_FAIL_TOO = {
    "slides": "other slides from these centers would very probably fail too.",
    "slides and repetitions": "other slides from these centers would very probably fail too.",
    None: "the whole interval misses the bound.",
}


def _embedding(measured: Measured) -> Suspect:
    if measured.measurement.interval is None:
        sentence = "the value misses the bound; without an interval, chance cannot be excluded."
    else:
        sentence = _WOULD_FAIL_TOO.get(measured.drawn, _WOULD_FAIL_TOO[None])
    return Suspect(kind="embedding", sentence=sentence)


def _precision(measured: Measured, criterion: Criterion, drift: float | None) -> Suspect | None:
    distance = abs(measured.measurement.value - criterion.bound)
    if not drift or drift < distance:
        return None
    sentence = f"it may move the value by up to {drift:.3g}, and the bound is {distance:.3g} away; use fp32."
    return Suspect(kind="precision", sentence=sentence)


def _width(measured: Measured, criterion: Criterion, drift: float | None) -> Suspect | None:  # noqa: ARG001
    measurement = measured.measurement
    if measurement.interval is None or _misses(measurement, criterion):
        return None
    resampling = measurement.resampling
    noun = resampling.noun if resampling else "slide"
    kind = _width_of(measured, criterion)
    sentence = _WIDTHS[kind].sentence.format(
        unstable=measurement.unstable,
        units=f"{noun}s",
        fixed_k=resampling.unplannable_at_k if resampling else "",
    )
    if kind == "too few" and (planned := _plan(measurement, criterion)[1]):
        sentence = f"{sentence.removesuffix('.')}; {planned}."
    return Suspect(kind="cohort", sentence=sentence)


def what_decides(measured: Measured, criterion: Criterion) -> str:
    """What to do about a bound inside the interval, as a sentence that fits the suspect."""
    remedy = _WIDTHS[_width_of(measured, criterion)].remedy
    measurement = measured.measurement
    if not meets(measurement.value, criterion.direction, criterion.bound):
        return remedy + _POINTS_TO_FAILURE
    definition = metric(criterion.metric)
    about_value = criterion.quantity != "difference" and measurement.interval is not None
    if about_value and definition.is_worse_than_neutral(measurement.interval or (0.0, 0.0)):
        neutral = definition.worse_than_neutral[1]
        return f"{remedy}; only the bound is undecided: the whole interval is worse than {neutral}."
    return remedy + _NEEDS_NO_REPAIR


@dataclass(frozen=True)
class _Width:
    """Why an interval is too wide to decide, and what to do about it."""

    sentence: str
    remedy: str


_NEEDS_NO_REPAIR = "; the FM needs no repair while this is undecided."
_POINTS_TO_FAILURE = "; the value itself misses the bound, which points to a failure without deciding it."
_MORE_SLIDES = "Add slides from these medical centers"
_HARDLY = (
    "A few more slides will hardly decide this. Accept that it is undecided, or set another bound before "
    "the next cohort is measured"
)
_WIDTHS: Mapping[str, _Width] = {
    "unstable": _Width(
        "{unstable}.",
        "More slides may not decide this, because the value jumps. Rely on the other criteria and accept "
        "that this one is undecided",
    ),
    "of unknown origin": _Width("the interval is too wide to decide at this value.", "Add slides"),
    "far too few": _Width(
        "the value is so close to the bound that only a far larger cohort could decide.", _HARDLY
    ),
    "no number": _Width(
        "the value is so close to the bound that no number of {units} from these centers would decide.",
        _HARDLY,
    ),
    "fixed k": _Width(
        "too few {units} to decide; how many would decide is not known, because {fixed_k}.",
        f"{_MORE_SLIDES}, and let k grow with the cells",
    ),
    "too few": _Width("too few {units} to decide.", _MORE_SLIDES),
}
_FAR = 100  # times as many slides as there are


def _width_of(measured: Measured, criterion: Criterion) -> str:
    """Which of `_WIDTHS` it is."""
    if measured.measurement.unstable:
        return "unstable"
    if measured.drawn not in _WOULD_FAIL_TOO or measured.drawn is None:
        return "of unknown origin"
    resampling = measured.measurement.resampling
    if resampling is not None and resampling.unplannable_at_k:
        return "fixed k"
    if _times(measured.measurement, criterion) >= _FAR:
        return "far too few"
    return "too few" if _plan(measured.measurement, criterion)[0] is not None else "no number"


def _times(measurement: Measurement, criterion: Criterion) -> float:
    """How many times as many slides would have an interval that ends at the bound."""
    low, high = measurement.interval or (0.0, 0.0)
    distance = abs(measurement.value - criterion.bound)
    return ((high - low) / 2 / distance) ** 2 if distance else float("inf")


def _plan(measurement: Measurement, criterion: Criterion) -> tuple[int | None, str]:
    """The slides per cell that would decide, None where no number would; and what to say of it, as a clause.

    `pathorob-checks plan` follows from the same numbers.
    """
    from pathorob_checks.metrics.power import POWER, slides_needed, slides_there

    resampling = measurement.resampling
    if resampling is None or resampling.value != measurement.value:
        return 0, ""
    try:
        needed = slides_needed(
            resampling, bound=criterion.bound, true=measurement.value, confidence=measurement.confidence
        )
    except MetricError as error:
        return 0, f"how many would decide is not known: {error.problem.partition(': ')[2]}"
    there = slides_there(resampling)
    if needed is None or needed <= there:
        return needed, ""
    return needed, (
        f"about {needed:,} per medical center and class would decide with a probability of {percent(POWER)} "
        f"at this value, {there} {'is' if there == 1 else 'are'} there"
    )


def _support(measured: Measured, criterion: Criterion, drift: float | None) -> Suspect | None:  # noqa: ARG001
    support = measured.measurement.support
    if support is None or support >= LITTLE_SUPPORT:
        return None
    return Suspect(
        kind="cohort",
        sentence=f"only {percent(round(support, 3))} of the patches are informative.",
    )


def _slides(measured: Measured, criterion: Criterion, drift: float | None) -> Suspect | None:  # noqa: ARG001
    resampling = measured.measurement.resampling
    if resampling is None:
        return None
    count = Counter(cell for cells in resampling.cells for cell in cells)
    cell, fewest = min(count.items(), key=lambda item: (item[1], item[0]), default=("", FEW_SLIDES))
    if fewest >= FEW_SLIDES:
        return None
    few = counted(fewest, resampling.noun)
    return Suspect(kind="cohort", sentence=f"{cell} has only {few}, so the interval is uncertain.")


_LOOKS: tuple[Callable[[Measured, Criterion, float | None], Suspect | None], ...] = (
    _precision,
    _width,
    _support,
    _slides,
)
