"""How many slides per medical center and biological class would decide about each criterion."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.commands import plan_changes
from pathorob_checks.console import say
from pathorob_checks.errors import MetricError, ResultsError
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.width import width
from pathorob_checks.wording import counted, hint, percent, printable

if TYPE_CHECKING:
    from pathorob_checks.metrics.definition import Direction
    from pathorob_checks.metrics.resampling import Resampling
    from pathorob_checks.results.check import Check
    from pathorob_checks.results.results import Results

_STEPS = (0.5, 0.75, 1.0, 1.5, 2.0)  # times the number of slides that decides: rows of the table


@dataclass(frozen=True, kw_only=True)
class Question:
    """A bound to be decided about.

    Attributes
    ----------
    fm, cohort, metric, label : of the measured value; the FM with the method that repairs it.
    resampling : how the value varies with the slides.
    bound, true : on the metric's scale.
    direction : on which side of the bound the value must lie.
    confidence : of the interval.
    """

    fm: str
    cohort: str
    metric: str
    label: str
    resampling: Resampling
    bound: float
    true: float
    direction: Direction
    confidence: float


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of the command line."""
    from pathorob_checks.metrics.power import POWER

    parser = commands.add_parser(
        "plan",
        help="say how many slides per medical center and class would decide about a bound",
        description="From how the slides of a measured cohort differ: the half-width of the interval and the "
        "probability of PASS or FAIL instead of INCONCLUSIVE, for numbers of slides per medical center and "
        "biological class, if the true value is the one assumed.",
    )
    parser.add_argument("--fm", type=Path, metavar="RESULTS.json", help="what --fm-json wrote for an FM")
    parser.add_argument(
        "--embeddings", metavar="DIR", help="or embeddings of a cohort, as for --fm=embeddings:DIR of pytest"
    )
    parser.add_argument(
        "--cohort", metavar="NAME|PATH", help="the cohort (default: all that the results have)"
    )
    parser.add_argument(
        "--criteria", metavar="PROFILE|FILE", help="whose bounds (default: those of the results)"
    )
    parser.add_argument(
        "--method",
        action="append",
        metavar="METHOD[+METHOD]",
        help="plan for the FMs as this method repairs them (default: without a method); may repeat",
    )
    parser.add_argument("--metric", metavar="NAME", help="plan for this metric only")
    parser.add_argument("--bound", type=float, metavar="B", help="another bound; needs --metric")
    parser.add_argument(
        "--true", type=float, metavar="V", help="the true value (default: the one measured); needs --metric"
    )
    parser.add_argument(
        "--power",
        type=float,
        default=POWER,
        metavar="P",
        help=f"the probability of PASS or FAIL that is wanted (default: {POWER:g})",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from pathorob_checks.results.text import wrapped

    if options.metric is None and (options.bound is not None or options.true is not None):
        raise MetricError("--bound and --true are about one metric", remedy="name it with --metric")
    results = _results(options)
    if options.metric is not None and options.metric in _only_changes(results):
        chosen = plan_changes.changes(
            results,
            cohort=options.cohort and Path(options.cohort).name,
            methods=options.method,
            metric=options.metric,
        )
        if not chosen:
            raise ResultsError(
                f"the results have no change of {options.metric} for this cohort and these methods",
                remedy="leave --cohort and --method out",
            )
        lines = plan_changes.sentences(results, chosen, options.power, bound=options.bound, true=options.true)
        say("\n".join(wrapped(line, width=width(), indent="  ") for line in lines))
        return 0
    planned = questions(
        results,
        cohort=options.cohort,
        criteria=options.criteria,
        methods=options.method,
        metric=options.metric,
        bound=options.bound,
        true=options.true,
    )
    shown = [printable_plan(planned, options.power, width())]
    if options.metric is None:
        cohort = options.cohort and Path(options.cohort).name
        chosen = plan_changes.changes(results, cohort=cohort, methods=options.method)
        notes = [*plan_changes.sentences(results, chosen, options.power), *unplanned(results, options.method)]
        shown += [wrapped(note, width=width(), indent="  ") for note in notes]
    say("\n".join(shown))
    return 0


def _results(options: argparse.Namespace) -> Results:
    """Those of the file, or of the embeddings."""
    from pathorob_checks.results.results import Results

    if options.fm is not None and options.embeddings is None:
        return Results.read(options.fm)
    if options.embeddings is None or options.fm is not None:
        problem = "both --fm and --embeddings are given" if options.fm else "nothing says how slides differ"
        raise ResultsError(
            problem,
            remedy="give either --fm=RESULTS.json of any FM on such a cohort, or --embeddings=DIR",
        )
    from pathorob_checks.evaluation.evaluate import evaluate

    cohorts = () if options.cohort is None else options.cohort
    return evaluate(f"embeddings:{options.embeddings}", cohorts=cohorts, criteria=options.criteria or "full")


def questions(
    results: Results,
    *,
    cohort: str | None = None,
    criteria: str | None = None,
    methods: Sequence[str] | None = None,
    metric: str | None = None,
    bound: float | None = None,
    true: float | None = None,
) -> list[Question]:
    """What is to be planned, from the checks of results.

    Parameters
    ----------
    cohort : name or path of one; None for all.
    criteria : profile or file whose bounds take the place of the results'.
    methods : of the FMs that are planned for; None for FMs without a method.
    metric : name of one; None for all.
    bound, true : take the place of the criterion's bound and of the measured value.

    Raises
    ------
    ResultsError : the results have no such value.
    """
    own_bounds = criteria is None and bound is None  # else one check has all that is needed of a metric
    measured = {
        (check.fm, check.method, check.cohort, check.metric, check.criterion if own_bounds else ""): check
        for check in results.checks
        if check.quantity == "value" and check.value is not None and check.resampling is not None
    }
    wanted = [NO_METHOD] if methods is None else methods
    _refuse_unknown("cohort", cohort and Path(cohort).name, [key[2] for key in measured])
    present = dict.fromkeys(key[1] for key in measured)
    if methods is None and present and NO_METHOD not in present:
        options = " ".join(f"--method={printable(one)}" for one in present)
        raise ResultsError("the results have no FM without a method", remedy=f"plan with {options}")
    for method in wanted:
        _refuse_unknown("method", method, list(present))
    _refuse_unknown("metric", metric, [key[3] for key in measured])
    chosen = [
        check
        for (_, method, at, name, _), check in measured.items()
        if method in wanted and (cohort is None or at == Path(cohort).name) and metric in (None, name)
    ]
    planned = [question for check in chosen for question in _of_check(check, criteria, bound, true)]
    if not planned:
        raise ResultsError(
            "the criteria have no bound for a value that the results have", remedy="name one with --bound"
        )
    return planned


def _only_changes(results: Results) -> set[str]:
    """Metrics of which a criterion is about a change, and none about the value."""
    valued = {check.metric for check in results.checks if check.quantity == "value"}
    return {check.metric for check in plan_changes.changes(results)} - valued


def unplanned(results: Results, methods: Sequence[str] | None = None) -> Iterator[str]:
    """A sentence on the FMs with other methods that the results have."""
    wanted = [NO_METHOD] if methods is None else methods
    others = dict.fromkeys(check.method for check in results.checks if check.method not in wanted)
    if others:
        options = " ".join("--method=" + printable(one) for one in others)
        yield f"Not planned: the FMs {_with(others)}; plan for them with {options}."


def _with(methods: Iterable[str]) -> str:
    names = ["without a method" if one == NO_METHOD else f"with {printable(one)}" for one in methods]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _refuse_unknown(what: str, name: str | None, known: Sequence[str]) -> None:
    if not known:
        raise ResultsError(
            "the results have no value with the effects of its slides", remedy="run the gate on the cohort"
        )
    if name is not None and name not in known:
        raise ResultsError(
            f"the results have no value of the {what} {name!r}",
            remedy=hint(name, dict.fromkeys(known), "use one of {known}"),
        )


def _of_check(
    check: Check, criteria: str | None, bound: float | None, true: float | None
) -> Iterator[Question]:
    from pathorob_checks.criteria.files import load_profile
    from pathorob_checks.metrics.registry import metric as definition_of
    from pathorob_checks.results.names import fm_and_method

    definition = definition_of(check.metric)
    bounds = [(check.bound, check.direction)]
    if bound is not None:
        bounds = [(bound, check.direction)]
    elif criteria is not None:
        bounds = [
            (one.bound, one.direction)
            for one in load_profile(criteria).criteria_for((check.cohort,))
            if one.metric == check.metric and one.quantity == "value"
        ]
    assert check.resampling is not None  # noqa: S101 (chosen so)
    assert check.value is not None  # noqa: S101
    measured = min(max(check.value, definition.lowest), definition.highest)
    for each, direction in bounds:
        yield Question(
            fm=fm_and_method(check.fm, check.method),
            cohort=check.cohort,
            metric=check.metric,
            label=definition.label,
            resampling=check.resampling,
            bound=each,
            true=measured if true is None else true,
            direction=direction,
            confidence=check.confidence or 0.95,
        )


def printable_plan(planned: Sequence[Question], power: float, columns: int) -> str:
    """A sentence for each question, after a table where there is only one or where all fit in one."""
    from pathorob_checks.results.text import wrapped

    parts = []
    if len(planned) == 1:
        parts.append(_table(planned[0], power))
    parts.append("\n".join(wrapped(sentence(one, power), width=columns, indent="  ") for one in planned))
    return "\n\n".join(part for part in parts if part)


def sentence(question: Question, power: float) -> str:
    """How many slides would decide, or why that cannot be said."""
    from pathorob_checks.metrics.power import planned, slides_needed, slides_there

    subject = f"{question.label} of {question.fm} on {question.cohort}"
    here, noun = slides_there(question.resampling), question.resampling.noun
    about = {"bound": question.bound, "true": question.true, "confidence": question.confidence}
    try:
        needed = slides_needed(question.resampling, power=power, **about)
        now = planned(question.resampling, max(2, here), **about)
    except MetricError as error:
        return printable(f"{subject}: {error}")
    there = f"with {here} as here it is {percent(round(now.decides, 2))}"
    against = f"the bound {question.bound:g} if the true value is {question.true:z.3f}"
    if needed is None:
        return printable(
            f"{subject}: no number of {noun}s gives a clear verdict about {against} with a probability of "
            f"{percent(power)}; {there}."
        )
    verdict = "PASS" if (question.true > question.bound) == (question.direction == ">=") else "FAIL"
    return printable(
        f"{subject}: about {counted(needed, noun)} per medical center and class would give {verdict} about "
        f"{against} with a probability of {percent(power)}; {there}."
    )


def _table(question: Question, power: float) -> str:
    from tabulate import tabulate

    from pathorob_checks.metrics.power import planned, slides_needed, slides_there

    about = {"bound": question.bound, "true": question.true, "confidence": question.confidence}
    try:
        needed = slides_needed(question.resampling, power=power, **about)
    except MetricError:
        return ""
    here = slides_there(question.resampling)
    numbers = {max(2, here)} | {max(2, round(times * (needed or 8 * here))) for times in _STEPS}
    rows = []
    for number in sorted(numbers):
        plan = planned(question.resampling, number, **about)
        marks = [mark for mark, at in (("here", here), ("needed", needed)) if at == number]
        rows.append([number, f"{plan.half_width:.3f}", percent(round(plan.decides, 2)), ", ".join(marks)])
    headers = [f"{question.resampling.noun}s per cell", "half-width", "PASS or FAIL", ""]
    return str(tabulate(rows, headers, disable_numparse=True, colalign=("right", "right", "right", "left")))
