"""The results of a run as one typed document; every report is made from it.

Its JSON form is the results file. All models are frozen, refuse unknown keys, and hold finite numbers only.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field, field_serializer

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.definition import Metric
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.environment import Environment
from pathorob_checks.results.part import Document, Finite
from pathorob_checks.results.subject_facts import Run

SCHEMA: Literal["pathorob-checks/results/2"] = "pathorob-checks/results/2"


class MetricFacts(Document):
    """What a reader of the file needs to know of a metric.

    Attributes
    ----------
    label : short name.
    lowest, highest, neutral : the scale, and the value that is neither good nor bad.
    higher_is_better : False where lower values are more robust.
    version : of the computation.
    """

    label: str
    lowest: Finite
    highest: Finite
    neutral: Finite
    higher_is_better: bool
    version: int

    @classmethod
    def of(cls, metric: Metric) -> MetricFacts:
        """Those of a definition."""
        return cls(
            label=metric.label,
            lowest=metric.lowest,
            highest=metric.highest,
            neutral=metric.neutral,
            higher_is_better=metric.higher_is_better,
            version=metric.computation.version,
        )


class Outcome(StrEnum):
    """What became of a whole run.

    `fail` (a criterion is known not to be met, or an integrity check failed) comes before `error` (something
    was not measured or went wrong), that before `inconclusive`, that before `partial` (left out on purpose).
    """

    PASS = "pass"  # noqa: S105 (an outcome, not a password)
    FAIL = "fail"
    ERROR = "error"
    INCONCLUSIVE = "inconclusive"
    PARTIAL = "partial"


class Release(Document):
    """The verdict on an FM: its criteria taken together.

    Attributes
    ----------
    fm, method : what was judged.
    verdict : pass, fail, inconclusive, or error where a criterion was not measured.
    family : how failures were corrected for their number, as in the profile.
    planned : number of its criteria in the plan.
    decisive : ids of the checks that decided it: those that are missed, or those that are not surely met.
    sentence : the verdict and its reason.
    """

    fm: str
    method: str = NO_METHOD
    verdict: Verdict
    family: str
    planned: int
    decisive: tuple[str, ...] = ()
    sentence: str


class ResultsDocument(Document):
    """The content of a results file.

    Attributes
    ----------
    schema : names this form of the document.
    created : when the run ended, in UTC.
    complete : every planned check has a value, and no worker was lost.
    outcome, summary : what became of the run, as one word and as one sentence.
    environment : where the values were computed, and by which terms.
    metrics : facts of every metric that a check is about.
    runs : the FM and the cohort of each subject.
    releases : the verdict on each FM.
    checks, integrity : what was checked.
    other_failures : ids of failed tests that are neither.
    problems : sentences about what went wrong with the run itself.
    """

    schema_: Literal["pathorob-checks/results/2"] = Field(default=SCHEMA, alias="schema")
    created: AwareDatetime
    complete: bool
    outcome: Outcome
    summary: str
    environment: Environment
    metrics: dict[str, MetricFacts]
    runs: tuple[Run, ...] = ()
    releases: tuple[Release, ...] = ()
    checks: tuple[Check, ...] = ()
    integrity: tuple[IntegrityCheck, ...] = ()
    other_failures: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @field_serializer("created")
    def _in_utc(self, value: AwareDatetime) -> str:
        from datetime import UTC

        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
