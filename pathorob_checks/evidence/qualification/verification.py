"""Whether a qualification is what was written: its records follow, and its page tells the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from pathorob_checks.errors import ResultsError
from pathorob_checks.evidence.attestation import statement
from pathorob_checks.evidence.manifest import Manifest
from pathorob_checks.evidence.qualification.pages import RESPONSIBLE, is_row, responsible_line, rows
from pathorob_checks.evidence.qualification.record import SCHEMA_1, Qualification, contradictions, upgraded
from pathorob_checks.evidence.verification import Statements
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.wording import brief

RECORDS, PAGE, ENVIRONMENT = "qualification.json", "qualification.md", "environment.json"
FILES = frozenset((RECORDS, PAGE, ENVIRONMENT))
READ = frozenset((RECORDS, PAGE))
_AGREE = "records and page tell the same verdicts, and these follow from what was expected and what it is"


def statements_of(listing: bytes, manifest: Manifest, contents: Mapping[str, bytes]) -> Statements:
    """What the files of a qualification say.

    Raises
    ------
    ResultsError : `qualification.json` cannot be read.
    """
    qualification = qualification_of(contents[RECORDS])
    return Statements(
        findings=tuple(_findings(qualification, manifest, contents[PAGE])),
        statement=statement_about(listing, manifest, qualification),
        summary=qualification.summary,
        about=(f"pathorob-checks {qualification.version}, digest of its code {qualification.code}",),
        agree=_AGREE,
    )


def statement_about(listing: bytes, manifest: Manifest, qualification: Qualification) -> bytes:
    """The in-toto statement about a qualification: of what code, and which records are as expected."""
    return statement(
        listing,
        manifest,
        RECORDS,
        outcome=qualification.outcome,
        models=((f"code of pathorob-checks {qualification.version}", qualification.code),),
        tests=((one.finding.id, one.verdict) for one in qualification.records),
    )


def qualification_of(content: bytes) -> Qualification:
    """What the bytes of `qualification.json` say; raises ResultsError."""
    try:
        document = strict_json(content)
        if isinstance(document, dict) and document.get("schema") == SCHEMA_1:
            document = upgraded(document)
        return Qualification.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        problem = str(error) or type(error).__name__
    raise ResultsError(
        f"{RECORDS} is damaged, or its content was changed ({brief(problem)})", remedy="qualify again"
    )


def _findings(qualification: Qualification, manifest: Manifest, page: bytes) -> Iterator[str]:
    for contradiction in contradictions(qualification):
        yield f"{RECORDS} contradicts itself: {contradiction}"
    manifest_values = (manifest.outcome, manifest.digest, manifest.plan_digest, manifest.tool.version)
    if manifest_values != (
        qualification.outcome,
        qualification.code,
        qualification.plan_digest,
        qualification.version,
    ):
        yield f"manifest.json tells another outcome, digest or version than {RECORDS}"
    if manifest.created < qualification.created:
        yield "manifest.json was written before the qualification ended, by the times in it"
    lines = page.decode("utf-8", errors="replace").splitlines()
    named = [line for line in lines if line.startswith(RESPONSIBLE)]
    if (named or qualification.responsible) and named != [responsible_line(qualification)]:
        yield f"{PAGE} names another person than {RECORDS}"
    if [line for line in lines if is_row(line)] != rows(qualification):
        yield f"{PAGE} tells other records or verdicts than {RECORDS}"
    if qualification.summary not in lines:
        yield f"{PAGE} tells another outcome than {RECORDS}"
