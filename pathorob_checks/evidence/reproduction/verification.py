"""Whether the folder of a reproduction is what was written, and its comparison follows from both results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import EvidenceError, ResultsError
from pathorob_checks.evidence.agreement import contradictions_in
from pathorob_checks.evidence.attestation import statement
from pathorob_checks.evidence.manifest import Manifest, manifest_of
from pathorob_checks.evidence.reproduction.comparison import Reproduction, Sameness, compared
from pathorob_checks.evidence.reproduction.page import head, is_row, rows
from pathorob_checks.evidence.reproduction.record import Record, reproduced_evidence
from pathorob_checks.evidence.verification import Statements, about_run
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.results.results import Results
from pathorob_checks.wording import brief

RECORD, PAGE, RESULTS, ENVIRONMENT = (
    "reproduction.json",
    "reproduction.md",
    "results.json",
    "environment.json",
)
EVIDENCE_MANIFEST, EVIDENCE_RESULTS = "evidence-manifest.json", "evidence-results.json"
FILES = frozenset((RECORD, PAGE, RESULTS, ENVIRONMENT, EVIDENCE_MANIFEST, EVIDENCE_RESULTS))
READ = FILES - {ENVIRONMENT}
_AGREE = "the comparison follows from the results of the evidence and those of the run that was made again"
SOMEBODY = "somebody who was not named"
_VERDICTS = {
    Sameness.EQUAL: Verdict.PASS,
    Sameness.WITHIN_NOISE: Verdict.PASS,
    Sameness.DIFFERENT: Verdict.FAIL,
    Sameness.NOT_RUN: Verdict.ERROR,
}


def statements_of(listing: bytes, manifest: Manifest, contents: Mapping[str, bytes]) -> Statements:
    """What the files of a reproduction say.

    Raises
    ------
    ResultsError : the record or one of the two results files cannot be read.
    EvidenceError : the manifest of the evidence cannot be read.
    """
    record = record_of(contents[RECORD])
    before = Results.from_json(contents[EVIDENCE_RESULTS], EVIDENCE_RESULTS)
    now = Results.from_json(contents[RESULTS], RESULTS)
    reproduction = compared(before, now)
    about = f"the evidence with SHA-256 of its manifest.json {record.evidence.manifest_sha256}"
    made = (
        f"the reproduction made on {record.created.isoformat()} by {record.responsible or SOMEBODY}, "
        f"with pathorob-checks {record.version}"
    )
    return Statements(
        findings=tuple(_findings(record, reproduction, now, manifest, contents)),
        statement=statement_about(listing, manifest, record, reproduction),
        summary=record.summary,
        about=(about, *about_run(before), made),
        agree=_AGREE,
    )


def statement_about(listing: bytes, manifest: Manifest, record: Record, reproduction: Reproduction) -> bytes:
    """The in-toto statement about a reproduction: of which evidence, and which values are the same."""
    return statement(
        listing,
        manifest,
        EVIDENCE_MANIFEST,
        outcome=reproduction.outcome,
        models=(("manifest.json of the evidence", record.evidence.manifest_sha256),),
        tests=((f"{one.check} {one.quantity}", _VERDICTS[one.sameness]) for one in reproduction.pairs),
    )


def record_of(content: bytes) -> Record:
    """What the bytes of `reproduction.json` say; raises ResultsError."""
    try:
        return Record.model_validate_json(json.dumps(strict_json(content)), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        problem = str(error) or type(error).__name__
    raise ResultsError(
        f"{RECORD} is damaged, or its content was changed ({brief(problem)})", remedy="reproduce again"
    )


def _findings(
    record: Record,
    reproduction: Reproduction,
    now: Results,
    manifest: Manifest,
    contents: Mapping[str, bytes],
) -> Iterator[str]:
    yield from _of_evidence(record, contents)
    yield from contradictions_in(now)
    comparison = reproduction.to_json()
    if json.loads(record.model_dump_json(include=set(comparison))) != json.loads(json.dumps(comparison)):
        yield f"{RECORD} tells another comparison than follows from {EVIDENCE_RESULTS} and {RESULTS}"
    terms = now.environment.criteria
    manifest_values = (manifest.outcome, manifest.digest, manifest.plan_digest, manifest.tool.version)
    if manifest_values != (reproduction.outcome, terms.digest, terms.plan_digest, record.version):
        yield f"manifest.json tells another outcome, digest or version than {RECORD}"
    if not record.evidence.created <= record.created <= manifest.created:
        yield "the evidence, its reproduction and manifest.json have times in another order"
    lines = contents[PAGE].decode(errors="replace").splitlines()
    expected = list(head(record))
    if lines[: len(expected)] != expected or [line for line in lines if is_row(line)] != list(rows(record)):
        yield f"{PAGE} tells another evidence, person or comparison than {RECORD}"


def _of_evidence(record: Record, contents: Mapping[str, bytes]) -> Iterator[str]:
    """Whether the results of the evidence are those of the manifest that the record names."""
    listing = contents[EVIDENCE_MANIFEST]
    try:
        manifest = manifest_of(listing, Path(EVIDENCE_MANIFEST))
    except EvidenceError as error:
        yield f"{EVIDENCE_MANIFEST} cannot be read ({error.problem})"
        return
    if record.evidence != reproduced_evidence(listing, manifest):
        yield f"{RECORD} names another evidence than {EVIDENCE_MANIFEST}"
    facts = manifest.files.get("results.json")
    if manifest.kind != "run" or facts is None:
        yield f"{EVIDENCE_MANIFEST} is not of a run"
    elif facts.sha256 != hashlib.sha256(contents[EVIDENCE_RESULTS]).hexdigest():
        yield f"{EVIDENCE_RESULTS} is not the file that {EVIDENCE_MANIFEST} lists"
