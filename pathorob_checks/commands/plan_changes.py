"""The part of `pathorob-checks plan` that is about changes: by a method, or from a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pathorob_checks.errors import MetricError
from pathorob_checks.wording import counted, percent, printable

if TYPE_CHECKING:
    from pathorob_checks.results.check import Check
    from pathorob_checks.results.results import Results

ASSUMPTION = (
    "The numbers for changes assume that a paired interval narrows with the square root of the number of "
    "slides. What the draws of a performance drop add does not narrow, so a change of one may need more."
)


def changes(
    results: Results,
    *,
    cohort: str | None = None,
    methods: Sequence[str] | None = None,
    metric: str | None = None,
) -> list[Check]:
    """The checks about a change; None for those of every cohort, method or metric."""
    return [
        check
        for check in results.checks
        if check.quantity == "difference"
        and cohort in (None, check.cohort)
        and (methods is None or check.method in methods)
        and metric in (None, check.metric)
    ]


def sentences(
    results: Results,
    wanted: Sequence[Check],
    power: float,
    *,
    bound: float | None = None,
    true: float | None = None,
) -> Iterator[str]:
    """How many slides would decide about each change, or why that cannot be said, and what is assumed.

    Parameters
    ----------
    bound, true : take the place of a criterion's bound and of the measured change.
    """
    assumes = False
    for check in wanted:
        try:
            yield printable(_sentence(results, check, power, bound, true))
            assumes = True
        except MetricError as error:
            yield printable(f"{_subject(check)}: not planned, because {error}")
    if assumes:
        yield ASSUMPTION


def _sentence(results: Results, check: Check, power: float, bound: float | None, true: float | None) -> str:
    from pathorob_checks.metrics.change_power import (
        MeasuredChange,
        planned_change,
        slides_needed_for_change,
    )

    if check.value is None or check.interval is None:
        raise MetricError(
            "the results have no interval of it", remedy="run the gate on a cohort that has one"
        )
    bound, true = check.bound if bound is None else bound, check.value if true is None else true
    measured = MeasuredChange(
        interval=check.interval, slides=_slides(results, check), confidence=check.confidence or 0.95
    )
    needed = slides_needed_for_change(measured, bound=bound, true=true, power=power)
    now = planned_change(measured, measured.slides, bound=bound, true=true)
    there = f"with {measured.slides} as here it is {percent(round(now.decides, 2))}"
    against = f"the bound {bound:g} if the true change is {true:z.3f} with a probability of {percent(power)}"
    if needed is None:
        return f"{_subject(check)}: no number of slides gives a clear verdict about {against}; {there}."
    verdict = "PASS" if (true > bound) == (check.direction == ">=") else "FAIL"
    return (
        f"{_subject(check)}: about {counted(needed, 'slide')} per medical center and class would give "
        f"{verdict} about {against}; {there}."
    )


def _subject(check: Check) -> str:
    from pathorob_checks.results.names import fm_and_method

    return f"{check.label} of {fm_and_method(check.fm, check.method)} on {check.cohort}"


def _slides(results: Results, check: Check) -> int:
    """Slides of the cell with fewest that the metric reads; 0 where an older file does not say it."""
    from pathorob_checks.metrics.registry import metric

    cohort = next((run.cohort for run in results.runs if run.cohort.name == check.cohort), None)
    outside = metric(check.metric).out_of_domain
    cells = [] if cohort is None else [one for one in cohort.cells if outside or one.subset != "OOD"]
    return min((one.slides for one in cells), default=0)
