"""Whether the files of an evidence folder tell one story, and whether its verdicts follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pathorob_checks.canonical import digest_of
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.evidence.environment import requirements_text
from pathorob_checks.evidence.junit_disagreements import junit_disagreements
from pathorob_checks.evidence.manifest import Manifest
from pathorob_checks.evidence.page_disagreements import (
    PROTOCOL_PAGE,
    SIGNATURE_PAGE,
    TRACES,
    TRACES_PAGE,
    page_disagreements,
    traceability_disagreements,
)
from pathorob_checks.evidence.provenance_disagreements import PROVENANCE, provenance_disagreements
from pathorob_checks.evidence.report_disagreements import REPORT, evidence_disagreements, report_disagreements
from pathorob_checks.results.check import Check
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.results.results import Results
from pathorob_checks.wording import brief, named

PROTOCOL, RESULTS, JUNIT = "protocol.json", "results.json", "junit.xml"
ENVIRONMENT, PINNED = "environment.json", "requirements.txt"
# The files whose content is compared.
COMPARED = frozenset(
    (
        PROTOCOL,
        PROTOCOL_PAGE,
        RESULTS,
        JUNIT,
        REPORT,
        TRACES,
        TRACES_PAGE,
        SIGNATURE_PAGE,
        PROVENANCE,
        ENVIRONMENT,
        PINNED,
    )
)
# What a protocol fixes of a criterion, by the names that checks have for it.
_FIXED = ("metric", "quantity", "direction", "bound", "rule", "required", "minimum_support")


def disagreements(results: Results, manifest: Manifest, contents: Mapping[str, bytes]) -> Iterator[str]:
    """A sentence for each thing that two files tell differently, or that does not follow.

    Parameters
    ----------
    results : of `results.json`.
    manifest : of the folder.
    contents : of the files in `COMPARED`, by name.
    """
    terms = results.environment.criteria
    manifest_values = (manifest.outcome, manifest.digest, manifest.plan_digest)
    if manifest_values != (results.outcome, terms.digest, terms.plan_digest):
        yield "manifest.json tells another outcome or digest than results.json"
    if manifest.created < results.created:
        yield "manifest.json was written before the run ended, by the times in it and in results.json"
    yield from contradictions_in(results)
    try:
        protocol = _protocol(contents[PROTOCOL])
        yield from _of_protocol(protocol, results)
        yield from traceability_disagreements(contents, results, protocol)
        yield from _of_provenance(contents[PROVENANCE], protocol, results)
        yield from evidence_disagreements(contents[REPORT], protocol)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        yield f"protocol.json is not a protocol ({brief(str(error)) or type(error).__name__})"
    yield from _of_environment(contents)
    yield from junit_disagreements(contents[JUNIT], results)
    yield from report_disagreements(contents[REPORT], contents[RESULTS], results)
    yield from page_disagreements(contents, results, manifest)


def contradictions_in(results: ResultsDocument) -> Iterator[str]:
    """Whether values, intervals, verdicts, releases, counts and outcome follow from what is beside them."""
    try:
        for contradiction in contradictions(results):
            yield f"results.json contradicts itself: {contradiction}"
    except (ArithmeticError, LookupError, TypeError, ValueError, PathorobChecksError) as error:
        yield f"results.json holds what no run writes ({brief(str(error)) or type(error).__name__})"


def _protocol(content: bytes) -> dict[str, Any]:
    document = strict_json(content)
    if not isinstance(document, dict):
        raise TypeError("it is no object")
    return document


def _of_protocol(protocol: Mapping[str, Any], results: ResultsDocument) -> Iterator[str]:
    """Whether its digests are those of its content, and the run was held to it."""
    terms = results.environment.criteria
    content, planned = protocol["terms"], [one["id"] for one in protocol["planned"]]
    planned += [one["id"] for one in protocol["planned_integrity"]]
    if protocol["digest"] != digest_of(content):
        yield "the digest in protocol.json is not that of its terms"
    if protocol["plan_digest"] != digest_of({"terms": protocol["digest"], "checks": planned}):
        yield "the plan's digest in protocol.json is not that of its plan"
    if (protocol["digest"], protocol["plan_digest"]) != (terms.digest, terms.plan_digest):
        yield "protocol.json and results.json have different digests of terms or plan"
    if tuple(planned) != terms.planned:
        yield "protocol.json and results.json have different plans"
    if (content["criteria"], content["protocol"]) != (terms.profile, terms.protocol):
        yield "protocol.json and results.json have different criteria or settings of metrics"
    if datetime.fromisoformat(protocol["fixed"]) > results.created:
        yield "protocol.json was fixed after the run ended, by the times in it and in results.json"
    moved = [check.id for check in results.checks if check.registered and not _as_planned(check, protocol)]
    if moved:
        yield f"results.json has other criteria than protocol.json for {named(moved, 'check', 'checks')}"
    cohorts = {run.cohort.name: run.cohort.digest for run in results.runs}
    exchanged = [
        name
        for name, digest in content["cohorts"].items()
        if name in cohorts and digest not in (cohorts[name], _tables_digest(results, name))
    ]
    if exchanged:
        where = named(exchanged, "cohort", "cohorts")
        yield f"results.json is about other patches than protocol.json: {where}"


def _of_provenance(content: bytes, protocol: Mapping[str, Any], results: ResultsDocument) -> Iterator[str]:
    try:
        yield from provenance_disagreements(strict_json(content), protocol, results)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        yield f"{PROVENANCE} is no provenance ({brief(str(error)) or type(error).__name__})"


def _of_environment(contents: Mapping[str, bytes]) -> Iterator[str]:
    try:
        pinned = requirements_text(strict_json(contents[ENVIRONMENT]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        yield f"{ENVIRONMENT} is no environment ({brief(str(error)) or type(error).__name__})"
        return
    if pinned.encode() != contents[PINNED]:
        yield f"{PINNED} has other packages or versions than {ENVIRONMENT}"


def _as_planned(check: Check, protocol: Mapping[str, Any]) -> bool:
    key = (check.fm, check.method, check.cohort, check.criterion)
    for planned in protocol["planned"]:
        if tuple(planned[name] for name in ("fm", "method", "cohort", "criterion")) == key:
            return all(planned[name] == getattr(check, name) for name in _FIXED)
    return False


def _tables_digest(results: ResultsDocument, cohort: str) -> str:
    """What stands in the terms for a cohort of the benchmark with tables of the user's own."""
    tables = next(run.cohort.tables for run in results.runs if run.cohort.name == cohort)
    return digest_of(tables)
