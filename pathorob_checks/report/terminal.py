"""The table of checks as plain text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.report.comparison import render_changes
from pathorob_checks.report.sources import render_sources
from pathorob_checks.report.terms import lets_pass, source_of
from pathorob_checks.results.document import Check, ResultsDocument
from pathorob_checks.results.names import fm_and_method, short_names
from pathorob_checks.results.outcome import value_and_bound
from pathorob_checks.results.remarks import remarks
from pathorob_checks.results.text import interval_text, wrapped
from pathorob_checks.wording import counted, percent, printable, rounded_percent

_HEADERS = ("FM", "cohort", "metric", "value", "{}\ninterval", "bound", "verdict\n(each)")
_ALIGNED = ("left", "left", "left", "right", "left", "left", "left")
_GAP = 2
_NARROW_COHORT = 12
_NARROW_METRIC = 14
_LEAST_FM = 8
_LINES = 3
_PIECES = re.compile(r"[^/:@._+-]*[/:@._+-]|[^/:@._+-]+")


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One check as the cells of the table; `interval` and `verdict` may hold a line break."""

    fm: str
    cohort: str
    metric: str
    value: str
    interval: str
    bound: str
    verdict: str

    def cells(self) -> tuple[str, ...]:
        return (self.fm, self.cohort, self.metric, self.value, self.interval, self.bound, self.verdict)


def render_results(results: ResultsDocument, width: int) -> str:
    """The table, notes on the FMs and cohorts, what was left out, and licenses."""
    environment = results.environment
    parts = [
        "\n".join(wrapped(line, width=width, indent="  ") for line in environment.settings),
        render_releases(results, width),
        render_table(results.checks, width, source_of(environment.criteria), allowed=lets_pass(results)),
        render_changes(results, width),
        render_sources(results.runs, environment.left_out, width),
    ]
    return "\n\n".join(filter(None, parts))


def render_releases(results: ResultsDocument, width: int) -> str:
    """The verdict on each FM as a whole, a sentence each."""
    short = short_names(results.checks)
    return "\n".join(
        wrapped(
            f"release verdict on {fm_and_method(short.get(one.fm, one.fm), one.method)}: {one.sentence}",
            width=width,
            indent="  ",
        )
        for one in results.releases
    )


def render_table(
    checks: Sequence[Check], width: int, source: str | None = None, *, allowed: bool = False
) -> str:
    """The table of all checks, the bounds with their reasons, and why anything was not measured.

    Parameters
    ----------
    checks : one FM's stay in this order; several FMs stand beside each other per cohort and metric.
    width : columns of the terminal; 80 holds typical names, below about 70 long names are shortened.
    source : where the bounds come from, such as `profile floor`.
    allowed : whether it lets an inconclusive verdict pass, which the verdict then says.
    """
    if not checks:
        return "No criterion was checked."
    ordered = _side_by_side(checks)
    short = short_names(checks)
    names = {_fm(check): fm_and_method(short[check.fm], check.method) for check in checks}
    rows = [_row(check, names, allowed=allowed) for check in ordered]
    if _width(rows) > width:
        rows, names = _narrowed(rows, names, width)
    blocks = [_table(rows, _level(checks))]
    unbroken = {fm: name.replace("\n", "") for fm, name in names.items()}
    legend = [f"{name}: {fm}" for fm, name in unbroken.items() if name != printable(fm)]
    if legend:
        blocks.append("\n".join(wrapped(line, width=width, indent="  ") for line in legend))
    if allowed and any(check.verdict is Verdict.INCONCLUSIVE for check in checks):
        blocks.append(
            wrapped(f"(allowed): {source or 'the criteria'} lets an inconclusive verdict pass.", width=width)
        )
    blocks += _neighborhoods(ordered, width, unbroken)
    if noted := remarks(ordered):
        lines = (wrapped(f"- {sentence}", width=width, indent="  ") for sentence in noted)
        blocks.append("\n".join(["At chance:", *lines]))
    blocks.append(_bounds(ordered, width, source))
    blocks += _reasons(ordered, width)
    return "\n\n".join(blocks)


def _side_by_side(checks: Sequence[Check]) -> list[Check]:
    """Several FMs stand beside each other per cohort and metric, in the order in which they first occur."""
    fms = list(dict.fromkeys((check.fm, check.method) for check in checks))
    if len(fms) == 1:
        return list(checks)
    metrics = list(dict.fromkeys(check.metric for check in checks))
    cohorts = list(dict.fromkeys(check.cohort for check in checks))
    criteria = list(dict.fromkeys(check.criterion for check in checks))

    def place(check: Check) -> tuple[int, int, int, int]:
        return (
            cohorts.index(check.cohort),
            metrics.index(check.metric),
            criteria.index(check.criterion),
            fms.index((check.fm, check.method)),
        )

    return sorted(checks, key=place)


def _fm(check: Check) -> str:
    """The whole name of the FM and the method."""
    return fm_and_method(check.fm, check.method)


def _row(check: Check, names: Mapping[str, str], *, allowed: bool) -> _Row:
    value, bound = value_and_bound(check)
    passes = allowed and check.verdict is Verdict.INCONCLUSIVE
    return _Row(
        fm=names[_fm(check)],
        cohort=printable(check.cohort),
        metric=printable(check.label),
        value=value,
        interval=interval_text(check.interval) if check.interval is not None else "-",
        bound=f"{check.direction} {bound}",
        verdict=check.verdict.upper() + ("\n(allowed)" if passes else ""),
    )


def _level(checks: Iterable[Check]) -> str:
    """`95 %` where all intervals have that confidence."""
    levels = {check.confidence for check in checks if check.confidence is not None} or {0.95}
    return percent(levels.pop()) if len(levels) == 1 else "its"


