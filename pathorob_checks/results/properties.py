"""What a reader of JUnit files sees of a check: names and texts, for the properties of its test case.

A test that passes says nothing else there, so a check that is inconclusive and allowed would look like one
that is met.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.wording import printable

Property = tuple[str, str]
PREFIX = "pathorob_checks."


def of_check(check: Check, *, allows_inconclusive: bool) -> Iterator[Property]:
    """What was measured, of what, against what, and what came of it; nothing for what was not measured.

    Parameters
    ----------
    allows_inconclusive : whether the profile lets an inconclusive verdict pass.
    """
    is_allowed = allows_inconclusive and check.verdict is Verdict.INCONCLUSIVE
    fields: dict[str, Any] = {
        "verdict": check.verdict,
        "allowed": "true" if is_allowed else None,
        "criterion": check.criterion,
        "fm": check.fm,
        "method": _method(check),
        "cohort": check.cohort,
        "group": check.group,
        "requirements": ", ".join(check.requirements),
        "owner": check.owner,
        "metric": check.metric,
        "quantity": None if check.quantity == "value" else check.quantity,
        "k": check.neighbors,
        "value": check.value,
        "interval": None if check.interval is None else "[{}, {}]".format(*check.interval),
        "confidence": None if check.interval is None else check.confidence,
        "support": check.support,
        "baseline": None if check.baseline is None else check.baseline.fm,
        "bound": check.bound,
        "direction": check.direction,
        "rule": check.rule,
        "reason": check.reason,
    }
    return _written(fields)


def _method(check: Check | IntegrityCheck) -> str | None:
    return None if check.method == NO_METHOD else check.method


def of_integrity(check: IntegrityCheck) -> Iterator[Property]:
    """The verdict, the subject, and the figures that the verdict follows from."""
    subject = {"fm": check.fm, "method": _method(check), "cohort": check.cohort}
    return _written({"verdict": check.verdict, **subject, **check.figures, "reason": check.reason})


def of_run(results: ResultsDocument) -> Iterator[Property]:
    """The outcome and the terms of the whole run."""
    terms = results.environment.criteria
    fields = {
        "outcome": results.outcome,
        "summary": results.summary,
        "criteria": terms.name,
        "digest": terms.digest,
    }
    return _written(fields)


def _written(fields: dict[str, Any]) -> Iterator[Property]:
    for name, value in fields.items():
        if value is not None and value != "":
            yield PREFIX + name, printable(str(value))
