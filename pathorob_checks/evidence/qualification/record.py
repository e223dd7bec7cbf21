"""The document of a qualification: a record for each thing that was examined, and the outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from pathorob_checks.canonical import digest_of
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.part import Document, Finite
from pathorob_checks.wording import counted, named, printable

SCHEMA: Literal["pathorob-checks/qualification/2"] = "pathorob-checks/qualification/2"
SCHEMA_1 = "pathorob-checks/qualification/1"
Section = Literal["installation", "operation", "performance"]
SECTIONS: tuple[Section, ...] = ("installation", "operation", "performance")
# What no qualification may lack: the beginnings of the ids of its records.
REQUIRED = (
    "installation/package",
    "installation/requirements",
    "installation/files",
    "operation/golden",
    "operation/demo",
    "operation/verdict",
    "operation/release",
    "operation/interruption",
    "performance/time",
    "performance/published",
)


class Finding(Document):
    """One thing that was examined.

    Attributes
    ----------
    id : of the record, unique; its first part is the section.
    what : what was examined, as a clause.
    expected : what it should be; None where nothing is asked for, as of a time.
    actual : what it is; None where that could not be worked out.
    tolerance : by how much a number may differ.
    unit : of the numbers; "" for none.
    origin : where the expected value is from.
    note : what else there is to say, such as why it could not be worked out.
    """

    id: str
    what: str
    expected: Finite | str | None = None
    actual: Finite | str | None = None
    tolerance: Annotated[Finite, Field(ge=0)] = 0.0
    unit: str = ""
    origin: str = ""
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """ERROR where it is not known what it is, SKIPPED where nothing is asked for, else PASS or FAIL."""
        if self.actual is None:
            return Verdict.ERROR if self.expected is not None else Verdict.SKIPPED
        if self.expected is None:
            return Verdict.SKIPPED
        if isinstance(self.actual, float) and isinstance(self.expected, float):
            met = math.isclose(self.actual, self.expected, rel_tol=0.0, abs_tol=self.tolerance)
        else:
            met = self.actual == self.expected
        return Verdict.PASS if met else Verdict.FAIL

    @property
    def section(self) -> str:
        """The part of the qualification that it belongs to."""
        return self.id.partition("/")[0]

    @property
    def planned(self) -> dict[str, Any]:
        """What was fixed before: all but what it is."""
        return self.model_dump(mode="json", include={"id", "what", "expected", "tolerance", "unit", "origin"})


class Recorded(Document):
    """A record as the file has it: a finding, and its verdict."""

    finding: Finding
    verdict: Verdict


class Qualification(Document):
    """The content of `qualification.json`.

    Attributes
    ----------
    schema : names this form of the document.
    created : when the qualification ended, in UTC.
    version : of the code that was qualified.
    code : SHA-256 over all files of the package.
    seconds : that it took.
    responsible : who answers for it, as that person stated it; None names nobody.
    records : everything that was examined.
    outcome : FAIL where a record fails, ERROR where one could not be made, else PASS.
    """

    schema_: Literal["pathorob-checks/qualification/2"] = Field(default=SCHEMA, alias="schema")
    created: AwareDatetime
    version: str
    code: str
    seconds: Annotated[Finite, Field(ge=0)]
    responsible: str | None = None
    records: tuple[Recorded, ...]
    outcome: Outcome

    @property
    def plan_digest(self) -> str:
        """SHA-256 over what was examined and what was expected, whatever it is."""
        return digest_of([one.finding.planned for one in self.records])

    @property
    def summary(self) -> str:
        """The outcome in one sentence."""
        bad = [one.finding.id for one in self.records if one.verdict in (Verdict.FAIL, Verdict.ERROR)]
        judged = sum(one.verdict is not Verdict.SKIPPED for one in self.records)
        if bad:
            return f"{self.outcome.upper()}: {named(bad, 'record', 'records')} of {judged:,} as not expected"
        return f"PASS: {counted(judged, 'record')} as expected (pathorob-checks {printable(self.version)})"


def upgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a `qualification.json` of schema 1 as schema 2 has it.

    Schema 1 names nobody, and has `found` for `actual`.

    Raises
    ------
    KeyError, TypeError, AttributeError : it is not a document of schema 1.
    """
    records = [
        {
            **one,
            "finding": {"actual" if key == "found" else key: value for key, value in one["finding"].items()},
        }
        for one in document["records"]
    ]
    return {**document, "schema": SCHEMA, "records": records}


def recorded(findings: Sequence[Finding]) -> tuple[Recorded, ...]:
    """The findings with their verdicts."""
    return tuple(Recorded(finding=one, verdict=one.verdict) for one in findings)


def outcome_of(records: Sequence[Recorded]) -> Outcome:
    """What the records come to; those that nothing is asked of do not count."""
    verdicts = {one.verdict for one in records}
    if Verdict.FAIL in verdicts:
        return Outcome.FAIL
    return Outcome.ERROR if Verdict.ERROR in verdicts or Verdict.PASS not in verdicts else Outcome.PASS


def contradictions(qualification: Qualification) -> Iterator[str]:
    """A sentence for each thing in a qualification that does not follow from what is beside it."""
    for one in qualification.records:
        if one.verdict is not one.finding.verdict:
            yield f"the verdict {one.verdict} of {one.finding.id} does not follow from its record"
    if qualification.outcome is not outcome_of(qualification.records):
        yield f"the outcome {qualification.outcome} does not follow from its records"
    names = [one.finding.id for one in qualification.records]
    if len(set(names)) < len(names):
        yield "two records have one id"
    for start in REQUIRED:
        if not any(name.startswith(f"{start}/") for name in names):
            yield f"it has no record of {start}"


def failure(error: BaseException) -> str:
    """What a record says of a step that did not end."""
    text = str(error) if isinstance(error, PathorobChecksError) else f"{type(error).__name__}: {error}"
    return printable(text)