def _table(rows: Sequence[_Row], level: str) -> str:
    """The heading is a row like the others, because tabulate widens every heading of its own by two."""
    text = tabulate(
        [[header.format(level) for header in _HEADERS], *(row.cells() for row in rows)],
        tablefmt="plain",
        disable_numparse=True,
        colalign=_ALIGNED,
    )
    lines = [line.rstrip() for line in text.splitlines()]
    lines.insert(
        max(header.count("\n") for header in _HEADERS) + 1, "  ".join("-" * one for one in _widths(rows))
    )
    return "\n".join(lines)


def _widths(rows: Sequence[_Row]) -> list[int]:
    columns = zip(_HEADERS, *(row.cells() for row in rows), strict=True)
    return [max(len(line) for cell in column for line in cell.split("\n")) for column in columns]


def _width(rows: Sequence[_Row]) -> int:
    return sum(_widths(rows)) + _GAP * (len(_HEADERS) - 1)


def _narrowed(
    rows: Sequence[_Row], names: Mapping[str, str], width: int
) -> tuple[list[_Row], dict[str, str]]:
    """The rows in several lines each, and each FM's name as they show it."""
    slim = [
        replace(
            row,
            cohort="\n".join(_folded(row.cohort, _NARROW_COHORT)),
            metric="\n".join(textwrap.wrap(row.metric, _NARROW_METRIC, break_on_hyphens=False)),
            interval=row.interval.replace(", ", ",\n"),
        )
        for row in rows
    ]
    room = max(width - (_width(slim) - _widths(slim)[0]), _LEAST_FM)
    folded = {fm: "\n".join(_folded(name, room)) for fm, name in names.items()}
    if len(set(folded.values())) < len(folded):
        # Two variants of one model must not look alike: as many lines as the names take.
        folded = {fm: "\n".join(_folded(name, room, None)) for fm, name in names.items()}
    shown = {names[fm]: text for fm, text in folded.items()}
    return [replace(row, fm=shown[row.fm]) for row in slim], folded


def _folded(name: str, width: int, lines: int | None = _LINES) -> list[str]:
    """`name` in lines of at most `width`, broken after separators; of more `lines` the middle is cut."""
    folded = [""]
    for piece in _PIECES.findall(name):
        rest = piece
        if folded[-1] and len(folded[-1]) + len(rest) > width:
            folded.append("")
        while len(rest) > width:
            folded[-1], rest = rest[:width], rest[width:]
            folded.append("")
        folded[-1] += rest
    if lines is None or len(folded) <= lines:
        return folded
    # Both ends tell models apart: the organisation in front, the variant or revision behind.
    return [name[: width - 3] + "...", name[-width:]]


def _neighborhoods(checks: Sequence[Check], width: int, names: Mapping[str, str]) -> list[str]:
    """How many neighbors were read, and how many patches the value rests on; for each cohort and metric."""
    supports: dict[tuple[str, str, int | None], list[str]] = {}
    for check in checks:
        if check.value is not None and check.support is not None and check.quantity != "difference":
            named = supports.setdefault((check.label, check.cohort, check.neighbors), [])
            named.append(f"{rounded_percent(check.support)} ({names[_fm(check)]})")
    if not supports:
        return []
    lines = ["Support (patches whose neighbors tell biology and medical center apart):"]
    for (label, cohort, k), named in supports.items():
        neighbors = f", {counted(k, 'neighbor')} (k = {k})" if k is not None else ""
        sentence = f"- {label} of {cohort}{neighbors}: {', '.join(named)}"
        lines.append(wrapped(sentence, width=width, indent="  "))
    return ["\n".join(lines)]


def _bounds(checks: Sequence[Check], width: int, source: str | None) -> str:
    """Each bound once with its reason; cohorts are named where their bounds differ."""
    every = {check.cohort for check in checks}
    rules = {check.rule for check in checks}
    held: dict[tuple[str, ...], list[str]] = {}
    for check in checks:
        demand = f"{check.label} {check.direction} {check.bound:.3f}"
        traced = "; ".join(filter(None, (", ".join(check.requirements), check.owner)))
        rule = f"rule {check.rule}" if len(rules) > 1 else ""
        cohorts = held.setdefault((demand, check.criterion, check.rationale, rule, traced), [])
        if check.cohort not in cohorts:
            cohorts.append(check.cohort)
    terms = ", ".join(
        filter(
            None,
            (
                printable(source) if source else "",
                f"rule {rules.pop()}" if len(rules) == 1 else "",
            ),
        )
    )
    lines = [f"Bounds ({terms}):" if terms else "Bounds:"]
    for (demand, _, rationale, rule, traced), cohorts in held.items():
        where = "" if set(cohorts) == every else ", ".join(cohorts)
        notes = "; ".join(filter(None, (where, rule, traced)))
        lines.append(
            wrapped(f"- {demand}{f' ({notes})' if notes else ''}: {rationale}", width=width, indent="  ")
        )
    return "\n".join(lines)


def _reasons(checks: Sequence[Check], width: int) -> list[str]:
    """Why a criterion has no verdict, where the table does not show it; each reason once."""
    reasons: dict[tuple[Verdict, str], list[str]] = {}
    for check in checks:
        if not check.verdict.is_measured or (check.verdict is Verdict.INCONCLUSIVE and check.drift):
            where = f"{check.label} of {_fm(check)} on {check.cohort}"
            reasons.setdefault((check.verdict, check.reason), []).append(where)
    if not reasons:
        return []
    lines = ["Not decided:"]
    for (verdict, reason), places in reasons.items():
        sentence = f"- {verdict.upper()} {', '.join(places)}: {reason or 'no reason was given'}"
        lines.append(wrapped(sentence, width=width, indent="  "))
    return ["\n".join(lines)]
