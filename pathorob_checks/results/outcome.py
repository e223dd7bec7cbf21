"""What a run has come to: one word, one sentence, and the exit code that follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pathorob_checks.criteria.verdict import Verdict, written
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.document import Outcome, Release, ResultsDocument
from pathorob_checks.results.environment import Completeness
from pathorob_checks.results.integrity_counts import integrity_counted
from pathorob_checks.results.names import fm_and_method, short_names
from pathorob_checks.results.releases import effective_verdicts
from pathorob_checks.wording import counted, printable

UNFINISHED = "the run did not finish"
_NAMED_FAILURES = 3
_OPPOSITE = {">=": "<", "<=": ">"}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of a run, and a sentence that starts with it in capitals."""

    outcome: Outcome
    sentence: str


def exit_code(outcome: Outcome, inconclusive: str) -> int:
    """With what a run ends.

    Parameters
    ----------
    inconclusive : what an inconclusive verdict does, by the profile: `fail`, `warn` or `xfail`.
    """
    if outcome is Outcome.INCONCLUSIVE:
        return 1 if inconclusive == "fail" else 0
    return 0 if outcome in (Outcome.PASS, Outcome.PARTIAL) else 1


def lets_pass(results: ResultsDocument) -> bool:
    """Whether the run's criteria let an inconclusive verdict pass."""
    return dict(results.environment.criteria.profile or {}).get("inconclusive", "fail") != "fail"


