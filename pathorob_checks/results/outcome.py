"""What a run has come to: one word, one sentence, and the exit code that follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pathorob_checks.criteria.verdict import Verdict, written
from pathorob_checks.results.document import Check, Completeness, IntegrityCheck, Outcome
from pathorob_checks.results.names import short_names
from pathorob_checks.wording import counted, printable

_NAMED_FAILURES = 3
_OPPOSITE = {">=": "<", "<=": ">"}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of a run, and a sentence that starts with it in capitals."""

    outcome: Outcome
    sentence: str


def must_fail(
    completeness: Completeness,
    checks: Iterable[Check],
    integrity: Iterable[IntegrityCheck],
    *,
    require_complete: bool,
) -> bool:
    """Whether a run must not end with exit code 0, however its tests ended.

    Verdicts that depend on the profile (inconclusive) and optional criteria end as their tests do.
    """
    failed = any(check.verdict is Verdict.FAIL for check in checks)
    unsound = any(check.verdict in (Verdict.FAIL, Verdict.ERROR) for check in integrity)
    incomplete = completeness.crashed or completeness.missing > 0
    return failed or unsound or incomplete or (require_complete and completeness.absent > 0)


def summarize(
    checks: Sequence[Check],
    completeness: Completeness,
    *,
    integrity: Sequence[IntegrityCheck] = (),
    other_failures: Sequence[str] = (),
    require_complete: bool = False,
) -> Summary:
    """The run in one line.

    Parameters
    ----------
    checks : in the order in which failures are named.
    integrity : the FM's integrity checks; where one failed, the verdicts may mean nothing.
    other_failures : ids of failed tests that are neither checks nor integrity checks.
    require_complete : whether deselecting a required criterion is an error.
    """
    count = Counter(check.verdict for check in checks)
    total, measured = completeness.planned, completeness.measured
    unsound = [check.id for check in integrity if check.verdict in (Verdict.FAIL, Verdict.ERROR)]
    failed_tests = [*unsound, *other_failures]
    optional = sum(check.verdict is Verdict.SKIPPED and not check.required for check in checks)
    remarks = {
        "error": count[Verdict.ERROR] and f"{count[Verdict.ERROR]} could not be measured",
        "inconclusive": count[Verdict.INCONCLUSIVE] and f"{count[Verdict.INCONCLUSIVE]} inconclusive",
        "skipped": count[Verdict.SKIPPED] and f"{count[Verdict.SKIPPED]} skipped",
        "never ran": completeness.never_ran and f"{completeness.never_ran} never ran",
        "deselected": completeness.deselected and f"{completeness.deselected} deselected",
        "crashed": completeness.crashed and "a worker crashed",
        "failed tests": failed_tests and count[Verdict.FAIL] and f"{_tests(failed_tests)} failed",
    }

    def rest(*without: str) -> str:
        return "".join(f"; {text}" for name, text in remarks.items() if text and name not in without)

    def summary(outcome: Outcome, text: str) -> Summary:
        return Summary(outcome=outcome, sentence=f"{outcome.upper()}: {text}")

    if count[Verdict.FAIL]:
        failures = _named([check for check in checks if check.verdict is Verdict.FAIL])
        text = f"{count[Verdict.FAIL]} of {_criteria(total)} not met: {failures}{rest()}"
        return summary(Outcome.FAIL, text)
    if not total:
        crash = "; a worker crashed" if completeness.crashed else ""
        return summary(Outcome.ERROR, f"no criterion was checked{crash}")
    lost = count[Verdict.ERROR] or completeness.never_ran or count[Verdict.SKIPPED] > optional
    incomplete = completeness.crashed or completeness.missing or (require_complete and completeness.absent)
    if lost or incomplete:
        demand = ", but the run requires all of them" if require_complete and completeness.deselected else ""
        return summary(Outcome.ERROR, f"{measured} of {_criteria(total)} measured{rest()}{demand}")
    if failed_tests:
        text = f"{_tests(failed_tests)} failed; {count[Verdict.PASS]} of {_criteria(total)} met{rest()}"
        return summary(Outcome.FAIL, text)
    if count[Verdict.INCONCLUSIVE]:
        undecided = _named([check for check in checks if check.verdict is Verdict.INCONCLUSIVE])
        number = f"{count[Verdict.INCONCLUSIVE]} of {_criteria(total)}"
        text = f"{number} undecided: {undecided}{rest('inconclusive')}"
        return summary(Outcome.INCONCLUSIVE, text)
    if measured < total:
        met = f", {count[Verdict.PASS]} met" if measured else ""
        left_out = f"; {completeness.deselected} deselected" if completeness.deselected else ""
        text = f"{measured} of {_criteria(total)} measured{met}{rest('deselected')}{left_out}"
        return summary(Outcome.PARTIAL, text)
    fms, cohorts = len({check.fm for check in checks}), len({check.cohort for check in checks})
    subjects = f"({counted(fms, 'FM')}, {counted(cohorts, 'cohort')})"
    return summary(Outcome.PASS, f"{total} of {_criteria(total)} met {subjects}")


def _criteria(number: int) -> str:
    return counted(number, "criterion", "criteria")


def _tests(ids: Sequence[str]) -> str:
    """Tests by name: the first of them, and how many more there are."""
    name = ids[0].rpartition("::")[2]
    more = len(ids) - 1
    return f"{name} and {counted(more, 'more test')}" if more else name


def _named(checks: Sequence[Check]) -> str:
    """The first few checks by name: all of them would be a second table."""
    short = short_names(checks)
    names = []
    for check in checks:
        comparison = _OPPOSITE[check.direction] if check.verdict is Verdict.FAIL else "against"
        value, bound = value_and_bound(check)
        names.append(
            f"{check.label} {value} {comparison} {bound} ({short[check.fm]}, {printable(check.cohort)})"
        )
    more = len(names) - _NAMED_FAILURES
    return ", ".join(names[:_NAMED_FAILURES]) + (f", and {more} more" if more > 0 else "")


def value_and_bound(check: Check) -> tuple[str, str]:
    """Both as text, with enough decimals to show on which side of the bound the value is."""
    if check.value is None:
        return "-", f"{check.bound:.3f}"
    return written(check.value, check.bound, check.direction)
