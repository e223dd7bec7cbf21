"""What an HTML report shows, worked out from results before anything is written as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pathorob_checks.criteria.verdict import GRAVEST_FIRST, Verdict, meets
from pathorob_checks.metrics.measurement import GroupValue
from pathorob_checks.report.gauges import Gauge, gauges
from pathorob_checks.report.sheets import SIGNS
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.document import Outcome, Release, ResultsDocument
from pathorob_checks.results.explanation import Explanation, explain
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.results.numbers import check_interval
from pathorob_checks.results.outcome import value_and_bound
from pathorob_checks.results.releases import effective_verdicts
from pathorob_checks.wording import counted

# Gravest first: in this order everything that did not pass is told.
OUTCOMES = {
    Outcome.PASS: "Every criterion was measured and met, and no integrity check failed.",
    Outcome.FAIL: "At least one criterion is not met, or a test failed.",
    Outcome.ERROR: "Something could not be measured or went wrong. This is no basis for a decision.",
    Outcome.INCONCLUSIVE: "No criterion is known to be missed, but the slides are too few to be sure of all.",
    Outcome.PARTIAL: "A part was left out on purpose, so this is no verdict on the whole profile.",
}
VERDICTS = {
    Verdict.PASS: "the value, with its whole interval, is on the good side of the bound",
    Verdict.FAIL: "the value, with its whole interval, is on the wrong side of the bound",
    Verdict.INCONCLUSIVE: "the interval contains the bound: more slides would decide",
    Verdict.ERROR: "the criterion could not be measured",
    Verdict.SKIPPED: "the criterion was not measured, for the reason given",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A check as a row of a table, and what there is to say about it.

    Attributes
    ----------
    number : of the check in the document.
    subject : number of its FM and cohort.
    fm : name of the FM, with its method.
    counts_as : the verdict that the release takes it for.
    value, bound, interval : as text; `interval` is empty where there is none.
    weakest : the weakest medical center and biological class, with their values; "" where none is known.
    measured_with : settings and further numbers, as one text.
    """

    number: int
    subject: int
    fm: str
    check: Check
    counts_as: Verdict
    value: str
    bound: str
    interval: str
    weakest: str
    measured_with: str
    gauge: Gauge | None
    explanation: Explanation

    @property
    def is_missed(self) -> bool:
        """Whether it did not pass, by itself or as the release takes it."""
        return {self.counts_as, self.check.verdict} != {Verdict.PASS}


@dataclass(frozen=True, kw_only=True)
class Group:
    """The checks of one FM on one cohort, or over several."""

    number: int
    fm: str
    cohort: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class ReleaseCard:
    """The verdict on one FM and how its checks stand."""

    fm: str
    release: Release
    verdicts: str