def summarize(
    checks: Sequence[Check],
    completeness: Completeness,
    *,
    integrity: Sequence[IntegrityCheck] = (),
    other_failures: Sequence[str] = (),
    problems: Sequence[str] = (),
    require_complete: bool = False,
    releases: Sequence[Release] = (),
    allowed_by: str | None = None,
) -> Summary:
    """The run in one line.

    Parameters
    ----------
    checks : in the order in which failures are named.
    integrity : the FM's integrity checks; where one failed, the verdicts may mean nothing.
    other_failures : ids of failed tests that are neither checks nor integrity checks.
    problems : sentences about what went wrong with the run itself.
    releases : the verdicts on the FMs, which decide on the checks of the profile.
    require_complete : whether leaving out a required criterion or an integrity check is an error.
    allowed_by : the name of the profile, if it lets an inconclusive verdict end with 0.
    """
    verdicts = effective_verdicts(checks, releases)
    count = Counter(verdicts)
    total, measured = completeness.planned, completeness.measured
    unsound = [check.id for check in integrity if check.verdict in (Verdict.FAIL, Verdict.ERROR)]
    failed_tests = [*unsound, *other_failures]
    optional = sum(check.verdict is Verdict.SKIPPED and not check.required for check in checks)
    integrity_gone, integrity_left_out = completeness.integrity_missing, completeness.integrity_left_out
    remarks = {
        "error": count[Verdict.ERROR] and f"{count[Verdict.ERROR]} could not be measured",
        "inconclusive": count[Verdict.INCONCLUSIVE] and f"{count[Verdict.INCONCLUSIVE]} inconclusive",
        "skipped": count[Verdict.SKIPPED] and f"{count[Verdict.SKIPPED]} skipped",
        "never ran": completeness.never_ran and f"{completeness.never_ran} never ran",
        "deselected": completeness.deselected and f"{completeness.deselected} deselected",
        "excluded": completeness.excluded and f"{completeness.excluded} left out by the settings",
        "integrity": integrity_gone and f"{counted(integrity_gone, 'integrity check')} never ran",
        "no integrity": integrity_left_out and f"{counted(integrity_left_out, 'integrity check')} left out",
        "crashed": completeness.crashed and "a worker crashed",
        "failed tests": failed_tests and count[Verdict.FAIL] and f"{_tests(failed_tests)} failed",
    }

    def rest(*without: str) -> str:
        return "".join(f"; {text}" for name, text in remarks.items() if text and name not in without)

    def summary(outcome: Outcome, text: str) -> Summary:
        return Summary(outcome=outcome, sentence=f"{outcome.upper()}: {text}")

    if count[Verdict.FAIL]:
        failures = _named(_those(checks, verdicts, Verdict.FAIL))
        text = f"{count[Verdict.FAIL]} of {_criteria(total)} not met: {failures}{rest()}"
        return summary(Outcome.FAIL, text)
    if problems:
        problem = printable(problems[0]).rstrip(".")
        return summary(Outcome.ERROR, f"{problem}; {measured} of {_criteria(total)} measured{rest()}")
    if not total:
        return summary(Outcome.ERROR, f"no criterion was checked{rest()}")
    lost = count[Verdict.ERROR] or completeness.never_ran or count[Verdict.SKIPPED] > optional
    absent = completeness.absent or integrity_left_out
    incomplete = completeness.crashed or completeness.missing or integrity_gone
    nothing = not measured and (count[Verdict.SKIPPED] or not completeness.integrity_made)
    if nothing or lost or incomplete or (require_complete and absent):
        left_out = completeness.deselected or completeness.excluded or integrity_left_out
        demand = ", but the run requires all of them" if require_complete and left_out else ""
        return summary(Outcome.ERROR, f"{measured} of {_criteria(total)} measured{rest()}{demand}")
    if failed_tests:
        text = f"{_tests(failed_tests)} failed; {count[Verdict.PASS]} of {_criteria(total)} met{rest()}"
        return summary(Outcome.FAIL, text)
    if count[Verdict.INCONCLUSIVE]:
        undecided = _named(_those(checks, verdicts, Verdict.INCONCLUSIVE))
        number = f"{count[Verdict.INCONCLUSIVE]} of {_criteria(total)}"
        allowed = f", allowed by profile {printable(allowed_by)}" if allowed_by else ""
        partial = "" if completeness.complete else "; the run is also PARTIAL"
        text = f"{number} undecided{allowed}: {undecided}{partial}{rest('inconclusive')}"
        return summary(Outcome.INCONCLUSIVE, text)
    if not completeness.complete:
        met = f", {count[Verdict.PASS]} met" if measured else ""
        text = f"{measured} of {_criteria(total)} measured{met}{rest()}"
        return summary(Outcome.PARTIAL, text)
    fms, cohorts = len({check.fm for check in checks}), len({check.cohort for check in checks})
    subjects = f"({counted(fms, 'FM')}, {counted(cohorts, 'cohort')})"
    applied = _inapplicable(integrity, completeness)
    return summary(Outcome.PASS, f"{total} of {_criteria(total)} met {subjects}{applied}")


def _inapplicable(integrity: Sequence[IntegrityCheck], completeness: Completeness) -> str:
    """Integrity checks that need the FM itself, which given embeddings are not."""
    if not any(check.inapplicable == "given embeddings" for check in integrity):
        return ""
    return f"; {integrity_counted(integrity, completeness)}"


def _those(checks: Sequence[Check], verdicts: Sequence[Verdict], verdict: Verdict) -> list[Check]:
    return [check for check, own in zip(checks, verdicts, strict=True) if own is verdict]


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
        missed = check.verdict is Verdict.FAIL
        comparison = _OPPOSITE[check.direction] if missed else "against"
        value, bound = value_and_bound(check)
        fm = fm_and_method(short[check.fm], check.method)
        names.append(f"{check.label} {value} {comparison} {bound} ({fm}, {printable(check.cohort)})")
    more = len(names) - _NAMED_FAILURES
    return ", ".join(names[:_NAMED_FAILURES]) + (f", and {more} more" if more > 0 else "")


def value_and_bound(check: Check) -> tuple[str, str]:
    """Both as text, with enough decimals to show on which side of the bound the value is."""
    if check.value is None:
        return "-", f"{check.bound:.3f}"
    return written(check.value, check.bound, check.direction)
