"""What a reader of JUnit files sees of a check: names and texts, for the properties of its test case.

A test that passes says nothing else there, so a check that is inconclusive and allowed would look like one
that is met.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pathorob_checks.results.document import Check, IntegrityCheck, ResultsDocument
from pathorob_checks.wording import printable

Property = tuple[str, str]
PREFIX = "pathorob_checks."


def of_check(check: Check) -> Iterator[Property]:
    """What was measured, of what, against what, and what came of it; nothing for what was not measured."""
    fields: dict[str, Any] = {
        "verdict": check.verdict,
        "criterion": check.criterion,
        "fm": check.fm,
        "cohort": check.cohort,
        "group": check.group,
        "requirements": " ".join(check.requirements),
        "metric": check.metric,
        "value": check.value,
        "interval": None if check.interval is None else "[{}, {}]".format(*check.interval),
        "bound": check.bound,
        "direction": check.direction,
        "reason": check.reason,
    }
    return _written(fields)


def of_integrity(check: IntegrityCheck) -> Iterator[Property]:
    """The verdict, the subject, and the figures that the verdict follows from."""
    subject = {"fm": check.fm, "cohort": check.cohort}
    return _written({"verdict": check.verdict, **subject, **check.figures, "reason": check.reason})


def of_run(results: ResultsDocument) -> Iterator[Property]:
    """The outcome and the terms of the whole run."""
    terms = results.environment.criteria
    return _written({"summary": results.summary, "criteria": terms.name, "digest": terms.digest})


def _written(fields: dict[str, Any]) -> Iterator[Property]:
    for name, value in fields.items():
        if value is not None and value != "":
            yield PREFIX + name, printable(str(value))