@dataclass(frozen=True, kw_only=True)
class IntegrityGroup:
    """The integrity checks of one FM on one cohort."""

    fm: str
    cohort: str
    checks: tuple[IntegrityCheck, ...]
    tally: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a report shows.

    Attributes
    ----------
    state : `unstarted`, `broken` (something went wrong with the run itself), `incomplete`, or `whole`.
    releases : gravest first.
    groups : in the order of the document.
    missed : the rows that did not pass, gravest first.
    failed_integrity : integrity checks that failed or went wrong.
    """

    state: str
    releases: tuple[ReleaseCard, ...]
    groups: tuple[Group, ...]
    missed: tuple[Row, ...]
    failed_integrity: tuple[IntegrityCheck, ...]
    integrity: tuple[IntegrityGroup, ...]

    @property
    def checks(self) -> int:
        """How many checks there are."""
        return sum(len(group.rows) for group in self.groups)


def page_of(results: ResultsDocument) -> Page:
    """Work out what a report on some results shows."""
    groups = _groups(results)
    rows = [row for group in groups for row in group.rows]
    missed = [row for row in rows if row.is_missed]
    return Page(
        state=_state(results),
        releases=_release_cards(results, rows),
        groups=groups,
        missed=tuple(sorted(missed, key=lambda row: GRAVEST_FIRST.index(row.counts_as))),
        failed_integrity=tuple(
            one for one in results.integrity if one.verdict in (Verdict.FAIL, Verdict.ERROR)
        ),
        integrity=_integrity_groups(results.integrity),
    )


def _state(results: ResultsDocument) -> str:
    if not results.environment.criteria.digest:
        return "unstarted"  # the terms of a run are fixed first of all
    if results.problems or results.environment.criteria.completeness.crashed:
        return "broken"
    return "whole" if results.complete else "incomplete"


def _groups(results: ResultsDocument) -> tuple[Group, ...]:
    effective = effective_verdicts(results.checks, results.releases)
    drawings = gauges(results.checks)
    numbers: dict[tuple[str, str], int] = {}
    rows: dict[int, list[Row]] = {}
    for number, (check, counts_as, gauge) in enumerate(zip(results.checks, effective, drawings, strict=True)):
        subject = numbers.setdefault(_subject(check), len(numbers))
        value, bound = value_and_bound(check)
        row = Row(
            number=number,
            subject=subject,
            fm=fm_and_method(check.fm, check.method),
            check=check,
            counts_as=counts_as,
            value=value,
            bound=f"{SIGNS[check.direction]} {bound}",
            interval=check_interval(check),
            weakest=_weakest(check),
            measured_with=_measured_with(check),
            gauge=gauge,
            explanation=explain(check),
        )
        rows.setdefault(subject, []).append(row)
    return tuple(
        Group(number=number, fm=fm, cohort=cohort, rows=tuple(rows[number]))
        for (fm, cohort), number in numbers.items()
    )


def _weakest(check: Check) -> str:
    """`center-A (-0.008), tumor (-0.012)`; groups are in the document worst first."""
    if check.quantity == "difference":
        return ""  # its groups have the FM's own values
    return ", ".join(_worst_of(kind, own) for kind, own in check.groups.items() if own)


def _worst_of(kind: str, groups: Sequence[GroupValue]) -> str:
    """The first group, or that all are alike."""
    values = [f"{round(group.value, 3) + 0.0:.3f}" for group in groups]
    alike = len(groups) > 1 and set(values) == {values[0]}
    name = "every " + kind.replace("_", " ") if alike else groups[0].name
    return f"{name} ({values[0]})"


def _measured_with(check: Check) -> str:
    parts = []
    if check.neighbors is not None:
        parts.append(f"k = {check.neighbors}")
    if check.baseline is not None:
        parts.append(f"{check.baseline.fm} has {check.baseline.value:.3f} ({check.baseline.source})")
    if check.drift:
        parts.append(f"widened by the precision drift of {check.drift:.3g}")
    if check.p_value is not None:
        other = "missed" if meets(check.value or 0.0, check.direction, check.bound) else "met"
        parts.append(f"p = {check.p_value:.2g} if the bound were {other}")
    return "; ".join(parts)


def _subject(check: Check) -> tuple[str, str]:
    return fm_and_method(check.fm, check.method), check.cohort


def _release_cards(results: ResultsDocument, rows: Sequence[Row]) -> tuple[ReleaseCard, ...]:
    cards = []
    for release in results.releases:
        name = fm_and_method(release.fm, release.method)
        count = Counter(row.counts_as for row in rows if row.fm == name)
        planned = f"of {counted(release.planned, 'criterion', 'criteria')}"
        cards.append(ReleaseCard(fm=name, release=release, verdicts=f"{_tally(count)} {planned}"))
    return tuple(sorted(cards, key=lambda card: GRAVEST_FIRST.index(card.release.verdict)))


def _integrity_groups(checks: Sequence[IntegrityCheck]) -> tuple[IntegrityGroup, ...]:
    checks_of: dict[tuple[str, str], list[IntegrityCheck]] = {}
    for check in checks:
        checks_of.setdefault((fm_and_method(check.fm, check.method), check.cohort), []).append(check)
    return tuple(
        IntegrityGroup(
            fm=fm, cohort=cohort, checks=tuple(own), tally=_tally(Counter(check.verdict for check in own))
        )
        for (fm, cohort), own in checks_of.items()
    )


def _tally(count: Counter[Verdict]) -> str:
    """`1 fail, 3 pass`."""
    parts = [f"{count[verdict]} {verdict}" for verdict in GRAVEST_FIRST if count[verdict]]
    return ", ".join(parts) or "none measured"
