"""How a check ends its test: pass, fail, skip or xfail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.explanation import explain, sentence_of
from pathorob_checks.results.text import render_explanation
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from pathorob_checks.criteria.profile import Inconclusive
    from pathorob_checks.results.check import Check, IntegrityCheck


class CriterionNotMet(pytest.fail.Exception):  # type: ignore[misc, name-defined] # made by a decorator
    """A test ends with a check that is not met.

    Attributes
    ----------
    headline : the first sentence of the message, on one line.
    """

    def __init__(self, check: Check, width: int) -> None:
        explanation = explain(check)
        super().__init__(render_explanation(explanation, width), pytrace=False)
        self.headline = printable(explanation.headline)


def shorten_crash(report: pytest.TestReport, error: BaseException | None) -> None:
    """Leave one line of a failed check's message where pytest quotes it: `FAILED test - message`.

    In a CI pytest would show the whole message there, a second time. JUnit's attribute `message` has the same
    line; what the test failed with stays whole.
    """
    crash = getattr(report.longrepr, "reprcrash", None)
    if isinstance(error, CriterionNotMet) and crash is not None:
        crash.message = error.headline


def conclude(check: Check, inconclusive: Inconclusive, width: int) -> None:
    """End the test as the verdict requires, and for an inconclusive one the profile."""
    __tracebackhide__ = True
    if check.verdict is Verdict.PASS:
        return
    if check.verdict is Verdict.SKIPPED:
        pytest.skip(printable(check.reason))
    if check.verdict is Verdict.INCONCLUSIVE and inconclusive == "warn":
        return  # the table and the last line say it
    if check.verdict is Verdict.INCONCLUSIVE and inconclusive == "xfail":
        pytest.xfail(printable(sentence_of(check)))
    else:
        raise CriterionNotMet(check, width)


def conclude_integrity(check: IntegrityCheck, sentence: str) -> None:
    """End the test of an integrity check; `sentence` is shown where it was not passed."""
    __tracebackhide__ = True
    if check.verdict is Verdict.SKIPPED:
        pytest.skip(printable(check.reason))
    if check.verdict is not Verdict.PASS:
        pytest.fail(printable(sentence), pytrace=False)
