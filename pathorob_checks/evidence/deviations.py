"""What differed from the protocol, generated from the records; that nothing did is said in words."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pathorob_checks.criteria.templates import open_places
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evidence.confirmations import CONTROLS, demanded_digest
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.explanation import sentence_of
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.results.outcome import value_and_bound
from pathorob_checks.version import is_development_version
from pathorob_checks.wording import counted

Protocol = Mapping[str, Any]
Finder = Callable[[ResultsDocument, Protocol], Iterator[str]]
_PLACES = frozenset(
    ("cache", "cache_limit", "ray_address", "readers", "metadata")
)  # settings that change no value
_NAMED = frozenset(("fms", "cohorts"))  # a run must name these, or takes what suits


@dataclass(frozen=True, kw_only=True)
class DeviationKind:
    """A kind of deviation that is looked for, and a sentence for each that there is."""

    title: str
    description: str
    sentences: tuple[str, ...]


def deviations(results: ResultsDocument, protocol: Protocol) -> list[DeviationKind]:
    """Every kind that is looked for, in the order of its weight."""
    return [
        DeviationKind(
            title=title, description=description, sentences=tuple(dict.fromkeys(find(results, protocol)))
        )
        for title, description, find in _LOOKED_FOR
    ]


def _problems(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    yield from results.problems
    if results.environment.criteria.completeness.crashed:
        yield "A worker process was lost."


def _other_failures(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    yield from (f"{test} failed." for test in results.other_failures)


def _failed_integrity(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    for check in results.integrity:
        if check.verdict in (Verdict.FAIL, Verdict.ERROR):
            yield f"{_about(check)}: {check.verdict}: {check.reason}"


def _inapplicable(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    for check in results.integrity:
        if check.verdict is Verdict.SKIPPED:
            yield f"{_about(check)} was not made: {check.reason}"


def _about(check: IntegrityCheck) -> str:
    return f"{check.name} of {fm_and_method(check.fm, check.method)} on {check.cohort}"


def _not_measured(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    yield from (sentence_of(one) for one in results.checks if one.verdict is Verdict.ERROR)


def _skipped(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    yield from (sentence_of(one) for one in results.checks if one.verdict is Verdict.SKIPPED)


def _left_out(results: ResultsDocument, protocol: Protocol) -> Iterator[str]:
    yield from results.environment.left_out
    for one in (*protocol["planned"], *protocol["planned_integrity"]):
        if one["left_out"] is not None:
            chosen = "by choice" if one["left_out"]["on_purpose"] else "not by the command line"
            yield f"{one['id']} was left out by {one['left_out']['why']} ({chosen})."


def _no_record(results: ResultsDocument, protocol: Protocol) -> Iterator[str]:
    recorded = {
        *((one.fm, one.method, one.cohort, one.criterion) for one in results.checks if one.registered),
        *(one.id for one in results.integrity),
    }
    keys = ("fm", "method", "cohort", "criterion")
    planned = [(tuple(one[key] for key in keys), one) for one in protocol["planned"]]
    planned += [(one["id"], one) for one in protocol["planned_integrity"]]
    missing = [one["id"] for key, one in planned if key not in recorded and one["left_out"] is None]
    if missing:
        counts = results.environment.criteria.completeness
        yield (
            f"{counted(len(missing), 'planned check has', 'planned checks have')} no record: "
            f"{counts.deselected + counts.integrity_left_out} deselected by the command line "
            f"({shlex.join(protocol['command'])}), {counts.never_ran + counts.integrity_missing} never ran."
        )
    yield from (f"{name} has no record." for name in missing)


def _inconclusive(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    profile = dict(results.environment.criteria.profile or {})
    does = profile.get("inconclusive", "fail")
    allowed = "" if does == "fail" else " The criteria let such a verdict pass."
    for one in results.checks:
        if one.verdict is Verdict.INCONCLUSIVE:
            yield sentence_of(one) + allowed


def _drift(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    for one in results.checks:
        if one.drift:
            value, _bound = value_and_bound(one)
            yield (
                f"The precision of the forward pass may move the {one.label} of "
                f"{fm_and_method(one.fm, one.method)} on {one.cohort} ({value}) by "
                f"{one.drift:.3g}, and its interval was widened by that for the verdict."
            )


def _own_tables(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    for run in results.runs:
        for name in run.cohort.own_tables:
            yield f"The table {name} of {run.cohort.name} is not the published one."


def _foreign_settings(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    yield from results.environment.settings


def _options(_: ResultsDocument, protocol: Protocol) -> Iterator[str]:
    for one in protocol["options"]:
        if not one["is_default"] and one["name"] not in _PLACES | _NAMED | CONTROLS:
            yield f"{one['name']} was {_text(one['value'])}; the default is {_text(one['default'])}."
    repetitions = protocol["terms"]["criteria"].get("repetitions")
    if repetitions is not None:
        yield f"The performance drop was repeated {counted(repetitions, 'time')} by the criteria."


def _text(value: object) -> str:
    if value is None or value == [] or value == "":
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _not_beforehand(_: ResultsDocument, protocol: Protocol) -> Iterator[str]:
    if demanded_digest(protocol) is None:
        yield (
            "No digest of the terms was demanded beforehand, so the run does not show that its criteria had "
            "been agreed on before; demand it with --fm-criteria-digest."
        )
    if protocol["criteria"].get("states_baseline") and protocol["baseline"] is None:
        yield (
            "The criteria state when an FM is not worse than a baseline, and no baseline was given, so "
            "nothing was compared; give one with --fm-baseline."
        )


def _unfilled(_: ResultsDocument, protocol: Protocol) -> Iterator[str]:
    """The places that a template of criteria left open, in the criteria of the terms."""
    criteria = protocol["terms"]["criteria"]
    for path in open_places(criteria):
        key = next(part for part in reversed(path) if isinstance(part, str))
        whose = f" of criterion {criteria['criteria'][path[1]]['id']}" if path[0] == "criteria" else ""
        yield f"The place '{key}'{whose} was not filled in."


def _own_checks(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    yield from (
        f"{_of_user(one)} is a check of a user's test, which the digest does not cover."
        for one in results.checks
        if not one.registered
    )


def _of_user(check: Check) -> str:
    return f"{check.id} ({check.label} of {fm_and_method(check.fm, check.method)} on {check.cohort})"


def _code(results: ResultsDocument, protocol: Protocol) -> Iterator[str]:
    versions = {protocol["tool"]["version"], results.environment.packages.get("pathorob-checks")}
    for text in sorted(filter(None, versions)):
        if text.endswith(".dirty"):
            yield f"The code was changed after its commit (pathorob-checks {text})."
        elif "+unknown" in text:
            yield f"It is not known which commit the code is (pathorob-checks {text})."
        if is_development_version(text):
            yield f"The code is no release (pathorob-checks {text})."
    if len(versions) > 1:
        yield "The version of the code at the end is not that of the protocol."


def _qualification(_: ResultsDocument, protocol: Protocol) -> Iterator[str]:
    facts = protocol.get("qualification")
    if facts is None:
        yield (
            "The run refers to no qualification of the installation that computed it; name one with "
            "--fm-qualification."
        )
        return
    if facts["outcome"] != "pass":
        yield f"The qualification that the run refers to did not pass ({facts['outcome']})."
    if not facts["is_of_this_code"]:
        yield (
            f"The qualification that the run refers to is of other code (pathorob-checks {facts['version']}, "
            f"made on {facts['created']})."
        )
    for difference in facts.get("differences", ()):
        yield f"Not as when the installation was qualified: {difference}."


def _notes(results: ResultsDocument, _: Protocol) -> Iterator[str]:
    for run in results.runs:
        yield from (f"FM {run.fm.name}: {note}" for note in run.fm.notes)
        yield from (f"cohort {run.cohort.name}: {note}" for note in run.cohort.notes)


# What is looked for: title, what that means, and how it is found.
_LOOKED_FOR: tuple[tuple[str, str, Finder], ...] = (
    ("Problems of the run", "interruptions, lost workers, files that could not be written", _problems),
    ("Checks without a value", "criteria that could not be measured", _not_measured),
    ("Failed integrity checks", "embeddings that are no sound measurement", _failed_integrity),
    ("Other failed tests", "failed tests that are neither criteria nor integrity checks", _other_failures),
    ("Checks without a record", "planned checks that were deselected or never ran", _no_record),
    ("Left out", "FMs, cohorts, criteria and comparisons that options or files left out", _left_out),
    ("Skipped checks", "criteria that were skipped", _skipped),
    (
        "Inconclusive verdicts",
        "intervals that contain the bound, and whether they pass",
        _inconclusive,
    ),
    ("Integrity checks that were not made", "those that do not apply to this FM", _inapplicable),
    ("Precision drift", "values that the precision of the forward pass may move", _drift),
    ("Tables that are not the published ones", "the user's own tables of a benchmark cohort", _own_tables),
    ("Settings from files and the environment", "settings that were not typed", _foreign_settings),
    ("Options that are not the default", "options that change what is measured, or how", _options),
    (
        "What was not fixed beforehand",
        "a digest that was not demanded, and a baseline that the criteria speak of and nobody gave",
        _not_beforehand,
    ),
    (
        "Places that were not filled in",
        "texts of the criteria that a template left open; an open requirement is counted as none",
        _unfilled,
    ),
    ("Checks beside the protocol", "checks of the user's own tests", _own_checks),
    ("The code", "code that is no release or no commit, or that changed while the run lasted", _code),
    (
        "The qualification",
        "none, one that did not pass, or one of other code, packages or another machine",
        _qualification,
    ),
    ("Notes on FMs and cohorts", "what may change what a number means", _notes),
)
