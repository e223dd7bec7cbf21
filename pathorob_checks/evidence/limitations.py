"""What the design of the study and this run cannot show, from the facts of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.criteria.templates import filled_in
from pathorob_checks.evidence.provenance import fms_of, precision_of, weights_sha256
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.integrity_counts import integrity_counted
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.results.subject_facts import CohortFacts
from pathorob_checks.wording import counted, rounded_percent

# Why an FM has no digest of weights, by its kind.
_WITHOUT_WEIGHTS: Mapping[str, str] = {
    "demo": "{fm} is a demonstration and has no weights: code of this package computes its embeddings, and "
    "provenance.json has the digest of that code.",
    "embeddings": "The embeddings of {fm} were given, so there is no digest of weights. That they come from "
    "a certain FM is not shown.",
    "python": "The weights of {fm} have no digest: it is made by the user's own code. That it is a certain "
    "FM is not shown.",
}
_OTHER_WITHOUT_WEIGHTS = (
    "The weights of {fm} have no digest. That its embeddings come from a certain FM is not shown."
)


@dataclass(frozen=True, kw_only=True)
class Limitation:
    """A title, and sentences about it."""

    title: str
    sentences: tuple[str, ...]


def limitations(results: ResultsDocument, protocol: Mapping[str, Any]) -> list[Limitation]:
    """Those of every run, with the numbers of this one."""
    cohorts = [CohortFacts.model_validate(_facts(one)) for one in protocol["cohorts"]]
    sections = (
        ("What is tested", _scope(results)),
        ("Medical centers", _centers(cohorts)),
        ("Scanners, stains and fixation", _scanners(cohorts)),
        ("Slides and patients", _slides(cohorts)),
        ("Intervals", _intervals(results)),
        ("Support", _support(results)),
        ("What the FM has seen before", _pretraining(results)),
        ("Precision", _precision(results)),
        ("Bounds", _bounds(protocol)),
        ("Completeness", _completeness(results)),
        ("Repeated runs", _repetition()),
    )
    return [Limitation(title=title, sentences=tuple(sentences)) for title, sentences in sections]


def _facts(cohort: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in cohort.items() if key in CohortFacts.model_fields}


def _scope(results: ResultsDocument) -> Iterator[str]:
    yield (
        "The metrics are about embeddings of patches. They say nothing by themselves about predictions on "
        "whole slides, about a device that uses the FM, or about patients."
    )
    yield "No clinical claim follows from a verdict: it says only that a value meets a bound."
    metrics = ", ".join(facts.label for facts in results.metrics.values())
    yield f"Measured were: {metrics or 'no metrics'}. What other metrics would show is not known."


def _centers(cohorts: list[CohortFacts]) -> Iterator[str]:
    for one in cohorts:
        inside, outside = len(one.in_domain_centers), len(one.out_of_domain_centers)
        also = f" and {outside:,} out-of-domain" if outside else " and none that is out-of-domain"
        yield (
            f"{one.name} has {counted(inside, 'in-domain medical center')}{also}. Values and verdicts are "
            "about these centers; other centers may differ more."
        )


def _scanners(cohorts: list[CohortFacts]) -> Iterator[str]:
    if cohorts:
        yield (
            "A medical center stands for everything that differs between centers: scanner, stain, fixation, "
            "section thickness, patients. Which of these an effect is due to cannot be told, and scanners "
            "that no center uses are not tested."
        )


def _slides(cohorts: list[CohortFacts]) -> Iterator[str]:
    for one in cohorts:
        yield (
            f"{one.name} has {counted(one.patches, 'patch', 'patches')} from {counted(one.slides, 'slide')}; "
            "patches of a slide are alike, so that the number of slides limits what is known."
        )
        smallest = min((cell.slides for cell in one.cells), default=None)
        if smallest is not None:
            yield (
                f"The smallest group of a biological class from a medical center of {one.name} has "
                f"{counted(smallest, 'slide')}."
            )


def _intervals(results: ResultsDocument) -> Iterator[str]:
    measured = [check for check in results.checks if check.value is not None]
    without = [check for check in measured if check.interval is None]
    yield (
        "Intervals are confidence intervals for the value over all slides (or cases) of these centers and "
        "classes, of the same FM. They are not about other centers, other cohorts, or another training of "
        "the FM."
    )
    if without:
        number = counted(len(without), "value has", "values have")
        yield f"{number} no interval: how far chance moves them is not known."
    if len(measured) > 1:
        yield (
            f"{counted(len(measured), 'verdict')} were taken one by one: the more there are, the likelier "
            f"one of them is wrong by chance. {_RELEASE[_is_corrected(results)]}"
        )


def _is_corrected(results: ResultsDocument) -> bool:
    return str(results.environment.criteria.profile.get("family", "none")) != "none"


# What chance does to the release verdict, by whether its failures are corrected for the number of criteria.
_RELEASE = {
    False: "The release verdict passes only if every criterion is met, so more criteria make a wrong PASS no "
    "likelier, but they make a wrong FAIL likelier: the criteria ask for no correction of failures.",
    True: "The release verdict passes only if every criterion is met, so more criteria make a wrong PASS no "
    "likelier, and its failures are corrected for their number (Holm).",
}


def _repetition() -> Iterator[str]:
    yield (
        "A run does not show how often it was made before. Whoever repeats it with other cohorts, criteria "
        "or options and files only the last one files the best of several. --fm-history keeps the runs that "
        "are made with it, on this machine, and nothing obliges anybody to use it. A plan that names every "
        "run beforehand is what helps."
    )


def _support(results: ResultsDocument) -> Iterator[str]:
    known = [check for check in results.checks if check.value is not None and check.support is not None]
    known = [check for check in known if check.quantity != "difference"]
    for check in known:
        yield (
            f"The {check.label} of {fm_and_method(check.fm, check.method)} on {check.cohort} rests on the "
            f"{rounded_percent(check.support or 0.0)} of the patches that are informative for it."
        )
    if not known:
        yield "No value of this run has a support."


def _pretraining(results: ResultsDocument) -> Iterator[str]:
    names = ", ".join(dict.fromkeys(run.fm.name for run in results.runs)) or "the FM"
    yield (
        f"Which slides {names} was trained on is not known to this run, only the data that its recipe or the "
        "user states, if any. If slides of the cohorts, or of their centers, were among them, the values may "
        "be too good."
    )
    for fm in fms_of(results):
        if weights_sha256(fm) is None:
            reason = _WITHOUT_WEIGHTS.get(str(fm.identity.get("kind")), _OTHER_WITHOUT_WEIGHTS)
            yield reason.format(fm=fm.name)


def _precision(results: ResultsDocument) -> Iterator[str]:
    for fm in fms_of(results):
        precision = precision_of(fm)
        if precision is not None:
            yield f"{fm.name} embedded in {precision}. In another precision values may differ."
        else:
            yield f"The precision in which {fm.name} embedded is not known to the run."
    yield "Other versions of libraries, and other processors and GPUs, may give slightly different values."


def _bounds(protocol: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "Nobody has published bounds for robustness to medical centers. The bounds are the choice of whoever "
        "wrote the criteria, and each has its reason beside it in protocol.md."
    )
    built_in = [name for name in protocol["criteria"]["files"] if name in BUILT_IN]
    if built_in:
        yield (
            f"The profile {', '.join(built_in)} is this package's choice of bounds, made without regard to a "
            "certain use."
        )
    if any(not filled_in(one["requirements"]) for one in protocol["planned"]):
        yield "Some criteria name no requirement, so that nothing says what they are for."


def _completeness(results: ResultsDocument) -> Iterator[str]:
    counts = results.environment.criteria.completeness
    yield f"Criteria that were measured: {counts.measured:,} of {counts.planned:,} planned."
    yield f"Of the plan: {integrity_counted(results.integrity, counts)}."
